# NNG 1.12 with TLS by mbedTLS. From deps/native.sh: built from the source in the crate nng-c-sys.
# Another build takes its place by ShoalNng_INCLUDE_DIR and ShoalNng_LIBRARY;
# ShoalNng_TLS_LIBRARIES is what that build wants beside it.
include(ShoalFindLibrary)
shoal_find_library(ShoalNng TARGET Shoal::nng HEADER nng/nng.h LIBRARIES nng
    HINTS "${SHOAL_NATIVE_DIR}")
if(ShoalNng_FOUND)
    if(NOT DEFINED ShoalNng_TLS_LIBRARIES)
        foreach(library mbedtls mbedx509 mbedcrypto everest p256m)
            list(APPEND ShoalNng_TLS_LIBRARIES "${SHOAL_NATIVE_DIR}/lib/lib${library}.a")
        endforeach()
    endif()
    set_target_properties(Shoal::nng PROPERTIES
        INTERFACE_COMPILE_DEFINITIONS NNG_STATIC_LIB
        INTERFACE_LINK_LIBRARIES "${ShoalNng_TLS_LIBRARIES};Threads::Threads")
endif()
