// SPDX-License-Identifier: Apache-2.0
#include "device/device.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"

namespace uzram {
namespace {

TEST(Device, ReadsBackWhatWasWrittenAtAnyAlignment) {
  Device device(0);
  ASSERT_TRUE(device.set_algorithm("lz4").has_value());
  ASSERT_TRUE(device.set_disksize(16 << 20).has_value());
  std::vector<std::byte> mirror(16 << 20);
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    const std::size_t offset = random.below(mirror.size());
    const std::size_t bytes =
        random.below(std::min<std::size_t>(mirror.size() - offset, 300'000) + 1);
    for (std::size_t j = 0; j < bytes; ++j)
      mirror[offset + j] = static_cast<std::byte>((offset + j) * i >> 5);
    ASSERT_TRUE(device.write(offset, ConstBytes(mirror).subspan(offset, bytes)).has_value());
  }
  std::vector<std::byte> out(mirror.size());
  ASSERT_TRUE(device.read(0, out).has_value());
  EXPECT_TRUE(out == mirror);
  device.check_invariants();
}

}  // namespace
}  // namespace uzram
