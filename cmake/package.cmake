# SPDX-License-Identifier: Apache-2.0
# libuzram.so, its two headers, and how other projects find them: a CMake package (uzram::uzram) and
# a pkg-config file. `cmake --install build/release --component pager --prefix DIR`.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(uzram_shared SHARED src/pager/uzram.cc)
target_link_libraries(uzram_shared PRIVATE uzram_without_stores uzram_pager)
set_target_properties(uzram_shared PROPERTIES OUTPUT_NAME uzram EXPORT_NAME uzram
  VERSION ${PROJECT_VERSION} SOVERSION 0 UNITY_BUILD OFF
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}
  LINK_DEPENDS ${CMAKE_SOURCE_DIR}/src/pager/uzram.map)
target_link_options(uzram_shared PRIVATE LINKER:--as-needed
  "LINKER:--version-script=${CMAKE_SOURCE_DIR}/src/pager/uzram.map"
  # C++ programs use Pager from the archive, C programs what is above it.
  "LINKER:--undefined=_ZN5uzram5Pager6createERKNS_11PagerConfigE")
target_include_directories(uzram_shared INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(uzram_shared INTERFACE cxx_std_20)

install(TARGETS uzram_shared EXPORT uzram
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT pager
  NAMELINK_COMPONENT pager)
install(FILES src/pager/pager.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/uzram COMPONENT pager)
install(FILES src/base/result.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/uzram/base COMPONENT pager)
install(FILES src/pager/uzram.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT pager)
install(EXPORT uzram NAMESPACE uzram:: FILE uzram-config.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/uzram COMPONENT pager)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/uzram-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/uzram-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/uzram COMPONENT pager)
configure_file(cmake/uzram.pc.in ${CMAKE_BINARY_DIR}/uzram.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/uzram.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT pager)

# The command, and what `uzram exec` puts before a program.
install(TARGETS uzram RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT command)
install(TARGETS uzram_preload_shared
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT command)
