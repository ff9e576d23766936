# cmark, the Markdown parser: apt libcmark-dev.
include(ShoalFindLibrary)
shoal_find_library(ShoalCmark TARGET Shoal::cmark HEADER cmark.h LIBRARIES cmark)
