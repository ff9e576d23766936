# gumbo, the HTML parser: apt libgumbo-dev.
include(ShoalFindLibrary)
shoal_find_library(ShoalGumbo TARGET Shoal::gumbo HEADER gumbo.h LIBRARIES gumbo)
