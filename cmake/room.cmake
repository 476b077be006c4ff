# SPDX-License-Identifier: Apache-2.0
# uzram_room(NAME SOURCES ... ROOMS ... LIBRARIES ... TESTS ... FUZZERS ...)
#   a static library uzram_NAME from SOURCES over other ROOMS (as src/LAYERS allows) and LIBRARIES;
#   one GoogleTest program NAME_tests from TESTS;
#   one program per fuzzer, which replays files unless UZRAM_FUZZ.
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

function(uzram_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;ROOMS;LIBRARIES;TESTS;FUZZERS" ${ARGN})
  string(REPLACE "/" "_" target ${name})
  list(TRANSFORM ROOM_ROOMS REPLACE "/" "_")
  list(TRANSFORM ROOM_ROOMS PREPEND "uzram_")
  add_library(uzram_${target} STATIC ${ROOM_SOURCES})
  target_link_libraries(uzram_${target} PUBLIC
    uzram_flags ${ROOM_ROOMS} ${ROOM_LIBRARIES} Threads::Threads)
  if(ROOM_TESTS)
    add_executable(${target}_tests ${ROOM_TESTS})
    target_link_libraries(${target}_tests PRIVATE
      uzram_${target} GTest::gtest GTest::gmock GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${target}_tests)
  endif()
  foreach(fuzzer ${ROOM_FUZZERS})
    get_filename_component(stem ${fuzzer} NAME_WE)
    add_executable(${stem} ${fuzzer})
    target_link_libraries(${stem} PRIVATE uzram_${target})
    if(UZRAM_FUZZ)
      target_link_options(${stem} PRIVATE -fsanitize=fuzzer)
    else()
      target_sources(${stem} PRIVATE ${CMAKE_SOURCE_DIR}/src/base/fuzz_replay.cc)
    endif()
    set_property(GLOBAL APPEND PROPERTY UZRAM_FUZZERS ${stem})
  endforeach()
endfunction()
