// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "app/commands/commands.h"
#include "app/program_file.h"
#include "app/say.h"
#include "app/strict_text.h"
#include "codec/codec.h"
#include "control/algorithm_attributes.h"
#include "control/size_text.h"
#include "pager/probe.h"
#include "preload/block_heap.h"
#include "preload/exec_settings.h"
#include "store/slot_word.h"

namespace uzram {

namespace {

struct ExecWords {
  std::string memory_limit;
  std::string algorithm;
  unsigned cluster_pages = 0;
  std::string threshold;
  std::string mmap_threshold;
  std::string backend;
  std::string stats_path;
  bool is_strict = false;
  bool has_report = false;
  std::vector<std::string> program;
};

// A size, where one was given. Errors: EINVAL in words.
InputResult<void> read_exec_size(const char* option, const std::string& text, std::uint64_t least,
                                 std::uint64_t& bytes) {
  if (text.empty()) return {};
  const InputResult<std::uint64_t> size = read_size(fmt::format("{}: ", option), text);
  if (!size) return tl::unexpected<InputError>(size.error());
  if (*size < least)
    return refuse(EINVAL, fmt::format("{}: at least {}", option, short_size(least)));
  bytes = *size;
  return {};
}

InputResult<void> read_exec_names(const ExecWords& words, ExecSettings& settings) {
  if (!words.algorithm.empty()) {
    if (find_codec(words.algorithm) == nullptr)
      return refuse(EINVAL, fmt::format("--algorithm: {} is not one of {}", quote(words.algorithm),
                                        algorithm_names()));
    settings.algorithm = words.algorithm;
  }
  const unsigned cluster_pages = words.cluster_pages;
  if (cluster_pages != 0 && (cluster_pages < 2 || cluster_pages > kMostClusterPages))
    return refuse(EINVAL, fmt::format("--cluster-pages: 2 to {} pages, or 0 for each by itself",
                                      kMostClusterPages));
  if (cluster_pages != 0 && settings.algorithm != "zstd")
    return refuse(EINVAL, "--cluster-pages: clusters need --algorithm zstd");
  settings.cluster_pages = cluster_pages;
  if (words.is_strict) {
    if (!words.backend.empty() && words.backend != exec_backend_name(PagerBackend::Strict))
      return refuse(EINVAL, "--strict is a backend: not together with --backend");
    settings.backend = PagerBackend::Strict;
    return {};
  }
  if (words.backend.empty()) return {};
  const auto backend = find_exec_backend(words.backend);
  if (!backend)
    return refuse(EINVAL,
                  fmt::format("--backend: {} is not automatic, move, protect, signal or strict",
                              quote(words.backend)));
  settings.backend = *backend;
  return {};
}

InputResult<ExecSettings> read_exec_words(const ExecWords& words) {
  ExecSettings settings;
  const auto limit = read_exec_size("--memory-limit", words.memory_limit, kLeastExecLimitBytes,
                                    settings.limit_bytes);
  if (!limit) return tl::unexpected<InputError>(limit.error());
  const auto threshold = read_exec_size("--threshold", words.threshold, BlockHeap::kLeastBlockBytes,
                                        settings.threshold_bytes);
  if (!threshold) return tl::unexpected<InputError>(threshold.error());
  const auto mmap_threshold = read_exec_size("--mmap-threshold", words.mmap_threshold, kPageBytes,
                                             settings.mmap_threshold_bytes);
  if (!mmap_threshold) return tl::unexpected<InputError>(mmap_threshold.error());
  const auto names = read_exec_names(words, settings);
  if (!names) return tl::unexpected<InputError>(names.error());
  settings.has_report = words.has_report;
  if (words.stats_path.empty()) return settings;
  // The program may change its folder.
  settings.stats_path = std::filesystem::absolute(words.stats_path);
  if (settings.stats_path.find('\n') != std::string::npos)
    return refuse(EINVAL, "--stats: a path in one line");
  return settings;
}

// Beside the program, as it is built; or where it is installed.
std::string find_library() {
  std::error_code code;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", code).parent_path();
  for (const char* const place : {".", UZRAM_LIBRARY_FOLDER}) {
    const auto path = folder / place / kPreloadLibrary;
    if (std::filesystem::exists(path, code)) return std::filesystem::canonical(path, code);
  }
  return {};
}

int run_exec(const ExecWords& words) {
  const InputResult<ExecSettings> settings = read_exec_words(words);
  if (!settings) return say_refusal(settings.error());
  if (settings->backend == PagerBackend::Strict) {
    if (const int code = strict_refusal(); code != 0)
      return say_failure(fmt::format("exec: {}", strict_refusal_text(code)));
  }
  const InputResult<std::string> program = find_preloadable_program(words.program.front());
  if (!program) return say_refusal(program.error());
  const std::string library = find_library();
  // The dynamic linker cuts its list at blanks and colons.
  if (library.empty() || library.find_first_of(" :") != std::string::npos)
    return say_failure(fmt::format("exec: {} is not beside this program, or its path has a blank",
                                   kPreloadLibrary));
  const char* const others = std::getenv("LD_PRELOAD");
  const std::string preload =
      others == nullptr || *others == '\0' ? library : fmt::format("{}:{}", library, others);
  ::setenv("LD_PRELOAD", preload.c_str(), 1);
  ::setenv(kExecVariable, write_exec_settings(*settings).c_str(), 1);
  std::vector<char*> arguments;
  for (const std::string& each : words.program)
    arguments.push_back(const_cast<char*>(each.c_str()));
  arguments.push_back(nullptr);
  ::execv(program->c_str(), arguments.data());
  return say_failure(fmt::format("exec: {}: {}", *program, std::strerror(errno)));
}

}  // namespace

void add_exec(CLI::App& program, CommandLine& line) {
  CLI::App* command = program.add_subcommand(
      "exec", "run a program whose large memory is compressed beyond a limit");
  const auto words = std::make_shared<ExecWords>();
  command->add_option("--memory-limit", words->memory_limit, "what its paged memory may cost")
      ->required();
  command->add_option("--algorithm", words->algorithm, "lz4 unless said");
  command->add_option("--cluster-pages", words->cluster_pages,
                      "pack so many pages together, with zstd; 0: each by itself");
  command->add_option("--threshold", words->threshold, "page heap blocks from this size on, 4K");
  command->add_option("--mmap-threshold", words->mmap_threshold,
                      "page anonymous mappings from this size on, 256K");
  command->add_option("--backend", words->backend, "automatic, move, protect, signal or strict");
  command->add_flag("--strict", words->is_strict,
                    "serve every system call, also those past libc (needs a privilege)");
  command->add_flag("--report", words->has_report, "say at the end what it saved and cost");
  command->add_option("--stats", words->stats_path, "append a line of JSON a second to this file");
  command->add_option("program", words->program, "the program and its arguments, after --")
      ->required();
  command->footer("Example: uzram exec --memory-limit 512M --report -- python3 script.py");
  command->callback([&line, words] { line.run = [words] { return run_exec(*words); }; });
}

}  // namespace uzram
