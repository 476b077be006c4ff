// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

#include "app/commands/commands.h"
#include "app/default_paths.h"
#include "app/say.h"
#include "app/serve.h"

namespace uzram {

namespace {

struct ServeWords {
  std::string state_folder;
  std::string tree_folder;
  std::string io_uring = "auto";
  int thread_count = 0;
  int device_count = 0;
  bool has_dev_links = false;
  bool drops_on_stop = false;
};

constexpr int kMostThreads = 256;
constexpr int kMostDevicesAtStart = 65536;  // As num_devices of the kernel's module.

std::optional<UringUse> uring_use(std::string_view word) {
  if (word == "auto") return UringUse::Auto;
  if (word == "on") return UringUse::On;
  if (word == "off") return UringUse::Off;
  return std::nullopt;
}

int run_serve(const CommandLine& line, const ServeWords& words) {
  if (words.thread_count < 0 || words.thread_count > kMostThreads) {
    return say_usage(fmt::format("--threads: {} is not from 1 to {}, or 0 for one a processor",
                                 words.thread_count, kMostThreads));
  }
  if (words.device_count < 0 || words.device_count > kMostDevicesAtStart) {
    return say_usage(
        fmt::format("--devices: {} is not from 0 to {}", words.device_count, kMostDevicesAtStart));
  }
  const std::optional<UringUse> io_uring = uring_use(words.io_uring);
  if (!io_uring) {
    return say_usage(fmt::format("--io-uring: '{}' is not auto, on or off", words.io_uring));
  }
  DaemonOptions options;
  options.io_uring = *io_uring;
  options.device_count = words.device_count;
  options.drops_on_stop = words.drops_on_stop;
  options.thread_count = static_cast<unsigned>(words.thread_count);
  if (words.has_dev_links) options.link_folder = "/dev";
  options.state_folder = words.state_folder;
  if (options.state_folder.empty()) {
    InputResult<std::string> folder = default_state_folder();
    if (!folder) return say_usage(folder.error().text + " and --state DIR");
    options.state_folder = std::move(*folder);
  }
  options.state_folder = std::filesystem::absolute(options.state_folder).lexically_normal();
  options.tree_folder = options.state_folder + "/sys";
  if (!words.tree_folder.empty()) {
    options.tree_folder = std::filesystem::absolute(words.tree_folder).lexically_normal();
  }
  options.socket_path =
      line.socket_path.empty() ? options.state_folder + "/control" : line.socket_path;
  return serve(std::move(options));
}

}  // namespace

void add_serve(CLI::App& program, CommandLine& line) {
  CLI::App* command = program.add_subcommand("serve", "run the daemon in the foreground");
  const auto words = std::make_shared<ServeWords>();
  command
      ->add_option("--sys", words->tree_folder,
                   "where the attributes are mounted (default: sys below the state folder)")
      ->type_name("DIR");
  command
      ->add_option("--state", words->state_folder,
                   "folder for disks, tree and socket (default /run/uzram as root, otherwise "
                   "$XDG_RUNTIME_DIR/uzram)")
      ->type_name("DIR");
  command
      ->add_option("--socket", line.socket_path,
                   "where commands are taken (default: control below the state folder)")
      ->type_name("PATH");
  command
      ->add_option("--threads", words->thread_count,
                   "threads that serve a disk (default 0: one a processor)")
      ->type_name("N");
  command
      ->add_option("--devices", words->device_count,
                   "devices without a size to begin with, as num_devices (default 0)")
      ->type_name("N");
  command
      ->add_option("--io-uring", words->io_uring,
                   "requests over io_uring: auto (when the kernel's fuse.enable_uring is Y), on "
                   "(set it while a disk is mounted), off")
      ->type_name("WHEN");
  command->add_flag("--dev-links", words->has_dev_links,
                    "also name disks /dev/zramN, where that name is free");
  command->add_flag("--stop-drops-data", words->drops_on_stop,
                    "end at SIGTERM although disks hold pages; for service managers");
  command->footer("Example: uzram serve");
  command->callback(
      [&line, words] { line.run = [&line, words] { return run_serve(line, *words); }; });
}

}  // namespace uzram
