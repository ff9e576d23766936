# Every external library as one imported target Shoal::<name>, found by cmake/FindShoal<Name>.cmake,
# so that a distribution's own package can take the place of each. deps/install.sh makes what Debian
# has no fit package for and tells here where it is.

set(ENV{SHOAL_MARCH} "${SHOAL_MARCH}")
execute_process(
    COMMAND "${CMAKE_SOURCE_DIR}/deps/install.sh" paths
    OUTPUT_VARIABLE _paths OUTPUT_STRIP_TRAILING_WHITESPACE
    COMMAND_ERROR_IS_FATAL ANY)
foreach(name native llama models)
    string(REGEX MATCH "(^|\n)${name}=([^\n]*)" _ "${_paths}")
    string(TOUPPER ${name} upper)
    set(SHOAL_${upper}_DIR "${CMAKE_MATCH_2}")
endforeach()

# A build directory outlives a change of versions: what was found in an older cache directory is
# forgotten, and a changed pin configures anew.
foreach(variable ShoalFaiss_INCLUDE_DIR ShoalFaiss_LIBRARY ShoalFaiss_C_LIBRARY ShoalNng_INCLUDE_DIR
        ShoalNng_LIBRARY ShoalLlama_INCLUDE_DIR ShoalLlama_LIBRARY ShoalLlama_ggml_LIBRARY
        ShoalLlama_ggml-cpu_LIBRARY ShoalLlama_ggml-base_LIBRARY)
    if("${${variable}}" MATCHES "/(native|llama)-[0-9a-f]+/"
            AND NOT "${${variable}}" MATCHES "^(${SHOAL_NATIVE_DIR}|${SHOAL_LLAMA_DIR})/")
        unset(${variable} CACHE)
    endif()
endforeach()
foreach(file native/Cargo.toml native/Cargo.lock native.sh llama.txt llama.sh models.txt models.py
        models.sh embedder_to_gguf.py embedder_reference.py lib.sh install.sh)
    set_property(DIRECTORY APPEND PROPERTY
        CMAKE_CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/deps/${file}")
endforeach()

# Where the programs of the build tree look for models: beside bin/.
if(IS_DIRECTORY "${SHOAL_MODELS_DIR}")
    file(MAKE_DIRECTORY "${SHOAL_OUTPUT_DIR}")
    file(CREATE_LINK "${SHOAL_MODELS_DIR}" "${SHOAL_OUTPUT_DIR}/models" SYMBOLIC)
endif()

find_package(Threads REQUIRED)
# FAISS and ggml are built by GCC, so they want its OpenMP runtime whichever compiler builds Shoal.
add_library(Shoal::gomp INTERFACE IMPORTED)
set_target_properties(Shoal::gomp PROPERTIES INTERFACE_LINK_LIBRARIES gomp)
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set_target_properties(Shoal::gomp PROPERTIES
        INTERFACE_INCLUDE_DIRECTORIES "${CMAKE_SOURCE_DIR}/cmake/omp")
endif()
foreach(library Lmdb OpenBlas Microhttpd Simdjson Mpack Roaring Xxhash Cmocka Utf8proc Stemmer
        Cmark Gumbo Nettle Curl Faiss Nng Llama)
    find_package(Shoal${library} QUIET MODULE)
    if(NOT Shoal${library}_FOUND)
        message(FATAL_ERROR "${library} is not here: run deps/install.sh (or `make deps`), "
            "or set Shoal${library}_INCLUDE_DIR and Shoal${library}_LIBRARY to your own build.")
    endif()
endforeach()

# The raft face is built with the tree, since its source is part of it; its crates come out of the
# cargo directory that deps/native.sh keeps.
set(_face "${CMAKE_BINARY_DIR}/native/libshoal_raft_face.a")
file(GLOB _face_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/deps/native/src/*.rs")
add_custom_command(
    OUTPUT "${_face}"
    COMMAND ${CMAKE_COMMAND} -E env "SHOAL_MARCH=${SHOAL_MARCH}"
        "${CMAKE_SOURCE_DIR}/deps/native.sh" face "${_face}"
    DEPENDS ${_face_sources} "${CMAKE_SOURCE_DIR}/deps/native/Cargo.toml"
        "${CMAKE_SOURCE_DIR}/deps/native/Cargo.lock" "${CMAKE_SOURCE_DIR}/deps/native.sh"
    COMMENT "Raft face"
    VERBATIM)
add_custom_target(raft_face_archive DEPENDS "${_face}")
add_library(Shoal::raft_face STATIC IMPORTED GLOBAL)
set_target_properties(Shoal::raft_face PROPERTIES
    IMPORTED_LOCATION "${_face}"
    INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};m")
add_dependencies(Shoal::raft_face raft_face_archive)
