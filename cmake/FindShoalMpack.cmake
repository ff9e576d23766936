# libmpack, MessagePack tokens behind base/msgpack.h: apt libmpack-dev.
include(ShoalFindLibrary)
shoal_find_library(ShoalMpack TARGET Shoal::mpack HEADER mpack.h LIBRARIES mpack)
