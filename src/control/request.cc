// SPDX-License-Identifier: Apache-2.0
#include "control/request.h"

#include <fmt/format.h>

#include <array>
#include <climits>
#include <exception>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>

#include "control/algorithm_attributes.h"
#include "control/attribute_table.h"
#include "control/bounded_json.h"
#include "control/device_json.h"
#include "control/operations.h"
#include "control/page_map.h"
#include "device/device.h"

namespace uzram {

namespace {

using Json = nlohmann::json;
using Answer = InputResult<Json>;

tl::unexpected<InputError> pass_on(InputError error) {
  return tl::unexpected<InputError>(std::move(error));
}

InputResult<std::string> required_text(const Json& request, const char* member) {
  const auto found = request.find(member);
  if (found != request.end() && found->is_string()) return found->get<std::string>();
  return refuse(EINVAL, fmt::format("\"{}\" is missing or is not a text", member));
}

// Absent and null are the same.
InputResult<std::optional<std::string>> optional_text(const Json& request, const char* member) {
  const auto found = request.find(member);
  if (found == request.end() || found->is_null()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  return refuse(EINVAL, fmt::format("\"{}\" is not a text", member));
}

InputResult<std::optional<std::uint64_t>> optional_number(const Json& request, const char* member,
                                                          const char* of_what) {
  const auto found = request.find(member);
  if (found == request.end() || found->is_null()) return std::nullopt;
  if (found->is_number_unsigned()) return found->get<std::uint64_t>();
  return refuse(EINVAL, fmt::format("\"{}\" is not a number of {}", member, of_what));
}

InputResult<std::optional<std::uint64_t>> optional_bytes(const Json& request, const char* member) {
  return optional_number(request, member, "bytes");
}

InputResult<std::optional<int>> optional_int(const Json& request, const char* member) {
  const auto found = request.find(member);
  if (found == request.end() || found->is_null()) return std::nullopt;
  if (found->is_number_unsigned() && found->get<std::uint64_t>() <= INT_MAX) {
    return found->get<int>();
  }
  if (found->is_number_integer() && !found->is_number_unsigned() &&
      found->get<std::int64_t>() >= INT_MIN) {
    return found->get<int>();
  }
  return refuse(EINVAL, fmt::format("\"{}\" is not a whole number of 32 bits", member));
}

InputResult<std::shared_ptr<Device>> find_device(const Operations& operations,
                                                 const Json& request) {
  const InputResult<std::string> name = required_text(request, "device");
  if (!name) return pass_on(name.error());
  std::string known;
  for (const std::shared_ptr<Device>& device : operations.devices()) {
    const std::string own_name = device_name(*device);
    if (*name == own_name || (!name->empty() && *name == device->block_path())) return device;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", own_name);
  }
  return refuse(ENODEV, fmt::format("there is no device {}; {}{}", quote(*name),
                                    known.empty() ? "none was created yet" : "there is ", known));
}

// --- create ------------------------------------------------------------------------------------

struct Setting {
  std::string attribute;
  std::string value;
};

struct CreateRequest {
  std::uint64_t size_bytes = 0;
  std::optional<std::string> algorithm;
  std::string params;  // As algorithm_params takes them; empty when none was given.
  std::optional<std::uint64_t> mem_limit_bytes;
  std::vector<Setting> settings;  // In the order in which they are made.
};

InputResult<std::string> params_text(const Json& request) {
  std::string text;
  for (const auto& [member, key] : {std::pair{"level", "level"}, {"winbits", "deflate.winbits"}}) {
    const auto number = optional_int(request, member);
    if (!number) return pass_on(number.error());
    if (*number) text += fmt::format("{}={} ", key, **number);
  }
  const auto path = optional_text(request, "dict");
  if (!path) return pass_on(path.error());
  if (!*path) return text;
  if ((*path)->empty() || (*path)->find_first_of(std::string("\"\0", 2)) != std::string::npos) {
    return refuse(EINVAL, "\"dict\" is not the path of a file, or has a quotation mark in it");
  }
  return text + fmt::format("dict=\"{}\"", **path);
}

constexpr const char* kNoPairs = "\"set\" is not a list of pairs [\"attribute\", \"value\"]";

InputResult<std::vector<Setting>> read_settings(const Json& request) {
  std::vector<Setting> settings;
  const auto found = request.find("set");
  if (found == request.end() || found->is_null()) return settings;
  const auto is_text = [](const Json& pair, std::size_t index) {
    return pair.is_array() && pair.size() == 2 && pair[index].is_string();
  };
  if (!found->is_array()) return refuse(EINVAL, kNoPairs);
  for (const Json& pair : *found) {
    if (!is_text(pair, 0) || !is_text(pair, 1)) {
      return refuse(EINVAL, kNoPairs);
    }
    settings.push_back({pair[0].get<std::string>(), pair[1].get<std::string>()});
  }
  return settings;
}

InputResult<CreateRequest> read_create(const Json& request) {
  CreateRequest create;
  const auto size = optional_bytes(request, "size");
  if (!size) return pass_on(size.error());
  if (!*size) return refuse(EINVAL, "\"size\" is missing");
  create.size_bytes = **size;
  auto algorithm = optional_text(request, "algorithm");
  if (!algorithm) return pass_on(algorithm.error());
  create.algorithm = std::move(*algorithm);
  InputResult<std::string> params = params_text(request);
  if (!params) return pass_on(params.error());
  create.params = std::move(*params);
  const auto limit = optional_bytes(request, "mem_limit");
  if (!limit) return pass_on(limit.error());
  create.mem_limit_bytes = *limit;
  InputResult<std::vector<Setting>> settings = read_settings(request);
  if (!settings) return pass_on(settings.error());
  create.settings = std::move(*settings);
  return create;
}

InputResult<void> set_up(Device& device, const CreateRequest& create) {
  InputResult<void> outcome;
  if (create.algorithm) outcome = store_comp_algorithm(device, *create.algorithm);
  if (outcome && !create.params.empty()) outcome = store_algorithm_params(device, create.params);
  if (outcome && create.mem_limit_bytes) {
    outcome = store_attribute(device, "mem_limit", std::to_string(*create.mem_limit_bytes));
  }
  for (const Setting& setting : create.settings) {
    if (outcome) outcome = store_attribute(device, setting.attribute, setting.value);
  }
  if (outcome) outcome = store_attribute(device, "disksize", std::to_string(create.size_bytes));
  return outcome;
}

Answer answer_create(Operations& operations, const Json& request) {
  const InputResult<CreateRequest> create = read_create(request);
  if (!create) return pass_on(create.error());
  const InputResult<std::shared_ptr<Device>> device = operations.create();
  if (!device) return pass_on(device.error());
  InputResult<void> outcome = set_up(**device, *create);
  if (outcome) return device_json(**device);
  const InputResult<void> removed = operations.remove((*device)->id());
  if (!removed) outcome.error().text += "; and then: " + removed.error().text;
  return pass_on(outcome.error());
}

// --- the other operations ----------------------------------------------------------------------

Answer answer_list(Operations& operations, const Json&) {
  Json list = Json::array();
  for (const std::shared_ptr<Device>& device : operations.devices()) {
    list.push_back(device_json(*device));
  }
  return list;
}

Answer answer_attributes(Operations&, const Json&) { return attribute_list_json(); }

Answer done(const InputResult<void>& outcome) {
  if (!outcome) return pass_on(outcome.error());
  return Json(nullptr);
}

// So many lines of a listed attribute go into one answer.
constexpr std::size_t kMostLines = 16384;

Answer answer_part(const Device& device, const Attribute& attribute, PageIndex first) {
  InputResult<TextPart> part = attribute.list(device, first, kMostLines);
  if (!part) return pass_on(part.error());
  Json next;
  if (part->next) next = part->next->value;
  return Json{{"text", std::move(part->text)}, {"next", std::move(next)}};
}

Answer answer_get(Operations& operations, const Json& request) {
  const auto device = find_device(operations, request);
  if (!device) return pass_on(device.error());
  const auto name = optional_text(request, "attribute");
  if (!name) return pass_on(name.error());
  const auto first = optional_number(request, "first", "a page");
  if (!first) return pass_on(first.error());
  const Attribute* attribute = *name ? find_attribute(**name) : nullptr;
  if (attribute != nullptr && attribute->list != nullptr) {
    return answer_part(**device, *attribute, {first->value_or(0)});
  }
  if (*first) return refuse(EINVAL, "\"first\" is for attributes that come in parts");
  if (!*name) return attributes_json(**device);
  InputResult<std::string> text = show_attribute(**device, **name);
  if (!text) return pass_on(text.error());
  return Json(std::move(*text));
}

Answer answer_set(Operations& operations, const Json& request) {
  const auto device = find_device(operations, request);
  if (!device) return pass_on(device.error());
  const auto name = required_text(request, "attribute");
  if (!name) return pass_on(name.error());
  const auto value = required_text(request, "value");
  if (!value) return pass_on(value.error());
  return done(store_attribute(**device, *name, *value));
}

Answer answer_remove(Operations& operations, const Json& request) {
  const auto device = find_device(operations, request);
  if (!device) return pass_on(device.error());
  return done(operations.remove((*device)->id()));
}

Answer answer_reset(Operations& operations, const Json& request) {
  const auto device = find_device(operations, request);
  if (!device) return pass_on(device.error());
  return done(store_attribute(**device, "reset", "1"));
}

Answer answer_attach(Operations& operations, const Json& request) {
  const auto device = find_device(operations, request);
  if (!device) return pass_on(device.error());
  const InputResult<void> attached = operations.attach(**device);
  if (!attached) return pass_on(attached.error());
  return device_json(**device);
}

Answer answer_compact(Operations& operations, const Json& request) {
  const auto device = find_device(operations, request);
  if (!device) return pass_on(device.error());
  return done(store_attribute(**device, "compact", "1"));
}

Answer answer_stats(Operations& operations, const Json& request) {
  const auto device = find_device(operations, request);
  if (!device) return pass_on(device.error());
  return device_json(**device);
}

Answer answer_map(Operations& operations, const Json& request) {
  const auto device = find_device(operations, request);
  if (!device) return pass_on(device.error());
  const auto cells = optional_number(request, "cells", "cells");
  if (!cells) return pass_on(cells.error());
  constexpr std::uint64_t kStandardCells = 1024;
  const InputResult<PageMap> map = make_page_map(**device, cells->value_or(kStandardCells));
  if (!map) return pass_on(map.error());
  Json json = page_map_json(*map);
  json["device"] = device_name(**device);
  return json;
}

Answer answer_swap_on(Operations& operations, const Json& request) {
  const auto device = find_device(operations, request);
  if (!device) return pass_on(device.error());
  const auto reserve = optional_bytes(request, "reserve");
  if (!reserve) return pass_on(reserve.error());
  const auto priority = optional_int(request, "priority");
  if (!priority) return pass_on(priority.error());
  const auto force = request.find("force");
  const bool is_forced = force != request.end() && !force->is_null();
  if (is_forced && !force->is_boolean()) return refuse(EINVAL, "\"force\" is not true or false");
  const SwapRequest swap{*reserve, *priority, is_forced && force->get<bool>()};
  const auto remarks = operations.swap_on(**device, swap);
  if (!remarks) return pass_on(remarks.error());
  return Json(*remarks);
}

Answer answer_swap_off(Operations& operations, const Json& request) {
  const auto device = find_device(operations, request);
  if (!device) return pass_on(device.error());
  return done(operations.swap_off(**device));
}

Answer answer_stop(Operations& operations, const Json& request) {
  const auto force = request.find("force");
  const bool is_absent = force == request.end() || force->is_null();
  if (!is_absent && !force->is_boolean()) {
    return refuse(EINVAL, "\"force\" is neither true nor false");
  }
  return done(operations.stop(!is_absent && force->get<bool>()));
}

// --- the table ---------------------------------------------------------------------------------

struct Operation {
  std::string_view name;
  std::string_view members;  // Separated and enclosed by blanks; others than these are refused.
  Answer (*answer)(Operations&, const Json&);
};

constexpr std::array kOperations{
    Operation{"list", " ", answer_list},
    Operation{"create", " size algorithm level dict winbits mem_limit set ", answer_create},
    Operation{"get", " device attribute first ", answer_get},
    Operation{"set", " device attribute value ", answer_set},
    Operation{"remove", " device ", answer_remove},
    Operation{"reset", " device ", answer_reset},
    Operation{"attach", " device ", answer_attach},
    Operation{"compact", " device ", answer_compact},
    Operation{"stats", " device ", answer_stats},
    Operation{"map", " device cells ", answer_map},
    Operation{"swap_on", " device reserve priority force ", answer_swap_on},
    Operation{"swap_off", " device ", answer_swap_off},
    Operation{"stop", " force ", answer_stop},
    Operation{"attributes", " ", answer_attributes},
};

Answer answer_json(Operations& operations, const Json& request) {
  if (!request.is_object()) return refuse(EBADMSG, "a request is one JSON object in one line");
  const InputResult<std::string> name = required_text(request, "op");
  if (!name) return pass_on(name.error());
  std::string known;
  for (const Operation& operation : kOperations) {
    known += fmt::format("{}{}", known.empty() ? "" : ", ", operation.name);
    if (operation.name != *name) continue;
    for (const auto& [member, value] : request.items()) {
      if (member == "op" || operation.members.find(" " + member + " ") != std::string_view::npos) {
        continue;
      }
      return refuse(EINVAL, fmt::format("{} does not take {}", *name, quote(member)));
    }
    return operation.answer(operations, request);
  }
  return refuse(EINVAL, fmt::format("{} is not an operation; there are {}", quote(*name), known));
}

// A request has a handful; only `set` of create takes a list.
constexpr std::size_t kMostRequestValues = 4096;

tl::unexpected<InputError> refuse_text(const Error& error) {
  if (error.code == ENOMEM) return refuse(ENOMEM, "no memory for this request");
  if (error.code != E2BIG) return refuse(EBADMSG, "the request is not JSON");
  return refuse(EBADMSG,
                fmt::format("a request has at most {} arrays and objects one in the other, "
                            "and {} values",
                            kMostJsonDepth, kMostRequestValues));
}

Answer answer_line(Operations& operations, std::string_view line) {
  const Result<Json> request = parse_bounded_json(line, kMostRequestValues);
  if (!request) return refuse_text(request.error());
  try {
    return answer_json(operations, *request);
  } catch (const std::bad_alloc&) {
    return refuse(ENOMEM, "no memory for this request");
  } catch (const std::exception& problem) {
    return refuse(EIO, problem.what());
  }
}

}  // namespace

std::string answer_request(Operations& operations, std::string_view line) {
  Answer answer = answer_line(operations, line);
  Json json;
  if (answer) {
    json["ok"] = true;
    json["result"] = std::move(*answer);
  } else {
    const InputError& error = answer.error();
    json = {
        {"ok", false},
        {"error", {{"code", error.code}, {"name", errno_name(error.code)}, {"text", error.text}}}};
  }
  // Bytes that are no UTF-8 (in a name from outside, say) are replaced, so this cannot throw.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace uzram
