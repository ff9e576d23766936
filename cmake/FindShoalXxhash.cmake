# xxHash, checksums and hashes in base/: apt libxxhash-dev.
include(ShoalFindLibrary)
shoal_find_library(ShoalXxhash TARGET Shoal::xxhash HEADER xxhash.h LIBRARIES xxhash)
