// SPDX-License-Identifier: Apache-2.0
// device/device_fixture.h: a device in tests, its words as errno values, and an attachment that can
// refuse.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "device/device.h"
#include "store/store_fixture.h"

namespace uzram {

constexpr std::uint64_t kMiB = 1U << 20;

inline std::vector<std::byte> bytes_of(PageKind kind, std::size_t count, std::uint64_t seed) {
  std::vector<std::byte> bytes(count);
  PageMaker(seed).fill(kind, bytes);
  return bytes;
}

// Counts calls; fails with what it is told to.
class TestAttachment : public Attachment {
 public:
  Result<void> attach(Device& device) override {
    ++attach_count;
    if (on_attach) on_attach(device);
    if (attach_error != 0) return fail(attach_error);
    return {};
  }
  Result<void> grow(Device&) override {
    if (grow_error != 0) return fail(grow_error);
    return {};
  }
  Result<void> detach(Device& device) override {
    ++detach_count;
    if (on_detach) on_detach(device);
    if (detach_error != 0) return fail(detach_error);
    return {};
  }
  [[nodiscard]] std::string block_path(const Device& device) const override {
    return "/dev/test" + std::to_string(device.id());
  }

  int attach_count = 0;
  int detach_count = 0;
  int attach_error = 0;
  int detach_error = 0;
  int grow_error = 0;
  std::function<void(Device&)> on_attach;
  std::function<void(Device&)> on_detach;
};

}  // namespace uzram
