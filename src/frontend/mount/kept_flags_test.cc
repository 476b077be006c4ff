// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/kept_flags.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>

#include "base/file_descriptor.h"

namespace uzram {
namespace {

KeptFlags all_of_them() {
  return {CompressFlag::Compress, true, KeptFlags::Choice{ClusterAlgorithm::Zstd, 8}};
}

TEST(KeptFlagsTest, TextComesBack) {
  const std::array<KeptFlags, 4> examples = {
      KeptFlags{}, all_of_them(), KeptFlags{CompressFlag::DoNot, false, {}},
      KeptFlags{CompressFlag::Unset, false, KeptFlags::Choice{ClusterAlgorithm::Lzo, 2}}};
  for (const KeptFlags& each : examples) {
    EXPECT_EQ(read_kept_flags_text(kept_flags_text(each)), each) << kept_flags_text(each);
  }
  EXPECT_EQ(kept_flags_text(all_of_them()), "cr:2:8");
}

TEST(KeptFlagsTest, IgnoresWhatItDoesNotUnderstand) {
  EXPECT_EQ(read_kept_flags_text("x"), KeptFlags{});
  for (const char* const text : {"c:", "c:4:2", "c:1:9", "c:1", "c:1:2:", "c:99999999999:2"}) {
    EXPECT_EQ(read_kept_flags_text(text), (KeptFlags{CompressFlag::Compress, false, {}})) << text;
  }
}

TEST(KeptFlagsTest, AreKeptBesideAFile) {
  std::string path = testing::TempDir() + "uzram-flags.XXXXXX";
  const FileDescriptor file(::mkstemp(path.data()));
  ASSERT_TRUE(file.is_open());
  EXPECT_EQ(load_kept_flags(path), KeptFlags{});
  const auto stored = store_kept_flags(path, all_of_them());
  const auto loaded = load_kept_flags(path);
  const auto removed = store_kept_flags(path, {});
  const auto after = load_kept_flags(path);
  ::unlink(path.c_str());
  if (!stored && stored.error().code == EOPNOTSUPP) GTEST_SKIP() << "no xattrs here";
  ASSERT_TRUE(stored && removed);
  EXPECT_EQ(loaded, all_of_them());
  EXPECT_EQ(after, KeptFlags{});
}

TEST(KeptFlagsTest, KnowsItsOwnNames) {
  EXPECT_TRUE(is_kept_flags_name("user.uzram.flags"));
  EXPECT_TRUE(is_kept_flags_name("trusted.uzram.flags"));
  EXPECT_FALSE(is_kept_flags_name("user.uzram"));
}

}  // namespace
}  // namespace uzram
