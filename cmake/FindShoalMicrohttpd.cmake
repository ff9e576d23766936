# libmicrohttpd, the HTTP server under server/: apt libmicrohttpd-dev.
include(ShoalFindLibrary)
shoal_find_library(ShoalMicrohttpd TARGET Shoal::microhttpd HEADER microhttpd.h
    LIBRARIES microhttpd)
