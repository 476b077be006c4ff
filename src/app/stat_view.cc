// SPDX-License-Identifier: Apache-2.0
#include "app/stat_view.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/printable_text.h"
#include "base/units.h"
#include "control/size_text.h"

namespace uzram {

namespace {

using Json = nlohmann::json;

std::uint64_t number(const Json& device, const char* name) {
  return device.at("stats").at(name).get<std::uint64_t>();
}

std::string size(const Json& device, const char* name) { return short_size(number(device, name)); }

std::string ratio(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return "-";
  return fmt::format("{:.2f}", static_cast<double>(part) / static_cast<double>(whole));
}

// Memory that is free because the pages are packed; negative when the packing costs more.
std::string saved_text(std::uint64_t stored, std::uint64_t cost) {
  if (cost > stored) return fmt::format("-{}", short_size(cost - stored));
  const std::uint64_t saved = stored - cost;
  if (stored == 0) return short_size(0);
  return fmt::format("{} ({:.0f} %)", short_size(saved),
                     100.0 * static_cast<double>(saved) / static_cast<double>(stored));
}

std::string size_rate(double bytes) { return short_size(static_cast<std::uint64_t>(bytes)) + "/s"; }

}  // namespace

StatRates rates_between(const Json& before, const Json& now, double seconds) {
  const auto rate = [&](const char* name) {
    const std::uint64_t old_value = number(before, name);
    const std::uint64_t new_value = number(now, name);
    return new_value < old_value ? 0.0 : static_cast<double>(new_value - old_value) / seconds;
  };
  StatRates rates;
  rates.reads = rate("read_requests");
  rates.read_bytes = rate("read_sectors") * kSectorBytes;
  rates.writes = rate("write_requests");
  rates.write_bytes = rate("write_sectors") * kSectorBytes;
  rates.discards = rate("discard_requests");
  return rates;
}

std::string stat_block(const Json& device) {
  const std::uint64_t stored = number(device, "orig_data_size");
  const std::uint64_t packed = number(device, "compr_data_size");
  const std::uint64_t cost = number(device, "total_bytes");
  const std::uint64_t limit = number(device, "mem_limit");
  auto disk = device.at("block_path").get<std::string>();
  if (device.value("is_disk_missing", false)) disk = "disk missing (uzram attach)";
  return fmt::format(
      "{} {} {} {}\n"
      "  stored    {} ({} same-filled pages, {} huge pages)\n"
      "  packed    {}\n"
      "  memory    {} in all: pool {}, table {}, pool tables {}, contexts {}, reserve {}\n"
      "  limit     {}, most used {}\n"
      "  ratio     {} packed, {} in all\n"
      "  saved     {}\n"
      "  requests  {} reads, {} writes, {} discards; {} reads and {} writes failed\n",
      device.at("name").get<std::string>(), device.at("algorithm").get<std::string>(),
      short_size(device.at("disksize").get<std::uint64_t>()),
      disk.empty() ? "no disk" : printable(disk), short_size(stored), number(device, "same_pages"),
      number(device, "huge_pages"), short_size(packed), short_size(cost),
      size(device, "mem_used_total"), size(device, "table_bytes"),
      size(device, "pool_metadata_bytes"), size(device, "context_bytes"),
      size(device, "reserved_bytes"), limit == 0 ? "none" : short_size(limit),
      size(device, "mem_used_max"), ratio(stored, packed), ratio(stored, cost),
      saved_text(stored, cost), number(device, "read_requests"), number(device, "write_requests"),
      number(device, "discard_requests"), number(device, "failed_reads"),
      number(device, "failed_writes"));
}

std::string stat_block(const Json& device, const StatRates& rates) {
  return stat_block(device) +
         fmt::format("  now       {:.0f} reads/s {}, {:.0f} writes/s {}, {:.0f} discards/s\n",
                     rates.reads, size_rate(rates.read_bytes), rates.writes,
                     size_rate(rates.write_bytes), rates.discards);
}

std::string stat_line(const Json& device, const StatRates& rates) {
  const std::uint64_t stored = number(device, "orig_data_size");
  const std::uint64_t cost = number(device, "total_bytes");
  return fmt::format(
      "{} stored_bytes={} packed_bytes={} pool_bytes={} total_bytes={} ratio={} reads_per_s={:.0f} "
      "read_bytes_per_s={:.0f} writes_per_s={:.0f} write_bytes_per_s={:.0f} failed_writes={}",
      device.at("name").get<std::string>(), stored, number(device, "compr_data_size"),
      number(device, "mem_used_total"), cost, ratio(stored, cost), rates.reads, rates.read_bytes,
      rates.writes, rates.write_bytes, number(device, "failed_writes"));
}

}  // namespace uzram
