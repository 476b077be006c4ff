// SPDX-License-Identifier: Apache-2.0
#include "control/classes_text.h"

#include <sstream>

#include "control/attribute_fixture.h"

namespace uzram {
namespace {

using Rows = std::vector<std::vector<std::uint64_t>>;

class ClassesTest : public AttributeTest {
 protected:
  // The rows of numbers, and the total without its name as the last one.
  Rows rows() {
    std::istringstream text(show("classes"));
    std::string line;
    std::getline(text, line);
    Rows all;
    while (std::getline(text, line)) {
      if (line.empty()) continue;
      std::istringstream words(line.starts_with(" Total") ? line.substr(6) : line);
      all.emplace_back();
      for (std::uint64_t number = 0; words >> number;) all.back().push_back(number);
    }
    return all;
  }
};

TEST_F(ClassesTest, HaveTheKernelsColumns) {
  ASSERT_EQ(store("disksize", "16M"), "ok");
  EXPECT_EQ(show("classes"),
            " class  size       10%       20%       30%       40%       50%       60%       70%"
            "       80%       90%       99%      100% obj_allocated   obj_used pages_used"
            " pages_per_zspage freeable\n"
            "\n"
            " Total               0         0         0         0         0         0         0"
            "         0         0         0         0             0          0          0"
            "                         0\n");
}

TEST_F(ClassesTest, AddUpToWhatTheDeviceUses) {
  ASSERT_EQ(store("disksize", "64M"), "ok");
  write_pages(0, 3000, std::byte{1});
  write_pages(5000, 1, std::byte{2});
  const Rows all = rows();
  ASSERT_GE(all.size(), 2U);
  std::vector<std::uint64_t> sums(15);
  for (std::size_t i = 0; i + 1 < all.size(); ++i) {
    ASSERT_EQ(all[i].size(), 18U);
    EXPECT_EQ(all[i][1], 16 * all[i][0]);
    for (std::size_t column = 0; column < 14; ++column) sums[column] += all[i][2 + column];
    sums[14] += all[i][17];
    EXPECT_GE(all[i][13], all[i][14]);
  }
  EXPECT_EQ(all.back(), sums);
  EXPECT_EQ(sums[12], 3001U) << "objects";
  EXPECT_EQ(sums[13] * kPageBytes, mm_stat(3));
}

TEST_F(ClassesTest, NeedADisksize) {
  EXPECT_EQ(show("classes"), "EINVAL");
  EXPECT_EQ(store("classes", "1"), "EACCES");
}

TEST_F(ClassesTest, SayWhatCompactionCanGiveBack) {
  ASSERT_EQ(store("disksize", "64M"), "ok");
  write_pages(0, 3000, std::byte{1});
  for (std::uint64_t page = 0; page < 3000; page += 2) {
    ASSERT_TRUE(device_.discard(page * kPageBytes, kPageBytes));
  }
  const std::uint64_t free_pages = rows().back()[14];
  ASSERT_EQ(store("compact", "1"), "ok");
  EXPECT_LE(rows().back()[14], free_pages);
  EXPECT_LE(rows().back()[14], 1U);
}

}  // namespace
}  // namespace uzram
