# libllama and ggml. From deps/llama.sh: static libraries. A shared build takes their place by
# ShoalLlama_INCLUDE_DIR and ShoalLlama_LIBRARY; its ggml libraries are then looked for beside it.
include(ShoalFindLibrary)
shoal_find_library(ShoalLlama TARGET Shoal::llama HEADER llama.h LIBRARIES llama
    HINTS "${SHOAL_LLAMA_DIR}")
if(ShoalLlama_FOUND)
    get_filename_component(_llama_lib_dir "${ShoalLlama_LIBRARY}" DIRECTORY)
    set(_ggml)
    foreach(library ggml ggml-cpu ggml-base)
        find_library(ShoalLlama_${library}_LIBRARY NAMES ${library}
            HINTS "${_llama_lib_dir}" NO_DEFAULT_PATH)
        list(APPEND _ggml "${ShoalLlama_${library}_LIBRARY}")
        mark_as_advanced(ShoalLlama_${library}_LIBRARY)
    endforeach()
    set_target_properties(Shoal::llama PROPERTIES
        INTERFACE_LINK_LIBRARIES
            "${_ggml};Shoal::gomp;stdc++;m;Threads::Threads;${CMAKE_DL_LIBS}")
endif()
