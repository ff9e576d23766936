# libcurl, the HTTP client: apt libcurl4-openssl-dev.
include(ShoalFindLibrary)
shoal_find_library(ShoalCurl TARGET Shoal::curl HEADER curl/curl.h LIBRARIES curl)
