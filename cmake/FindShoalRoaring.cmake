# CRoaring, compressed bitmaps in shard/: apt libroaring-dev.
include(ShoalFindLibrary)
shoal_find_library(ShoalRoaring TARGET Shoal::roaring HEADER roaring/roaring.h LIBRARIES roaring)
