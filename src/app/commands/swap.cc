// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "app/commands/commands.h"
#include "app/say.h"
#include "base/printable_text.h"
#include "control/size_text.h"

namespace uzram {

namespace {

struct SwapWords {
  std::string device;
  std::string reserve;
  std::optional<int> priority;
  bool is_forced = false;
};

constexpr int kHighestPriority = 32767;

int run_swap_on(const CommandLine& line, const SwapWords& words) {
  nlohmann::json request{{"op", "swap_on"}, {"device", words.device}};
  if (!words.reserve.empty()) {
    const InputResult<std::uint64_t> bytes = read_size("--reserve: ", words.reserve);
    if (!bytes) return say_usage(bytes.error().text);
    request["reserve"] = *bytes;
  }
  if (words.priority) {
    if (*words.priority < 0 || *words.priority > kHighestPriority) {
      return say_usage(
          fmt::format("--priority: {} is not from 0 to {}", *words.priority, kHighestPriority));
    }
    request["priority"] = *words.priority;
  }
  if (words.is_forced) request["force"] = true;
  int exit_code = 0;
  const auto remarks = ask_daemon(line, request, exit_code);
  if (!remarks) return exit_code;
  for (const nlohmann::json& remark : *remarks) {
    fmt::print(stderr, "note: {}\n", printable(remark.get<std::string>()));
  }
  return 0;
}

int run_swap_off(const CommandLine& line, const SwapWords& words) {
  int exit_code = 0;
  const auto done = ask_daemon(line, {{"op", "swap_off"}, {"device", words.device}}, exit_code);
  return done ? 0 : exit_code;
}

}  // namespace

void add_swap(CLI::App& program, CommandLine& line) {
  CLI::App* swap = program.add_subcommand("swap", "let the kernel swap to a device, or stop it");
  swap->require_subcommand(1);
  swap->footer("Example: uzram swap on zram0 --priority 100");
  const auto words = std::make_shared<SwapWords>();

  CLI::App* on = swap->add_subcommand(
      "on", "set memory aside for the device, lock the daemon into memory, mkswap, swapon");
  on->add_option("device", words->device, "zram0, or the path of its disk")->required();
  on->add_option("--reserve", words->reserve, "memory to set aside (default: the mem_limit)")
      ->type_name("SIZE");
  on->add_option("--priority", words->priority, "0 to 32767, higher is used first")->type_name("N");
  on->add_flag("--force", words->is_forced, "even where it can hang the machine");
  add_socket_option(*on, line);
  on->footer("Example: uzram swap on zram0 --priority 100");
  on->callback([&line, words] { line.run = [&line, words] { return run_swap_on(line, *words); }; });

  CLI::App* off = swap->add_subcommand("off", "swapoff, and give back what was set aside");
  off->add_option("device", words->device, "zram0, or the path of its disk")->required();
  add_socket_option(*off, line);
  off->footer("Example: uzram swap off zram0");
  off->callback(
      [&line, words] { line.run = [&line, words] { return run_swap_off(line, *words); }; });
}

}  // namespace uzram
