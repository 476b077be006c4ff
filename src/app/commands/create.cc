// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/commands/commands.h"
#include "app/say.h"
#include "codec/codec.h"
#include "control/algorithm_attributes.h"
#include "control/attribute_table.h"
#include "control/path_words.h"
#include "control/size_text.h"

namespace uzram {

namespace {

struct CreateWords {
  std::string size;
  std::string algorithm;
  std::string mem_limit;
  std::optional<int> level;
  std::optional<int> window_bits;
  std::string dictionary_path;
  std::vector<std::string> settings;  // "use_dedup=1", in the order given.
  std::string policy;                 // A line of the attribute.
};

// Errors: EINVAL in words.
InputResult<nlohmann::json> settings_json(const std::vector<std::string>& settings) {
  nlohmann::json pairs = nlohmann::json::array();
  for (const std::string& setting : settings) {
    const std::size_t equals = setting.find('=');
    const std::string name = setting.substr(0, equals);
    if (equals == std::string::npos || find_attribute(name) == nullptr) {
      return refuse(EINVAL, fmt::format("--set: {} is not ATTRIBUTE=VALUE, like use_dedup=1; uzram "
                                        "get --list shows all attributes",
                                        quote(setting)));
    }
    // The daemon has another working folder.
    pairs.push_back(
        nlohmann::json::array({name, with_absolute_paths(name, setting.substr(equals + 1))}));
  }
  return pairs;
}

// Errors: EINVAL in words that name the option.
InputResult<nlohmann::json> create_request(const CreateWords& words) {
  nlohmann::json request{{"op", "create"}};
  const InputResult<std::uint64_t> size = read_size("--size: ", words.size);
  if (!size) return tl::unexpected<InputError>(size.error());
  if (*size == 0) return refuse(EINVAL, "--size: 0 is no size for a disk; write 512M, 1G or 4GiB");
  request["size"] = *size;
  if (!words.mem_limit.empty()) {
    const InputResult<std::uint64_t> limit = read_size("--mem-limit: ", words.mem_limit);
    if (!limit) return tl::unexpected<InputError>(limit.error());
    request["mem_limit"] = *limit;
  }
  if (!words.algorithm.empty()) {
    if (find_codec(words.algorithm) == nullptr) {
      return refuse(EINVAL, fmt::format("--algorithm: {} is not one of {}", quote(words.algorithm),
                                        algorithm_names()));
    }
    request["algorithm"] = words.algorithm;
  }
  if (words.level) request["level"] = *words.level;
  if (words.window_bits) request["winbits"] = *words.window_bits;
  if (!words.dictionary_path.empty()) {
    request["dict"] = std::filesystem::absolute(words.dictionary_path).string();
  }
  if (!words.settings.empty()) {
    InputResult<nlohmann::json> settings = settings_json(words.settings);
    if (!settings) return tl::unexpected<InputError>(settings.error());
    request["set"] = std::move(*settings);
  }
  if (!words.policy.empty())
    request["set"].push_back(nlohmann::json::array({"policy", words.policy}));
  return request;
}

int run_create(const CommandLine& line, const CreateWords& words) {
  const InputResult<nlohmann::json> request = create_request(words);
  if (!request) return say_usage(request.error().text);
  int exit_code = 0;
  const auto device = ask_daemon(line, *request, exit_code);
  if (!device) return exit_code;
  const auto path = device->at("block_path").get<std::string>();
  print_text(fmt::format("{}{}{}\n", device->at("name").get<std::string>(), path.empty() ? "" : " ",
                         path));
  return 0;
}

}  // namespace

void add_create(CLI::App& program, CommandLine& line) {
  CLI::App* command =
      program.add_subcommand("create", "make a device and print its name and its disk");
  const auto words = std::make_shared<CreateWords>();
  command->add_option("-s,--size", words->size, "size of the disk: bytes, 512M, 1G, 4GiB")
      ->required()
      ->type_name("SIZE");
  command
      ->add_option("-a,--algorithm", words->algorithm,
                   "how pages are packed (default lzo-rle): " + algorithm_names())
      ->type_name("NAME");
  command
      ->add_option("--mem-limit", words->mem_limit,
                   "most memory for packed pages (default 0: no limit)")
      ->type_name("SIZE");
  command->add_option("--level", words->level, "the algorithm's level (default: its own)")
      ->type_name("N");
  command->add_option("--dict", words->dictionary_path, "a file of bytes that pages have in common")
      ->type_name("PATH");
  command->add_option("--winbits", words->window_bits, "deflate's window, as deflate.winbits")
      ->type_name("N");
  command
      ->add_option("--set", words->settings,
                   "an attribute that has to be set before the size, like "
                   "--set 'recomp_algorithm=algo=zstd priority=1'; may be given again")
      ->type_name("ATTRIBUTE=VALUE")
      ->expected(1)
      ->take_all();
  command
      ->add_option("--policy", words->policy,
                   "what the device does by itself (default off): on, or 'on idle_after=5m'")
      ->type_name("LINE");
  add_socket_option(*command, line);
  command->footer("Example: uzram create --size 1G --algorithm zstd");
  command->callback(
      [&line, words] { line.run = [&line, words] { return run_create(line, *words); }; });
}

}  // namespace uzram
