# SPDX-License-Identifier: Apache-2.0
# uzram_room(NAME [UNITY] SOURCES ... ROOMS ... LIBRARIES ... TESTS ... FUZZERS ...)
#   a static library uzram_NAME from SOURCES over other ROOMS (as src/LAYERS allows) and LIBRARIES;
#   one GoogleTest program NAME_tests from TESTS;
#   one program per fuzzer, which replays files unless UZRAM_FUZZ.
#   UNITY: several sources are compiled as one in every build, and optimized only in a release,
#   because most of the time goes into templates of libraries. The sanitizers' builds compile all
#   rooms' sources together, so the names that a room's files have for themselves must differ.
add_library(uzram_flags INTERFACE)
target_include_directories(uzram_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(uzram_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>)
# File offsets are 64 bits everywhere.
target_compile_definitions(uzram_flags INTERFACE _FILE_OFFSET_BITS=64)
if(UZRAM_SANITIZE)
  target_compile_options(uzram_flags INTERFACE
    -fsanitize=${UZRAM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(uzram_flags INTERFACE -fsanitize=${UZRAM_SANITIZE})
endif()
if(UZRAM_FUZZ)
  target_compile_options(uzram_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# Most of a test's compile time is these headers, so they are compiled once. Product code goes
# without: its files include what they use, and the build says so (of rooms that are no UNITY).
# (A program without tests, because a precompiled header serves only what is compiled as it is.)
add_executable(uzram_test_headers ${CMAKE_SOURCE_DIR}/cmake/test_headers.cc)
target_link_libraries(uzram_test_headers PRIVATE
  uzram_flags GTest::gtest GTest::gmock GTest::gtest_main)
set_target_properties(uzram_test_headers PROPERTIES UNITY_BUILD OFF)
# What is tested is optimized as its preset says; what looks at it need not be. (There gcc 12
# sees bounds exceeded inside std::string that are not.)
set(test_optimization $<IF:$<CONFIG:Release>,-O1,-O0>
  $<$<AND:$<CONFIG:Release>,$<CXX_COMPILER_ID:GNU>>:-Wno-array-bounds;-Wno-stringop-overflow>)
target_compile_options(uzram_test_headers PRIVATE ${test_optimization})
target_precompile_headers(uzram_test_headers PRIVATE
  <gmock/gmock.h> <gtest/gtest.h> <algorithm> <array> <atomic> <chrono> <filesystem> <functional>
  <memory> <mutex> <optional> <random> <span> <string> <string_view> <thread> <utility> <vector>)

# uzram_test_program(TARGET SOURCES... ): a GoogleTest program.
function(uzram_test_program target)
  add_executable(${target} ${ARGN})
  target_link_libraries(${target} PRIVATE uzram_flags GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_options(${target} PRIVATE ${test_optimization})
  target_precompile_headers(${target} REUSE_FROM uzram_test_headers)
  # Tests of one room may have the same names for their own things.
  set_target_properties(${target} PROPERTIES UNITY_BUILD OFF)
endfunction()

# Leaves of a list of a room's test sources those with a case that has threads in its name and those
# without any case (what several tests share); nothing where no case is such.
function(uzram_keep_concurrent_tests list)
  set(kept "")
  set(has_any FALSE)
  foreach(source ${${list}})
    file(READ ${source} text)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
    if(text MATCHES "\n[A-Z_]*TEST[A-Z_]*\\([^)]*(Concurrent|Thread)")
      set(has_any TRUE)
      list(APPEND kept ${source})
    elseif(NOT text MATCHES "\n[A-Z_]*TEST[A-Z_]*\\(")
      list(APPEND kept ${source})
    endif()
  endforeach()
  if(NOT has_any)
    set(kept "")
  endif()
  set(${list} ${kept} PARENT_SCOPE)
endfunction()

function(uzram_room name)
  cmake_parse_arguments(ROOM "UNITY" "" "SOURCES;ROOMS;LIBRARIES;TESTS;FUZZERS" ${ARGN})
  string(REPLACE "/" "_" target ${name})
  list(TRANSFORM ROOM_ROOMS REPLACE "/" "_")
  list(TRANSFORM ROOM_ROOMS PREPEND "uzram_")
  add_library(uzram_${target} STATIC ${ROOM_SOURCES})
  if(ROOM_UNITY)
    set_target_properties(uzram_${target} PROPERTIES UNITY_BUILD ${UZRAM_UNITY_ROOMS})
    target_compile_options(uzram_${target} PRIVATE $<$<NOT:$<CONFIG:Release>>:-O0>)
  endif()
  target_link_libraries(uzram_${target} PUBLIC
    uzram_flags ${ROOM_ROOMS} ${ROOM_LIBRARIES} Threads::Threads)
  if(UZRAM_ONLY_CONCURRENT_TESTS)
    uzram_keep_concurrent_tests(ROOM_TESTS)
  endif()
  if(ROOM_TESTS)
    uzram_test_program(${target}_tests ${ROOM_TESTS})
    set_property(GLOBAL APPEND PROPERTY UZRAM_ROOM_TESTS ${target}_tests)
    target_link_libraries(${target}_tests PRIVATE uzram_${target})
    add_test(NAME ${name} COMMAND ${target}_tests)
  endif()
  foreach(fuzzer ${ROOM_FUZZERS})
    get_filename_component(stem ${fuzzer} NAME_WE)
    add_executable(${stem} ${fuzzer})
    set_target_properties(${stem} PROPERTIES UNITY_BUILD OFF)
    target_link_libraries(${stem} PRIVATE uzram_${target})
    if(UZRAM_FUZZ)
      target_link_options(${stem} PRIVATE -fsanitize=fuzzer)
    else()
      target_sources(${stem} PRIVATE ${CMAKE_SOURCE_DIR}/src/base/fuzz_replay.cc)
    endif()
    set_property(GLOBAL APPEND PROPERTY UZRAM_FUZZERS ${stem})
  endforeach()
endfunction()
