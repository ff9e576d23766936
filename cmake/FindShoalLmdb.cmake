# LMDB, the store under shard/: apt liblmdb-dev.
include(ShoalFindLibrary)
shoal_find_library(ShoalLmdb TARGET Shoal::lmdb HEADER lmdb.h LIBRARIES lmdb)
