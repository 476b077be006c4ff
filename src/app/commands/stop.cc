// SPDX-License-Identifier: Apache-2.0
#include <poll.h>

#include <cerrno>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/commands/commands.h"
#include "app/default_paths.h"
#include "app/say.h"
#include "control/socket_client.h"

namespace uzram {

namespace {

// When this returns 0, the daemon has ended and its folder is free.
int run_stop(const CommandLine& line, bool is_forced) {
  const InputResult<std::string> path = socket_path_or_default(line.socket_path);
  if (!path) return say_usage(path.error().text);
  const InputResult<FileDescriptor> process = open_server_process(*path);
  if (!process) return say_failure(process.error().text);
  int exit_code = 0;
  if (!ask_daemon(line, {{"op", "stop"}, {"force", is_forced}}, exit_code)) return exit_code;
  pollfd ended{process->get(), POLLIN, 0};
  while (::poll(&ended, 1, -1) < 0 && errno == EINTR) {
  }
  return 0;
}

}  // namespace

void add_stop(CLI::App& program, CommandLine& line) {
  CLI::App* command = program.add_subcommand("stop", "end the daemon, unless data would be lost");
  const auto is_forced = std::make_shared<bool>(false);
  command->add_flag("--force", *is_forced, "drop the pages of disks that nobody uses");
  add_socket_option(*command, line);
  command->footer("Example: uzram stop");
  command->callback(
      [&line, is_forced] { line.run = [&line, is_forced] { return run_stop(line, *is_forced); }; });
}

}  // namespace uzram
