// SPDX-License-Identifier: Apache-2.0
#include "app/device_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/printable_text.h"
#include "control/size_text.h"

namespace uzram {

namespace {

using Json = nlohmann::json;

std::string size_text(std::uint64_t bytes, bool in_bytes) {
  return in_bytes ? std::to_string(bytes) : short_size(bytes);
}

std::uint64_t stat_of(const Json& device, const char* name) {
  return device.at("stats").at(name).get<std::uint64_t>();
}

std::string disksize_text(const Json& device, bool in_bytes) {
  return size_text(device.at("disksize").get<std::uint64_t>(), in_bytes);
}

std::string streams_text(const Json& device, bool) {
  return std::to_string(device.at("streams").get<int>());
}

std::string ratio_text(const Json& device, bool) {
  const std::uint64_t cost = stat_of(device, "total_bytes");
  if (cost == 0) return "-";
  return fmt::format(
      "{:.2f}", static_cast<double>(stat_of(device, "orig_data_size")) / static_cast<double>(cost));
}

// Somebody took the disk away; uzram attach makes it again.
bool is_missing(const Json& device) { return device.value("is_disk_missing", false); }

constexpr std::size_t kStandardCount = 8;

}  // namespace

const std::vector<ListColumn>& all_list_columns() {
  static const std::vector<ListColumn> columns{
      {"NAME", "the device's name", false,
       [](const Json& device, bool) { return device.at("name").get<std::string>(); }},
      {"ALGORITHM", "the compression algorithm", false,
       [](const Json& device, bool) { return device.at("algorithm").get<std::string>(); }},
      {"DISKSIZE", "size of the disk", true, disksize_text},
      {"DATA", "what is stored, before compression", true,
       [](const Json& device, bool in_bytes) {
         return size_text(stat_of(device, "orig_data_size"), in_bytes);
       }},
      {"COMPR", "what is stored, packed", true,
       [](const Json& device, bool in_bytes) {
         return size_text(stat_of(device, "compr_data_size"), in_bytes);
       }},
      {"TOTAL", "pool memory for it", true,
       [](const Json& device, bool in_bytes) {
         return size_text(stat_of(device, "mem_used_total"), in_bytes);
       }},
      {"STREAMS", "processors that compress at once", true, streams_text},
      {"MOUNTPOINT", "where it is mounted, or [SWAP], or [MISSING]", false,
       [](const Json& device, bool) {
         return is_missing(device) ? "[MISSING]" : device.at("mountpoint").get<std::string>();
       }},
      {"DEVICE", "the disk itself", false,
       [](const Json& device, bool) {
         return is_missing(device) ? "missing" : device.at("block_path").get<std::string>();
       }},
      {"ZERO-PAGES", "pages of one repeated pattern", true,
       [](const Json& device, bool) { return std::to_string(stat_of(device, "same_pages")); }},
      {"MEM-LIMIT", "most pool memory it may use", true,
       [](const Json& device, bool in_bytes) {
         return size_text(stat_of(device, "mem_limit"), in_bytes);
       }},
      {"MEM-USED", "most pool memory it has used", true,
       [](const Json& device, bool in_bytes) {
         return size_text(stat_of(device, "mem_used_max"), in_bytes);
       }},
      {"MIGRATED", "pool pages given back by compaction", true,
       [](const Json& device, bool) { return std::to_string(stat_of(device, "pages_compacted")); }},
      {"COST", "all memory: pool, tables, contexts, reserve", true,
       [](const Json& device, bool in_bytes) {
         return size_text(stat_of(device, "total_bytes"), in_bytes);
       }},
      {"LIMIT", "pool memory that it can reach now (0: no limit)", true,
       [](const Json& device, bool in_bytes) {
         return size_text(device.at("limit").at("bytes").get<std::uint64_t>(), in_bytes);
       }},
      {"LIMIT-BY", "by whose word: mem_limit, a cgroup, the machine", false,
       [](const Json& device, bool) { return device.at("limit").at("from").get<std::string>(); }},
      {"RATIO", "DATA divided by COST", true, ratio_text},
  };
  return columns;
}

std::vector<ListColumn> standard_list_columns() {
  const auto& all = all_list_columns();
  return {all.begin(), all.begin() + kStandardCount};
}

InputResult<std::vector<ListColumn>> read_columns(std::string_view text) {
  std::vector<ListColumn> columns;
  while (true) {
    std::string name(text.substr(0, text.find(',')));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    const auto& all = all_list_columns();
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const ListColumn& column) { return column.name == name; });
    if (found == all.end()) {
      std::string names;
      for (const ListColumn& column : all) {
        names += fmt::format("{}{}", names.empty() ? "" : ",", column.name);
      }
      return refuse(EINVAL,
                    fmt::format("--output: {} is not a column; there are {}", quote(name), names));
    }
    columns.push_back(*found);
    if (name.size() >= text.size()) return columns;
    text.remove_prefix(name.size() + 1);
  }
}

std::string format_list(const Json& devices, const std::vector<ListColumn>& columns,
                        ListStyle style) {
  std::vector<std::vector<std::string>> rows;
  if (style.has_headings) {
    auto& row = rows.emplace_back();
    for (const ListColumn& column : columns) row.emplace_back(column.name);
  }
  for (const Json& device : devices) {
    auto& row = rows.emplace_back();
    for (const ListColumn& column : columns) {
      row.push_back(printable(column.text(device, style.in_bytes)));
    }
  }
  std::vector<std::size_t> widths(columns.size(), 0);
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - row[i].size(), ' ');
      if (i != 0) line += ' ';
      line += columns[i].is_right_aligned ? padding + row[i] : row[i] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace uzram
