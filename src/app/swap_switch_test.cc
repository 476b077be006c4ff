// SPDX-License-Identifier: Apache-2.0
// Refusals, which need no privilege. Swap itself is used for real in tests/fuse/.
#include "app/swap_switch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/device.h"

namespace uzram {
namespace {

using testing::HasSubstr;

class NoBlockDevice : public Attachment {
 public:
  Result<void> attach(Device&) override { return {}; }
  Result<void> detach(Device&) override { return {}; }
  [[nodiscard]] std::string block_path(const Device&) const override { return "/dev/null"; }
};

TEST(Reserve, IsTheLimitUnlessItWasGiven) {
  EXPECT_EQ(*settle_reserve(4096, {}), 4096U);
  EXPECT_EQ(*settle_reserve(0, {.reserve_bytes = 8192, .priority = {}, .is_forced = false}), 8192U);
  EXPECT_EQ(*settle_reserve(4096, {.reserve_bytes = 8192, .priority = {}, .is_forced = false}),
            8192U);
}

TEST(Reserve, IsNeverSkipped) {
  for (const SwapRequest& request :
       {SwapRequest{}, SwapRequest{.reserve_bytes = 0, .priority = {}, .is_forced = false}}) {
    const auto reserve = settle_reserve(0, request);
    ASSERT_FALSE(reserve);
    EXPECT_EQ(reserve.error().code, EINVAL);
    EXPECT_THAT(reserve.error().text, HasSubstr("mem_limit"));
    EXPECT_THAT(reserve.error().text, HasSubstr("--reserve"));
  }
}

TEST(SwapSwitch, RefusesADeviceThatIsNoDisk) {
  SwapSwitch swap(true);
  NoBlockDevice attachment;
  const auto shared = std::make_shared<Device>(0, &attachment);
  Device& device = *shared;
  auto outcome = swap.swap_on(shared, {});
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().text, HasSubstr("disksize"));
  ASSERT_TRUE(device.set_disksize(1 << 20));
  outcome = swap.swap_on(shared, {.reserve_bytes = 4096, .priority = {}, .is_forced = false});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, EINVAL);
  EXPECT_THAT(outcome.error().text, HasSubstr("block device"));
  EXPECT_EQ(device.stats().reserved_bytes, 0U);
}

TEST(SwapSwitch, RefusesPrioritiesThatSwaponDoesNotTake) {
  SwapSwitch swap(true);
  const auto shared = std::make_shared<Device>(0);
  for (const int priority : {-1, 32768}) {
    const auto outcome =
        swap.swap_on(shared, {.reserve_bytes = 4096, .priority = priority, .is_forced = false});
    ASSERT_FALSE(outcome);
    EXPECT_THAT(outcome.error().text, HasSubstr("32767"));
  }
}

TEST(SwapSwitch, SwitchesOffOnlyWhatIsSwap) {
  SwapSwitch swap(true);
  Device device(0);
  const auto outcome = swap.swap_off(device);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, EINVAL);
}

}  // namespace
}  // namespace uzram
