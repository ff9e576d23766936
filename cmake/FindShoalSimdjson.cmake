# simdjson, the JSON parser behind base/json.h: apt libsimdjson-dev.
include(ShoalFindLibrary)
shoal_find_library(ShoalSimdjson TARGET Shoal::simdjson HEADER simdjson.h LIBRARIES simdjson)
