# shoal_room(<name> [DEPENDS <room>...] [LINKS <target>...])
#
# One room, one static library: shoal_<name> from the *.c and *.cpp of the current directory, seeing
# only the rooms and libraries named here. main_<program>.c is a program's entry, never a part of
# the library. A room without sources is skipped, and whoever depends on it gets nothing from it.
function(shoal_room name)
    cmake_parse_arguments(ARG "" "" "DEPENDS;LINKS" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS *.c *.cpp)
    list(FILTER sources EXCLUDE REGEX "/main_[a-z0-9_]+\\.c$")
    if(NOT sources)
        message(STATUS "room ${name}: no sources yet")
        return()
    endif()
    add_library(shoal_${name} STATIC ${sources})
    target_link_libraries(shoal_${name} PRIVATE shoal_flags)
    foreach(room IN LISTS ARG_DEPENDS)
        if(TARGET shoal_${room})
            target_link_libraries(shoal_${name} PUBLIC shoal_${room})
        endif()
    endforeach()
    target_link_libraries(shoal_${name} PRIVATE ${ARG_LINKS})
endfunction()

# shoal_program(<target> SOURCES <file>... [ROOMS <room>...] [LINKS <target>...])
#
# An executable over the named rooms; rooms that have no sources yet are left out.
function(shoal_program target)
    cmake_parse_arguments(ARG "" "" "SOURCES;ROOMS;LINKS" ${ARGN})
    add_executable(${target} ${ARG_SOURCES})
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    target_link_libraries(${target} PRIVATE shoal_flags)
    foreach(room IN LISTS ARG_ROOMS)
        if(TARGET shoal_${room})
            target_link_libraries(${target} PRIVATE shoal_${room})
        endif()
    endforeach()
    target_link_libraries(${target} PRIVATE ${ARG_LINKS})
endfunction()
