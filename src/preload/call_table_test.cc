// SPDX-License-Identifier: Apache-2.0
#include "preload/call_table.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>

namespace uzram {
namespace {

TEST(CallTable, NamesFunctionsThatThisLibcHas) {
  unsigned missing = 0;
  for (const CallRow& row : call_table())
    if (::dlsym(RTLD_DEFAULT, row.name) == nullptr) ++missing;
  // Libraries differ in a few.
  EXPECT_LE(missing, 4U);
  EXPECT_GE(call_table().size(), 190U);
}

TEST(CallTable, HasRulesInEveryRowAndNoneBehindAnEmptyOne) {
  for (const CallRow& row : call_table()) {
    EXPECT_NE(ArgKind::None, row.rules[0].kind) << row.name;
    bool is_over = false;
    for (const ArgRule& rule : row.rules) {
      if (rule.kind == ArgKind::None) is_over = true;
      EXPECT_TRUE(!is_over || rule.kind == ArgKind::None) << row.name;
      EXPECT_LT(rule.arg, 6) << row.name;
      EXPECT_LT(rule.other, 6) << row.name;
    }
  }
}

// Calls that are cut have (descriptor, buffer, count), which cutting relies on.
TEST(CallTable, CutsOnlyCallsOfOneShape) {
  for (const CallRow& row : call_table()) {
    if (row.cut == CutKind::None) continue;
    EXPECT_EQ(row.cut == CutKind::Bytes ? ArgKind::Counted : ArgKind::Vector, row.rules[0].kind)
        << row.name;
    EXPECT_EQ(1, row.rules[0].arg) << row.name;
    EXPECT_EQ(2, row.rules[0].other) << row.name;
  }
}

TEST(CallTable, FindsRowsByNameAndByNumber) {
  EXPECT_EQ(nullptr, find_call("fsync"));
  ASSERT_NE(nullptr, find_call("pwrite64"));
  EXPECT_FALSE(find_call("pwrite64")->rules[0].is_written);
  EXPECT_TRUE(find_call("pread64")->rules[0].is_written);
  EXPECT_EQ(find_call("read"), find_system_call(SYS_read));
  EXPECT_EQ(find_call("fstatat"), find_system_call(SYS_newfstatat));
  EXPECT_EQ(nullptr, find_system_call(SYS_getpid));
}

}  // namespace
}  // namespace uzram
