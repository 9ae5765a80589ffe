# netc::netc, netc::runtime and netc_add_model: in the build, for a project that netc is a part of, and in the CMake
# package `netc` of an installation, usable from the build folder too (-Dnetc_DIR=BUILD).
add_executable(netc::netc ALIAS netc)
add_library(netc::runtime ALIAS netc_runtime)
include(${PROJECT_SOURCE_DIR}/cmake/netcAddModel.cmake)

# netc looks for `lib/netc`, `include` and `share/netc` beside its `bin`, so these names are fixed. In the build folder:
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/include ${PROJECT_BINARY_DIR}/share/netc)
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/runtime/netc ${PROJECT_BINARY_DIR}/include/netc SYMBOLIC)
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/models/std ${PROJECT_BINARY_DIR}/share/netc/std SYMBOLIC)
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/compiler/tiles ${PROJECT_BINARY_DIR}/share/netc/tiles SYMBOLIC)

if(NOT PROJECT_IS_TOP_LEVEL)
  return()
endif()
include(CMakePackageConfigHelpers)
set(package_folder lib/cmake/netc)

# What generated code includes, and what that includes.
set(headers c_interface cuda_queue cuda_scratch device error function gpu_session kernel network optimizer program recipe
            round_up tensor tensor_inl thread_pool)
list(TRANSFORM headers REPLACE ".+" "runtime/netc/\\0.h")

set_target_properties(netc_runtime PROPERTIES EXPORT_NAME runtime)
install(TARGETS netc EXPORT netcTargets RUNTIME DESTINATION bin)
install(TARGETS netc_runtime EXPORT netcTargets ARCHIVE DESTINATION lib)
install(FILES ${Halide_LIBRARY} DESTINATION lib/netc)
install(FILES ${headers} DESTINATION include/netc)
install(DIRECTORY models/std DESTINATION share/netc FILES_MATCHING PATTERN "*.net")
install(DIRECTORY compiler/tiles DESTINATION share/netc FILES_MATCHING PATTERN "*.tiles")
install(FILES LICENSE DESTINATION share/doc/netc)
install(FILES ${Halide_INCLUDE_DIR}/../share/doc/Halide/LICENSE.txt DESTINATION share/doc/netc RENAME LICENSE.Halide
        OPTIONAL)
install(EXPORT netcTargets NAMESPACE netc:: DESTINATION ${package_folder})
export(EXPORT netcTargets NAMESPACE netc:: FILE ${PROJECT_BINARY_DIR}/netcTargets.cmake)

configure_package_config_file(cmake/netcConfig.cmake.in ${PROJECT_BINARY_DIR}/netcConfig.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/netcConfigVersion.cmake COMPATIBILITY SameMinorVersion)
configure_file(cmake/netcAddModel.cmake ${PROJECT_BINARY_DIR}/netcAddModel.cmake COPYONLY)
install(FILES ${PROJECT_BINARY_DIR}/netcConfig.cmake ${PROJECT_BINARY_DIR}/netcConfigVersion.cmake
              cmake/netcAddModel.cmake DESTINATION ${package_folder})
