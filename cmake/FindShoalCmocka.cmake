# cmocka, the test framework: apt libcmocka-dev.
include(ShoalFindLibrary)
shoal_find_library(ShoalCmocka TARGET Shoal::cmocka HEADER cmocka.h LIBRARIES cmocka)
