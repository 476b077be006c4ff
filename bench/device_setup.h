// SPDX-License-Identifier: Apache-2.0
// bench/device_setup.h: devices that hold the corpus, and what they cost.
//
// Units:  bytes where a name says so.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "bench/corpus.h"
#include "device/device.h"

namespace uzram::bench {

struct DevicePlan {
  std::string algorithm = "lz4";
  std::string recompression = {};  // At priority 1; empty: none.
  bool uses_dedup = false;
  std::string backing = {};  // Empty: none.
  bool encrypts_backing = true;
  bool has_compressed_writeback = false;
};

Result<std::unique_ptr<Device>> make_device(const DevicePlan& plan, std::size_t pages);
// Page n of the corpus becomes page n of the device.
Result<void> fill(Device& device, const Corpus& corpus);
// Until the pool has not changed for a second, or half a minute has passed.
void wait_for_maintenance(const Device& device);
// Errors: EBADMSG a page that is not the corpus's.
Result<void> verify(Device& device, const Corpus& corpus);

// The device's own account of its memory.
nlohmann::json account(const Device& device);
// The system's: what the arena's file takes.
std::uint64_t arena_bytes(const Device& device);
// Anonymous memory of this process.
std::uint64_t anonymous_bytes();

}  // namespace uzram::bench
