// SPDX-License-Identifier: Apache-2.0
#include "app/memory_lock.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/sanitized.h"

namespace uzram {
namespace {

Touch touch_of(std::string_view line) {
  const std::optional<Mapping> mapping = read_mapping(line);
  EXPECT_TRUE(mapping) << line;
  return mapping ? mapping->touch : Touch::Nothing;
}

TEST(Mappings, AreTouchedAsTheyAreUsed) {
  EXPECT_EQ(touch_of("55d0c0000000-55d0c0021000 rw-p 00000000 00:00 0    [heap]"), Touch::Write);
  EXPECT_EQ(touch_of("7f0000001000-7f0000081000 rw-p 00000000 00:00 0 "), Touch::Write);
  EXPECT_EQ(touch_of("7f0000000000-7f0000100000 r-xp 00000000 08:01 42   /usr/lib/libc.so.6"),
            Touch::Read);
  EXPECT_EQ(touch_of("7f0000000000-7f0000001000 rw-p 00000000 08:01 42   /usr/lib/libc.so.6"),
            Touch::Write);
}

TEST(Mappings, ThatAreArenasGuardsOrTheKernelsAreLeftAlone) {
  EXPECT_EQ(touch_of("7f0000000000-7f4000000000 rw-s 00000000 00:01 42   /memfd:uzram (deleted)"),
            Touch::Nothing);
  EXPECT_EQ(touch_of("7f0000000000-7f0000001000 ---p 00000000 00:00 0 "), Touch::Nothing);
  EXPECT_EQ(touch_of("7f0000000000-7f0010000000 rw-p 00000000 00:00 0 "), Touch::Nothing);
  EXPECT_EQ(touch_of("7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0    [vdso]"), Touch::Nothing);
}

TEST(Mappings, OfOtherTextAreNone) {
  for (const auto line :
       {"", "x", "1000", "1000-", "2000-1000 rw-p 0", "1000-2000", "1000-2000 rw"}) {
    EXPECT_FALSE(read_mapping(line)) << line;
  }
}

// What of /proc/self/status tells locked memory, in kilobytes.
long locked_kilobytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    long value = 0;
    if (word == "VmLck:" && status >> value) return value;
  }
  return -1;
}

int oom_score() {
  int score = 0;
  std::ifstream("/proc/self/oom_score_adj") >> score;
  return score;
}

// The sanitizers turn mlockall() into nothing, and size the stacks of threads themselves: cases
// that need either are skipped there.

// Locking concerns the whole process, so each case runs in one of its own.
template <typename Body>
int run_apart(Body body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

TEST(MemoryLock, LocksWithoutFillingHolesAndUndoesItAll) {
  if (::geteuid() != 0) GTEST_SKIP() << "locking memory needs root";
  if (kIsSanitized) GTEST_SKIP() << "under this sanitizer memory cannot be locked";
  EXPECT_EQ(run_apart([] {
              constexpr std::size_t kHoleBytes = std::size_t{4} << 30;
              void* hole = ::mmap(nullptr, kHoleBytes, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
              if (hole == MAP_FAILED) return 1;
              const int former_score = oom_score();
              MemoryLock lock;
              if (!lock.lock() || !lock.is_locked()) return 2;
              if (locked_kilobytes() <= 0) return 3;
              std::vector<unsigned char> residency(kHoleBytes / 4096);
              if (::mincore(hole, kHoleBytes, residency.data()) != 0) return 4;
              for (const unsigned char page : residency) {
                if ((page & 1) != 0) return 5;
              }
              if (!lock.lock()) return 6;  // For a second device.
              lock.unlock();
              lock.unlock();
              if (locked_kilobytes() != 0 || oom_score() != former_score) return 7;
              return 0;
            }),
            0);
}

TEST(MemoryLock, IsRefusedInWordsWithoutPrivilege) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user with no locked memory";
  if (kIsSanitized) GTEST_SKIP() << "under this sanitizer memory cannot be locked";
  EXPECT_EQ(run_apart([] {
              const rlimit none{0, 0};
              if (::setrlimit(RLIMIT_MEMLOCK, &none) != 0) return 1;
              if (::setresuid(65534, 65534, 65534) != 0) return 2;
              MemoryLock lock;
              const auto outcome = lock.lock();
              if (outcome || lock.is_locked()) return 3;
              return outcome.error().text.find("root") == std::string::npos ? 4 : 0;
            }),
            0);
}

TEST(StackLimit, KeepsStacksSmallEnoughToBeTouchedAsAWhole) {
  if (kIsSanitized) GTEST_SKIP() << "this sanitizer sizes the stacks of threads";
  EXPECT_EQ(run_apart([] {
              limit_thread_stacks();
              std::size_t stack_bytes = 0;
              std::thread([&] {
                pthread_attr_t attributes;
                ::pthread_getattr_np(::pthread_self(), &attributes);
                ::pthread_attr_getstacksize(&attributes, &stack_bytes);
                ::pthread_attr_destroy(&attributes);
              }).join();
              return stack_bytes > 0 && stack_bytes <= (1U << 20) ? 0 : 1;
            }),
            0);
}

}  // namespace
}  // namespace uzram
