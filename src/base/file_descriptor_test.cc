// SPDX-License-Identifier: Apache-2.0
#include "base/file_descriptor.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace uzram {
namespace {

int open_one() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool is_open_in_the_kernel(int descriptor) { return ::fcntl(descriptor, F_GETFD) >= 0; }

TEST(FileDescriptor, HoldsNoneAtFirst) {
  EXPECT_FALSE(FileDescriptor().is_open());
  EXPECT_FALSE(FileDescriptor(-1).is_open());
}

TEST(FileDescriptor, ClosesAtTheEnd) {
  const int raw = open_one();
  {
    const FileDescriptor owner(raw);
    EXPECT_TRUE(owner.is_open());
    EXPECT_EQ(owner.get(), raw);
  }
  EXPECT_FALSE(is_open_in_the_kernel(raw));
}

TEST(FileDescriptor, ZeroIsADescriptor) {
  FileDescriptor owner(0);
  EXPECT_TRUE(owner.is_open());
  EXPECT_EQ(owner.release(), 0);
}

TEST(FileDescriptor, MovingHandsItOver) {
  const int raw = open_one();
  FileDescriptor first(raw);
  FileDescriptor second(std::move(first));
  EXPECT_FALSE(first.is_open());  // NOLINT(bugprone-use-after-move): what it then holds is defined.
  EXPECT_EQ(second.get(), raw);
  EXPECT_TRUE(is_open_in_the_kernel(raw));
}

TEST(FileDescriptor, AssigningClosesTheOldOne) {
  const int old_raw = open_one();
  const int new_raw = open_one();
  FileDescriptor owner(old_raw);
  owner = FileDescriptor(new_raw);
  EXPECT_FALSE(is_open_in_the_kernel(old_raw));
  EXPECT_EQ(owner.get(), new_raw);
  EXPECT_TRUE(is_open_in_the_kernel(new_raw));
}

TEST(FileDescriptor, AssigningItselfKeepsIt) {
  FileDescriptor owner(open_one());
  FileDescriptor& same = owner;
  owner = std::move(same);
  EXPECT_TRUE(owner.is_open());
  EXPECT_TRUE(is_open_in_the_kernel(owner.get()));
}

TEST(FileDescriptor, ReleaseLeavesItOpen) {
  FileDescriptor owner(open_one());
  const int raw = owner.release();
  EXPECT_FALSE(owner.is_open());
  owner.reset();
  EXPECT_TRUE(is_open_in_the_kernel(raw));
  ::close(raw);
}

TEST(FileDescriptor, ResetClosesOnce) {
  const int raw = open_one();
  FileDescriptor owner(raw);
  owner.reset();
  EXPECT_FALSE(is_open_in_the_kernel(raw));
  const int again = open_one();  // The kernel gives the lowest number: the same.
  owner.reset();
  EXPECT_TRUE(is_open_in_the_kernel(again));
  ::close(again);
}

}  // namespace
}  // namespace uzram
