# What lets other projects find an installed libshoal: a CMake package and pkg-config files.
include(CMakePackageConfigHelpers)

set(_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/shoal")
install(EXPORT shoal-targets NAMESPACE shoal:: DESTINATION "${_package_dir}")
configure_package_config_file(
    "${CMAKE_SOURCE_DIR}/cmake/shoal-config.cmake.in" "${CMAKE_BINARY_DIR}/shoal-config.cmake"
    INSTALL_DESTINATION "${_package_dir}")
write_basic_package_version_file(
    "${CMAKE_BINARY_DIR}/shoal-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/shoal-config.cmake"
    "${CMAKE_BINARY_DIR}/shoal-config-version.cmake" DESTINATION "${_package_dir}")

# Relative to the file itself, so that an installed tree may be moved and DESTDIR works.
file(RELATIVE_PATH SHOAL_PC_TO_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
foreach(SHOAL_PC_NAME shoal shoal-embedded)
    configure_file("${CMAKE_SOURCE_DIR}/cmake/shoal.pc.in"
        "${CMAKE_BINARY_DIR}/${SHOAL_PC_NAME}.pc" @ONLY)
    install(FILES "${CMAKE_BINARY_DIR}/${SHOAL_PC_NAME}.pc"
        DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endforeach()
