// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "app/commands/commands.h"
#include "app/default_paths.h"
#include "app/say.h"
#include "app/zram_shell.h"

namespace uzram {

namespace {

struct ShellWords {
  std::string tree_folder;
  std::vector<std::string> program;
};

int run_shell(const ShellWords& words) {
  std::string tree = words.tree_folder;
  if (tree.empty()) {
    const InputResult<std::string> folder = default_state_folder();
    if (!folder) return say_usage(folder.error().text);
    tree = *folder + "/sys";
  }
  return run_zram_shell(std::filesystem::absolute(tree).lexically_normal(), words.program);
}

}  // namespace

void add_shell(CLI::App& program, CommandLine& line) {
  CLI::App* command = program.add_subcommand(
      "shell", "run a program that finds our devices where the kernel has its zram");
  const auto words = std::make_shared<ShellWords>();
  command
      ->add_option("--sys", words->tree_folder,
                   "where the daemon's attributes are mounted (default /run/uzram/sys)")
      ->type_name("DIR");
  command->add_option("program", words->program, "the program and its arguments, after --")
      ->required();
  command->footer("Example: uzram shell -- zramctl --find --size 1G");
  command->callback([&line, words] { line.run = [words] { return run_shell(*words); }; });
}

}  // namespace uzram
