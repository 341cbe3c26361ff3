# What `cmake --install` puts where, and the package that find_package(moegemm) finds.
# Components: moegemm_Development (library, headers, package), moegemm_Tool (the program and its plug-in folder).
include(CMakePackageConfigHelpers)

set(MOEGEMM_INSTALL_PACKAGE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/moegemm")

set_target_properties(moegemm PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
install(TARGETS moegemm EXPORT moegemmTargets DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT moegemm_Development)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/moegemm" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT moegemm_Development)
install(EXPORT moegemmTargets NAMESPACE moegemm:: DESTINATION "${MOEGEMM_INSTALL_PACKAGE_DIR}" COMPONENT moegemm_Development)

configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/cmake/moegemmConfig.cmake.in" "${PROJECT_BINARY_DIR}/moegemmConfig.cmake"
  INSTALL_DESTINATION "${MOEGEMM_INSTALL_PACKAGE_DIR}"
  PATH_VARS MOEGEMM_INSTALL_PLUGIN_DIR)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/moegemmConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/moegemmConfig.cmake"
  "${PROJECT_BINARY_DIR}/moegemmConfigVersion.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/MoegemmFindHeaders.cmake"
  DESTINATION "${MOEGEMM_INSTALL_PACKAGE_DIR}" COMPONENT moegemm_Development)

if(TARGET moegemm_cli)
  set_target_properties(moegemm_cli PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  install(TARGETS moegemm_cli DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT moegemm_Tool)
  install(DIRECTORY DESTINATION "${MOEGEMM_INSTALL_PLUGIN_DIR}" COMPONENT moegemm_Tool)
endif()
