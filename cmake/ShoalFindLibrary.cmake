# shoal_find_library(<Name> TARGET <target> HEADER <file> LIBRARIES <names>... [HINTS <dir>...]
#                    [SUFFIXES <include suffix>...])
#
# The body of the Find modules for libraries that ship no CMake package worth using: one header,
# one library, one imported target. Its includes are SYSTEM, as an imported target's always are.
# Setting <Name>_INCLUDE_DIR and <Name>_LIBRARY puts another build of the library in its place.
include(FindPackageHandleStandardArgs)

macro(shoal_find_library name)
    cmake_parse_arguments(_find "" "TARGET;HEADER" "LIBRARIES;HINTS;SUFFIXES" ${ARGN})
    find_path(${name}_INCLUDE_DIR NAMES ${_find_HEADER}
        HINTS ${_find_HINTS} PATH_SUFFIXES include ${_find_SUFFIXES})
    find_library(${name}_LIBRARY NAMES ${_find_LIBRARIES}
        HINTS ${_find_HINTS} PATH_SUFFIXES lib lib64)
    find_package_handle_standard_args(${name}
        REQUIRED_VARS ${name}_LIBRARY ${name}_INCLUDE_DIR)
    mark_as_advanced(${name}_INCLUDE_DIR ${name}_LIBRARY)
    if(${name}_FOUND AND NOT TARGET ${_find_TARGET})
        add_library(${_find_TARGET} UNKNOWN IMPORTED)
        set_target_properties(${_find_TARGET} PROPERTIES
            IMPORTED_LOCATION "${${name}_LIBRARY}"
            INTERFACE_INCLUDE_DIRECTORIES "${${name}_INCLUDE_DIR}")
    endif()
endmacro()
