# OpenBLAS, which FAISS trains and clusters with: apt libopenblas-dev.
include(ShoalFindLibrary)
shoal_find_library(ShoalOpenBlas TARGET Shoal::openblas HEADER cblas.h LIBRARIES openblas)
