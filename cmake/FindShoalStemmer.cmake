# Snowball's stemmers: apt libstemmer-dev.
include(ShoalFindLibrary)
shoal_find_library(ShoalStemmer TARGET Shoal::stemmer HEADER libstemmer.h LIBRARIES stemmer)
