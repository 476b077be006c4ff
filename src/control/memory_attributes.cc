// SPDX-License-Identifier: Apache-2.0
#include "control/memory_attributes.h"

#include <fmt/format.h>

#include <limits>

#include "control/kernel_text.h"
#include "device/device.h"

namespace uzram {

InputResult<void> store_mem_limit(Device& device, std::string_view text) {
  const MemorySize size = parse_memory_size(text);
  if (!size.is_number) {
    return refuse(EINVAL, fmt::format("mem_limit: {} is not a size; {}, or 0 for no limit",
                                      quote(text), kSizeExample));
  }
  // Within a page of 2^64, rounding up to pages gives 0 in the kernel, which means no limit.
  constexpr std::uint64_t kHighest = std::numeric_limits<std::uint64_t>::max() - (kPageBytes - 1);
  device.set_mem_limit(size.bytes > kHighest ? 0 : size.bytes);
  return {};
}

InputResult<void> store_mem_used_max(Device& device, std::string_view text) {
  const Result<std::uint64_t> value =
      parse_unsigned(text, std::numeric_limits<std::uint64_t>::max());
  if (!value || *value != 0) {
    return refuse(EINVAL,
                  fmt::format("mem_used_max: {} is not 0; write 0 to start the maximum at what is "
                              "used now",
                              quote(text)));
  }
  device.reset_mem_used_max();
  return {};
}

InputResult<void> store_compact(Device& device, std::string_view) {
  const Result<void> outcome = device.compact();
  if (outcome) return {};
  return refuse(outcome.error().code,
                "compact: the device has no disksize yet; write disksize first");
}

InputResult<std::string> show_mem_reserve(const Device& device) {
  return fmt::format("{}\n", device.stats().reserve_bytes);
}

InputResult<void> store_mem_reserve(Device& device, std::string_view text) {
  const MemorySize size = parse_memory_size(text);
  if (!size.is_number) {
    return refuse(EINVAL,
                  fmt::format("mem_reserve: {} is not a size; {}, or 0 to give the reserve back",
                              quote(text), kSizeExample));
  }
  const Result<void> outcome = device.reserve(size.bytes);
  if (outcome) return {};
  if (outcome.error().code == EINVAL) {
    return refuse(EINVAL, "mem_reserve: the device has no disksize yet; write disksize first");
  }
  return refuse(
      outcome.error().code,
      fmt::format("mem_reserve: no memory for {} bytes; the reserve is as before", size.bytes));
}

}  // namespace uzram
