// SPDX-License-Identifier: Apache-2.0
// get and set.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/commands/commands.h"
#include "app/say.h"
#include "base/printable_text.h"
#include "control/attribute_table.h"
#include "control/path_words.h"
#include "control/size_text.h"

namespace uzram {

namespace {

struct GetWords {
  std::string device;
  std::string attribute;
  bool is_list = false;
  bool is_json = false;
};

struct SetWords {
  std::string device;
  std::string attribute;
  std::vector<std::string> value;
};

constexpr std::string_view kTableHint = "uzram get --list shows them all";

// Columns for the longest name.
std::size_t name_width() {
  std::size_t width = 0;
  for (const Attribute& attribute : device_attributes()) {
    width = std::max(width, attribute.name.size());
  }
  return width;
}

int print_table(bool is_json) {
  if (is_json) {
    nlohmann::json list = nlohmann::json::array();
    for (const Attribute& attribute : device_attributes()) {
      list.push_back({{"name", attribute.name},
                      {"mode", fmt::format("{:04o}", attribute.mode)},
                      {"summary", attribute.summary}});
    }
    print_json(list);
    return 0;
  }
  for (const Attribute& attribute : device_attributes()) {
    fmt::print("{:<{}} {:04o} {}\n", attribute.name, name_width(), attribute.mode,
               attribute.summary);
  }
  return 0;
}

// What stands between the quotation marks of a JSON text.
std::string json_inside(const std::string& text) {
  const std::string dumped =
      nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return dumped.substr(1, dumped.size() - 2);
}

// A long attribute goes by part for part: nothing holds the whole of it.
int print_parts(const CommandLine& line, const GetWords& words) {
  nlohmann::json request{{"op", "get"}, {"device", words.device}, {"attribute", words.attribute}};
  bool is_first = true;
  for (nlohmann::json next = 0; !next.is_null(); is_first = false) {
    request["first"] = next;
    int exit_code = 0;
    const auto part = ask_daemon(line, request, exit_code);
    if (!part) return exit_code;
    const auto text = part->at("text").get<std::string>();
    if (is_first && words.is_json) fmt::print("\"");
    print_text(words.is_json ? json_inside(text) : text);
    if (std::ferror(stdout) != 0) return kExitFailure;  // Nobody reads on (a closed pipe).
    next = part->at("next");
  }
  if (words.is_json) fmt::print("\"\n");
  return 0;
}

int run_get(const CommandLine& line, const GetWords& words) {
  if (words.is_list) return print_table(words.is_json);
  if (words.device.empty()) {
    return say_usage("get needs a device; for example: uzram get zram0 mm_stat");
  }
  const Attribute* attribute = find_attribute(words.attribute);
  if (!words.attribute.empty() && attribute == nullptr) {
    return say_usage(fmt::format("{} is not an attribute; {}", quote(words.attribute), kTableHint));
  }
  if (attribute != nullptr && attribute->list != nullptr) return print_parts(line, words);
  nlohmann::json request{{"op", "get"}, {"device", words.device}};
  if (!words.attribute.empty()) request["attribute"] = words.attribute;
  int exit_code = 0;
  const auto result = ask_daemon(line, request, exit_code);
  if (!result) return exit_code;
  if (words.is_json) {
    print_json(*result);
  } else if (result->is_string()) {
    print_text(result->get<std::string>());
  } else {
    for (const auto& [name, text] : result->items()) {
      std::string value = text.get<std::string>();
      // Several lines of one attribute stay one below the other.
      const std::string indent = "\n" + std::string(name_width() + 1, ' ');
      for (std::size_t at = 0; (at = value.find('\n', at)) != std::string::npos;) {
        value.replace(at, 1, indent);
        at += indent.size();
      }
      print_text(fmt::format("{:<{}} {}\n", printable(name), name_width(), value));
    }
  }
  return 0;
}

// What the attribute file takes; sizes are read strictly here, since a person may have mistyped.
InputResult<std::string> attribute_text(const SetWords& words) {
  const Attribute* attribute = find_attribute(words.attribute);
  if (attribute == nullptr) {
    return refuse(ENOENT,
                  fmt::format("{} is not an attribute; {}", quote(words.attribute), kTableHint));
  }
  const std::string text = fmt::format("{}", fmt::join(words.value, " "));
  // The daemon has another working folder.
  if (!attribute->is_size) return with_absolute_paths(words.attribute, text);
  const InputResult<std::uint64_t> bytes = read_size(words.attribute + ": ", text);
  if (!bytes) return tl::unexpected<InputError>(bytes.error());
  return std::to_string(*bytes);
}

int run_set(const CommandLine& line, const SetWords& words) {
  const InputResult<std::string> text = attribute_text(words);
  if (!text) return say_usage(text.error().text);
  int exit_code = 0;
  const nlohmann::json request{
      {"op", "set"}, {"device", words.device}, {"attribute", words.attribute}, {"value", *text}};
  return ask_daemon(line, request, exit_code) ? 0 : exit_code;
}

}  // namespace

void add_get(CLI::App& program, CommandLine& line) {
  CLI::App* command =
      program.add_subcommand("get", "show an attribute of a device, or all that can be read");
  const auto words = std::make_shared<GetWords>();
  command->add_option("device", words->device, "zram0, or the path of its disk");
  command->add_option("attribute", words->attribute, "its name");
  command->add_flag("--list", words->is_list, "name, mode and meaning of every attribute");
  command->add_flag("--json", words->is_json, "as JSON");
  add_socket_option(*command, line);
  command->footer("Example: uzram get zram0 mm_stat");
  command->callback(
      [&line, words] { line.run = [&line, words] { return run_get(line, *words); }; });
}

void add_set(CLI::App& program, CommandLine& line) {
  CLI::App* command = program.add_subcommand("set", "change an attribute of a device");
  const auto words = std::make_shared<SetWords>();
  command->add_option("device", words->device, "zram0, or the path of its disk")->required();
  command->add_option("attribute", words->attribute, "its name (uzram get --list)")->required();
  command->add_option("value", words->value, "what is written; several words are joined")
      ->required();
  add_socket_option(*command, line);
  command->footer("Example: uzram set zram0 mem_limit 512M");
  command->callback(
      [&line, words] { line.run = [&line, words] { return run_set(line, *words); }; });
}

}  // namespace uzram
