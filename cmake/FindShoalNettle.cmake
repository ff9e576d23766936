# nettle, for SHA-256 of model files: apt nettle-dev.
include(ShoalFindLibrary)
shoal_find_library(ShoalNettle TARGET Shoal::nettle HEADER nettle/sha2.h LIBRARIES nettle)
