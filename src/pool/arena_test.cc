// SPDX-License-Identifier: Apache-2.0
#include "pool/arena.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

namespace uzram {
namespace {

constexpr std::uint64_t kTiB = std::uint64_t{1} << 40;

class ArenaTest : public ::testing::Test {
 protected:
  static std::unique_ptr<Arena> make(std::uint64_t bytes) {
    auto arena = Arena::create(bytes);
    EXPECT_TRUE(arena.has_value());
    return arena ? std::move(*arena) : nullptr;
  }
  static void touch(const Arena& arena, std::uint64_t page) {
    arena.base()[page * kPageBytes] = std::byte{1};
  }
  static int error_of(const Result<std::unique_ptr<Arena>>& arena) {
    return arena ? 0 : arena.error().code;
  }
  // The flags that the kernel shows for the mapping that starts at `base`.
  static std::string mapping_flags(const std::byte* base) {
    char start[32];
    std::snprintf(start, sizeof start, "%zx-", reinterpret_cast<std::size_t>(base));
    std::ifstream smaps("/proc/self/smaps");
    bool is_ours = false;
    for (std::string line; std::getline(smaps, line);) {
      if (line.find('-') < line.find(' ')) is_ours = line.rfind(start, 0) == 0;
      if (is_ours && line.rfind("VmFlags:", 0) == 0) return line + " ";
    }
    return {};
  }
};

TEST_F(ArenaTest, ATebibyteCostsNothing) {
  const auto arena = make(kTiB);
  EXPECT_EQ(arena->bytes(), kTiB);
  EXPECT_EQ(arena->resident_bytes(), 0U);
}

TEST_F(ArenaTest, PagesCostMemoryOnceWritten) {
  const auto arena = make(kTiB);
  touch(*arena, 0);
  touch(*arena, kTiB / kPageBytes - 1);
  EXPECT_EQ(arena->resident_bytes(), 2 * kPageBytes);
}

TEST_F(ArenaTest, PunchGivesPagesBackAndLeavesZeros) {
  const auto arena = make(16 * kPageBytes);
  for (std::uint64_t page = 0; page < 16; ++page) touch(*arena, page);
  ASSERT_TRUE(arena->punch(4 * kPageBytes, 8 * kPageBytes));
  EXPECT_EQ(arena->resident_bytes(), 8 * kPageBytes);
  EXPECT_EQ(arena->base()[3 * kPageBytes], std::byte{1});
  EXPECT_EQ(arena->base()[12 * kPageBytes], std::byte{1});
  EXPECT_EQ(arena->base()[4 * kPageBytes], std::byte{0});
  EXPECT_EQ(arena->bytes(), 16 * kPageBytes);
}

TEST_F(ArenaTest, PopulateMakesPagesResidentAndKeepsTheirBytes) {
  const auto arena = make(16 * kPageBytes);
  touch(*arena, 3);
  ASSERT_TRUE(arena->populate(2 * kPageBytes, 4 * kPageBytes));
  EXPECT_EQ(arena->resident_bytes(), 4 * kPageBytes);
  EXPECT_EQ(arena->base()[3 * kPageBytes], std::byte{1});
}

TEST_F(ArenaTest, PopulateWithoutAMappingSaysThatMemoryIsMissing) {
  const auto arena = make(16 * kPageBytes);
  ASSERT_EQ(::munmap(arena->base() + 8 * kPageBytes, 8 * kPageBytes), 0);
  const Result<void> populated = arena->populate(0, 16 * kPageBytes);
  ASSERT_FALSE(populated);
  EXPECT_EQ(populated.error().code, ENOMEM);
}

TEST_F(ArenaTest, ADuplicatedDescriptorOpensTheSameBytes) {
  const auto arena = make(kTiB);
  std::memcpy(arena->base() + 5 * kPageBytes, "hello", 5);
  const auto second = Arena::open(FileDescriptor(::dup(arena->descriptor())));
  ASSERT_TRUE(second);
  EXPECT_EQ((*second)->bytes(), kTiB);
  EXPECT_NE((*second)->base(), arena->base());
  EXPECT_EQ(std::memcmp((*second)->base() + 5 * kPageBytes, "hello", 5), 0);
  (*second)->base()[5 * kPageBytes] = std::byte{'j'};
  EXPECT_EQ(arena->base()[5 * kPageBytes], std::byte{'j'});
}

TEST_F(ArenaTest, BytesOutliveTheArenaThatMadeThem) {
  auto arena = make(4 * kPageBytes);
  touch(*arena, 2);
  FileDescriptor kept(::dup(arena->descriptor()));
  arena.reset();
  const auto second = Arena::open(std::move(kept));
  ASSERT_TRUE(second);
  EXPECT_EQ((*second)->resident_bytes(), kPageBytes);
  EXPECT_EQ((*second)->base()[2 * kPageBytes], std::byte{1});
}

TEST_F(ArenaTest, NextResidentFindsWrittenPages) {
  const auto arena = make(kTiB);
  const std::uint64_t far = kTiB / kPageBytes - 7;
  touch(*arena, 3);
  touch(*arena, 4);
  touch(*arena, far);
  EXPECT_EQ(arena->next_resident(0), 3 * kPageBytes);
  EXPECT_EQ(arena->next_resident(3 * kPageBytes), 3 * kPageBytes);
  EXPECT_EQ(arena->next_resident(4 * kPageBytes), 4 * kPageBytes);
  EXPECT_EQ(arena->next_resident(5 * kPageBytes), far * kPageBytes);
  EXPECT_EQ(arena->next_resident((far + 1) * kPageBytes), kTiB);
  EXPECT_EQ(arena->next_resident(kTiB), kTiB);
  EXPECT_EQ(arena->next_resident(kTiB + kPageBytes), kTiB);
}

TEST_F(ArenaTest, NobodyCanChangeItsSize) {
  const auto arena = make(8 * kPageBytes);
  EXPECT_EQ(::fcntl(arena->descriptor(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
  EXPECT_NE(::ftruncate(arena->descriptor(), kPageBytes), 0);
  EXPECT_EQ(errno, EPERM);
  EXPECT_NE(::ftruncate(arena->descriptor(), 16 * kPageBytes), 0);
  EXPECT_EQ(errno, EPERM);
}

TEST_F(ArenaTest, BytesStayOutOfCoreDumpsAndChildren) {
  const auto arena = make(8 * kPageBytes);
  const auto second = Arena::open(FileDescriptor(::dup(arena->descriptor())));
  ASSERT_TRUE(second);
  for (const std::byte* base : {arena->base(), (*second)->base()}) {
    const std::string flags = mapping_flags(base);
    EXPECT_NE(flags.find(" dd "), std::string::npos) << flags;
    EXPECT_NE(flags.find(" dc "), std::string::npos) << flags;
  }
}

TEST_F(ArenaTest, DescriptorsAreClosedInProgramsThatAreStarted) {
  const auto arena = make(8 * kPageBytes);
  // dup clears the flag, as a descriptor does that was handed over by exec.
  const auto second = Arena::open(FileDescriptor(::dup(arena->descriptor())));
  ASSERT_TRUE(second);
  EXPECT_NE(::fcntl(arena->descriptor(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl((*second)->descriptor(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(ArenaTest, RefusesWhatIsNotAnArena) {
  EXPECT_EQ(error_of(Arena::open(FileDescriptor())), EBADF);
  EXPECT_EQ(error_of(Arena::open(FileDescriptor(::open("/dev/null", O_RDWR)))), EINVAL);
  EXPECT_EQ(error_of(Arena::open(FileDescriptor(::open("/", O_RDONLY | O_DIRECTORY)))), EINVAL);
  FileDescriptor empty(::memfd_create("empty", MFD_CLOEXEC));
  EXPECT_EQ(error_of(Arena::open(std::move(empty))), EINVAL);
  FileDescriptor odd(::memfd_create("odd", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(odd.get(), kPageBytes + 1), 0);
  EXPECT_EQ(error_of(Arena::open(std::move(odd))), EINVAL);
}

TEST_F(ArenaTest, AReadOnlyDescriptorIsRefused) {
  const auto arena = make(8 * kPageBytes);
  const std::string path = "/proc/self/fd/" + std::to_string(arena->descriptor());
  EXPECT_EQ(error_of(Arena::open(FileDescriptor(::open(path.c_str(), O_RDONLY)))), EACCES);
}

TEST_F(ArenaTest, DestructionGivesBackMappingAndDescriptor) {
  auto arena = make(8 * kPageBytes);
  const int descriptor = arena->descriptor();
  const std::byte* base = arena->base();
  arena.reset();
  EXPECT_EQ(::fcntl(descriptor, F_GETFD), -1);
  EXPECT_EQ(mapping_flags(base), "");
}

}  // namespace
}  // namespace uzram
