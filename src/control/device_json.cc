// SPDX-License-Identifier: Apache-2.0
#include "control/device_json.h"

#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "control/attribute_table.h"
#include "control/stat_text.h"
#include "device/device.h"

namespace uzram {

std::string device_name(const Device& device) { return fmt::format("zram{}", device.id()); }

nlohmann::json stats_json(const DeviceStats& stats) {
  nlohmann::json json = nlohmann::json::object();
  for (const StatField& field : stat_fields()) json[std::string(field.name)] = stats.*field.value;
  json["total_bytes"] = stats.total_bytes();
  return json;
}

nlohmann::json device_json(const Device& device) {
  const MemoryLimit limit = device.memory_limit();
  return {{"name", device_name(device)},
          {"id", device.id()},
          {"block_path", device.block_path()},
          {"is_disk_missing", device.is_disk_missing()},
          {"initialised", device.is_initialised()},
          {"algorithm", std::string(device.algorithm().name)},
          {"disksize", device.disksize()},
          {"streams", ::sysconf(_SC_NPROCESSORS_ONLN)},
          {"limit", {{"bytes", limit.bytes}, {"from", limit.from}}},
          {"stats", stats_json(device.stats())}};
}

nlohmann::json attributes_json(const Device& device) {
  nlohmann::json json = nlohmann::json::object();
  for (const Attribute& attribute : device_attributes()) {
    if (attribute.show == nullptr || attribute.is_debug()) continue;
    InputResult<std::string> text = attribute.show(device);
    if (!text) continue;
    if (text->ends_with('\n')) text->pop_back();
    json[std::string(attribute.name)] = *text;
  }
  return json;
}

nlohmann::json attribute_list_json() {
  nlohmann::json list = nlohmann::json::array();
  for (const Attribute& attribute : device_attributes()) {
    list.push_back({{"name", attribute.name},
                    {"mode", fmt::format("{:04o}", attribute.mode)},
                    {"summary", attribute.summary}});
  }
  return list;
}

}  // namespace uzram
