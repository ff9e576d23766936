# FAISS with its C API. From deps/native.sh: libfaiss_c.a and libfaiss.a, built from the source in
# the crate faiss-sys. Another build takes their place by ShoalFaiss_INCLUDE_DIR, ShoalFaiss_LIBRARY
# (the library) and ShoalFaiss_C_LIBRARY (the C API).
include(ShoalFindLibrary)
find_library(ShoalFaiss_C_LIBRARY NAMES faiss_c HINTS "${SHOAL_NATIVE_DIR}" PATH_SUFFIXES lib)
shoal_find_library(ShoalFaiss TARGET Shoal::faiss_core HEADER faiss/c_api/Index_c.h LIBRARIES faiss
    HINTS "${SHOAL_NATIVE_DIR}")
if(ShoalFaiss_FOUND AND ShoalFaiss_C_LIBRARY AND NOT TARGET Shoal::faiss)
    set_target_properties(Shoal::faiss_core PROPERTIES
        INTERFACE_LINK_LIBRARIES "Shoal::openblas;Shoal::gomp;stdc++")
    add_library(Shoal::faiss UNKNOWN IMPORTED)
    set_target_properties(Shoal::faiss PROPERTIES
        IMPORTED_LOCATION "${ShoalFaiss_C_LIBRARY}"
        INTERFACE_LINK_LIBRARIES "Shoal::faiss_core")
endif()
