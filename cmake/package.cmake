# Installation, and the CMake package `netc`, usable from the build folder too (-Dnetc_DIR=BUILD).
include(CMakePackageConfigHelpers)

# netc looks for `lib/netc`, `include` and `share/netc` beside its `bin`, so these names are fixed.
set(package_folder lib/cmake/netc)

set_target_properties(netc_runtime PROPERTIES EXPORT_NAME runtime)
install(TARGETS netc EXPORT netcTargets RUNTIME DESTINATION bin)
install(TARGETS netc_runtime EXPORT netcTargets ARCHIVE DESTINATION lib)
install(FILES ${Halide_LIBRARY} DESTINATION lib/netc)
install(DIRECTORY runtime/netc DESTINATION include FILES_MATCHING PATTERN "*.h")
install(DIRECTORY models/std DESTINATION share/netc FILES_MATCHING PATTERN "*.net")
install(DIRECTORY compiler/tiles DESTINATION share/netc FILES_MATCHING PATTERN "*.tiles")
install(EXPORT netcTargets NAMESPACE netc:: DESTINATION ${package_folder})
export(EXPORT netcTargets NAMESPACE netc:: FILE ${PROJECT_BINARY_DIR}/netcTargets.cmake)

configure_package_config_file(cmake/netcConfig.cmake.in ${PROJECT_BINARY_DIR}/netcConfig.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/netcConfigVersion.cmake COMPATIBILITY SameMinorVersion)
configure_file(cmake/netcAddModel.cmake ${PROJECT_BINARY_DIR}/netcAddModel.cmake COPYONLY)
install(FILES ${PROJECT_BINARY_DIR}/netcConfig.cmake ${PROJECT_BINARY_DIR}/netcConfigVersion.cmake
              cmake/netcAddModel.cmake DESTINATION ${package_folder})

# The same layout in the build folder.
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/include ${PROJECT_BINARY_DIR}/share/netc)
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/runtime/netc ${PROJECT_BINARY_DIR}/include/netc SYMBOLIC)
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/models/std ${PROJECT_BINARY_DIR}/share/netc/std SYMBOLIC)
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/compiler/tiles ${PROJECT_BINARY_DIR}/share/netc/tiles SYMBOLIC)
