// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <memory>

namespace uzram {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return fail(EINVAL);
  return value / 2;
}

Result<void> open_missing() {
  if (::open("/nowhere/at/all", O_RDONLY) < 0) return fail_errno();
  return {};
}

TEST(Result, HoldsAValueOrAnError) {
  EXPECT_EQ(half(8), 4);
  ASSERT_FALSE(half(7));
  EXPECT_EQ(half(7).error(), Error{EINVAL});
}

TEST(Result, FailErrnoKeepsWhatTheSystemCallSaid) {
  EXPECT_EQ(open_missing().error().code, ENOENT);
}

TEST(Result, CarriesWhatCanOnlyBeMoved) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
  ASSERT_TRUE(result);
  const std::unique_ptr<int> taken = std::move(*result);
  EXPECT_EQ(*taken, 5);
}

}  // namespace
}  // namespace uzram
