# Language levels, warnings, sanitizers and hardening: what every room's flags are made of.

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Release, RelWithDebInfo or Debug" FORCE)
endif()

set(SHOAL_SANITIZE "" CACHE STRING "Sanitizers for -fsanitize=, comma separated; empty for none")
set(SHOAL_OUTPUT_DIR "${CMAKE_BINARY_DIR}" CACHE PATH "Where bin/ and lib/ are filled")
set(SHOAL_MARCH "native" CACHE STRING
    "-march of all code and of the native libraries; a level (x86-64-v3) builds for other hosts")
option(SHOAL_FUZZ "Build the libFuzzer targets (needs clang)" OFF)
option(SHOAL_WERROR "Warnings are errors" ON)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${SHOAL_OUTPUT_DIR}/bin")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${SHOAL_OUTPUT_DIR}/lib")
# Assertions stand for our own bugs; a released server keeps them, since a bug found is cheaper than
# a wrong answer. What is too dear for that is guarded in the code.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O3 -g")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O3 -g")
set(CMAKE_C_FLAGS_DEBUG "-Og -g3")
set(CMAKE_CXX_FLAGS_DEBUG "-Og -g3")

include(CheckPIESupported)
check_pie_supported()

set(_warnings -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wformat=2 -Wvla -Wundef
    -Wcast-align -Wimplicit-fallthrough)

add_library(shoal_flags INTERFACE)
target_compile_options(shoal_flags INTERFACE
    ${_warnings}
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes>
    -fno-omit-frame-pointer)
target_compile_definitions(shoal_flags INTERFACE
    _GNU_SOURCE "SHOAL_VERSION=\"${PROJECT_VERSION}\"")
target_include_directories(shoal_flags INTERFACE "${CMAKE_SOURCE_DIR}")
if(SHOAL_WERROR)
    target_compile_options(shoal_flags INTERFACE -Werror)
endif()
if(SHOAL_MARCH)
    target_compile_options(shoal_flags INTERFACE "-march=${SHOAL_MARCH}")
endif()

if(SHOAL_SANITIZE)
    # A sanitized program stops at the first finding, so that a test cannot pass over one.
    target_compile_options(shoal_flags INTERFACE "-fsanitize=${SHOAL_SANITIZE}"
        -fno-sanitize-recover=all)
    target_link_options(shoal_flags INTERFACE "-fsanitize=${SHOAL_SANITIZE}")
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_options(shoal_flags INTERFACE -fstack-protector-strong
        -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
    target_link_options(shoal_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
if(SHOAL_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "SHOAL_FUZZ needs clang: configure with the preset 'fuzz'.")
    endif()
    target_compile_options(shoal_flags INTERFACE -fsanitize=fuzzer-no-link)
    target_link_options(shoal_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
