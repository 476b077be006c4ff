// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "app/commands/commands.h"
#include "app/say.h"

namespace uzram {

namespace {

struct PolicyWords {
  std::string device;
  std::vector<std::string> settings;  // "on", "idle_after=5m".
  bool wants_explanation = false;
};

int show(const CommandLine& line, const PolicyWords& words, const char* attribute) {
  int exit_code = 0;
  const auto text = ask_daemon(
      line, {{"op", "get"}, {"device", words.device}, {"attribute", attribute}}, exit_code);
  if (!text) return exit_code;
  print_text(text->get<std::string>());
  return 0;
}

int run_policy(const CommandLine& line, const PolicyWords& words) {
  if (!words.settings.empty()) {
    int exit_code = 0;
    const std::string value = fmt::format("{}", fmt::join(words.settings, " "));
    const nlohmann::json request{
        {"op", "set"}, {"device", words.device}, {"attribute", "policy"}, {"value", value}};
    if (!ask_daemon(line, request, exit_code)) return exit_code;
  }
  if (words.wants_explanation) return show(line, words, "policy_explain");
  return words.settings.empty() ? show(line, words, "policy") : 0;
}

}  // namespace

void add_policy(CLI::App& program, CommandLine& line) {
  CLI::App* command =
      program.add_subcommand("policy", "show or change what a device does by itself");
  const auto words = std::make_shared<PolicyWords>();
  command->add_option("device", words->device, "zram0, or the path of its disk")->required();
  command->add_option("setting", words->settings,
                      "off, on, or on and settings like idle_after=5m; nothing: show them");
  command->add_flag("--explain", words->wants_explanation, "what it would do next, and why");
  add_socket_option(*command, line);
  command->footer("Example: uzram policy zram0 on idle_after=5m");
  command->callback(
      [&line, words] { line.run = [&line, words] { return run_policy(line, *words); }; });
}

}  // namespace uzram
