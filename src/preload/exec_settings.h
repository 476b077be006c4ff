// SPDX-License-Identifier: Apache-2.0
// preload/exec_settings.h: what `uzram exec` tells the library that it puts before a program.
//
// What:    ExecSettings and its one line of text, which travels in the environment.
// Shapes:  "key=value key=value ...", in any order; the path of the statistics is the last.
// Errors:  read -> nullopt for a word that is not known: another version has written it.
// Proof:   exec_settings_test.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pager/pager.h"

namespace uzram {

inline constexpr const char* kExecVariable = "UZRAM_EXEC";
inline constexpr const char* kPreloadLibrary = "libuzram-preload.so";

// Less holds no program: buffers of several threads are pinned at once.
inline constexpr std::uint64_t kLeastExecLimitBytes = std::uint64_t{8} << 20;

struct ExecSettings {
  std::uint64_t limit_bytes = 0;
  std::string algorithm = "lz4";
  std::uint64_t cluster_pages = 0;                  // Packed together; 0: each page by itself.
  std::uint64_t threshold_bytes = 4096;             // Heap blocks from here on are paged.
  std::uint64_t mmap_threshold_bytes = 256U << 10;  // So are private anonymous mappings.
  PagerBackend backend = PagerBackend::Automatic;
  bool has_report = false;
  std::string stats_path;  // Empty: none.
};

[[nodiscard]] std::string write_exec_settings(const ExecSettings& settings);
[[nodiscard]] std::optional<ExecSettings> read_exec_settings(std::string_view text);

// "automatic", "move", "protect", "signal", "strict".
[[nodiscard]] std::string_view exec_backend_name(PagerBackend backend);
[[nodiscard]] std::optional<PagerBackend> find_exec_backend(std::string_view name);

}  // namespace uzram
