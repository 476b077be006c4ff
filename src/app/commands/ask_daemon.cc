// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "app/commands/commands.h"
#include "app/default_paths.h"
#include "app/say.h"
#include "control/socket_client.h"

namespace uzram {

void add_socket_option(CLI::App& command, CommandLine& line) {
  command
      .add_option("--socket", line.socket_path,
                  "the daemon's socket (default /run/uzram/control as root, otherwise "
                  "$XDG_RUNTIME_DIR/uzram/control)")
      ->type_name("PATH");
}

std::optional<nlohmann::json> ask_daemon(const CommandLine& line, const nlohmann::json& request,
                                         int& exit_code) {
  const InputResult<std::string> path = socket_path_or_default(line.socket_path);
  if (!path) {
    exit_code = say_usage(path.error().text);
    return std::nullopt;
  }
  InputResult<nlohmann::json> answer = call_server(*path, request);
  if (!answer) {
    exit_code = say_failure(answer.error().text);
    return std::nullopt;
  }
  if (answer->at("ok").get<bool>()) return answer->at("result");
  const nlohmann::json& error = answer->at("error");
  exit_code =
      say_refusal(InputError{error.at("code").get<int>(), error.at("text").get<std::string>()});
  return std::nullopt;
}

}  // namespace uzram
