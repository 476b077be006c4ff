// SPDX-License-Identifier: Apache-2.0
// What only Strict can do: the kernel itself touches pages that are away.
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "base/file_descriptor.h"
#include "pager/pager_fixture.h"

namespace uzram {
namespace {

constexpr std::uint64_t kTestPages = 100;

class FaultThreadsTest : public ::testing::Test, public PagerFixture {
 protected:
  // A region of test pages, all of them away.
  std::byte* region_of_absent_pages() {
    std::byte* const start = region(kTestPages * kPageBytes);
    fill(start, kTestPages);
    put_away(start);
    return start;
  }
  void put_away(std::byte* start) {
    ASSERT_EQ(errno_of(pager().page_out(start, kTestPages * kPageBytes)), 0);
    ASSERT_EQ(pager().stats().resident_bytes, 0U);
  }
};

TEST_F(FaultThreadsTest, SystemCallsReadAndWritePagesThatAreAway) {
  UZ_MAKE_PAGER(*this, config_of(PagerBackend::Strict));
  std::byte* const start = region_of_absent_pages();
  const FileDescriptor file(::memfd_create("uzram-test", MFD_CLOEXEC));
  ASSERT_TRUE(file.is_open());
  constexpr auto kBytes = static_cast<long>(kTestPages * kPageBytes);
  EXPECT_EQ(::syscall(SYS_pwrite64, file.get(), start, kBytes, 0), kBytes);
  put_away(start);
  ASSERT_EQ(errno_of(pager().drop(start, kTestPages * kPageBytes)), 0);
  EXPECT_EQ(::syscall(SYS_pread64, file.get(), start, kBytes, 0), kBytes);
  EXPECT_EQ(first_wrong(start, kTestPages), kTestPages);
  put_away(start);
  EXPECT_EQ(first_wrong(start, kTestPages), kTestPages) << "what the kernel wrote was kept";
  pager().check_invariants();
}

TEST_F(FaultThreadsTest, ReadsOfAnotherProcessFindPagesThatAreAway) {
  UZ_MAKE_PAGER(*this, config_of(PagerBackend::Strict));
  std::byte* const start = region_of_absent_pages();
  std::vector<std::byte> copy(kTestPages * kPageBytes);
  const iovec to{copy.data(), copy.size()};
  const iovec from{start, copy.size()};
  ASSERT_EQ(::process_vm_readv(::getpid(), &to, 1, &from, 1, 0), static_cast<ssize_t>(copy.size()));
  EXPECT_EQ(first_wrong(copy.data(), kTestPages), kTestPages);
}

TEST_F(FaultThreadsTest, AFutexWaitsInAPageThatWasAway) {
  UZ_MAKE_PAGER(*this, config_of(PagerBackend::Strict));
  std::byte* const start = region_of_absent_pages();
  auto* const word = reinterpret_cast<std::uint32_t*>(start + 50 * kPageBytes);
  *word = 7;
  put_away(start);
  // Not what is waited for: the kernel must have read the word to know that.
  EXPECT_EQ(::syscall(SYS_futex, word, FUTEX_WAIT, 8, nullptr, nullptr, 0), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(FaultThreadsTest, NoSignalHasToBeOpen) {
  UZ_MAKE_PAGER(*this, config_of(PagerBackend::Strict));
  struct sigaction before {};
  ASSERT_EQ(::sigaction(SIGBUS, nullptr, &before), 0);
  std::byte* const start = region_of_absent_pages();
  sigset_t all;
  sigset_t former;
  ::sigfillset(&all);
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &all, &former), 0);
  EXPECT_EQ(first_wrong(start, kTestPages), kTestPages);
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &former, nullptr), 0);
}

// More of them than there are threads that serve: some wait for the same page, some for room.
TEST_F(FaultThreadsTest, ThreadsThatFaultAtOnceAllGoOn) {
  PagerConfig small = config_of(PagerBackend::Strict, kLeastLimitBytes + kMebibyte);
  small.compressor_threads = 0;
  UZ_MAKE_PAGER(*this, small);
  constexpr std::uint64_t kPages = 1500;
  constexpr unsigned kThreads = 12;
  const std::byte* const start = region(kPages * kPageBytes);
  fill(region(kPages * kPageBytes), kPages, 3);
  std::atomic<unsigned> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      const FileDescriptor sink(::open("/dev/null", O_WRONLY | O_CLOEXEC));
      for (std::uint64_t page = 0; page < kPages; ++page) {
        const std::byte* const place = start + page * kPageBytes;
        if (static_cast<const volatile std::byte&>(*place) != std::byte{0}) wrong.fetch_add(1);
        if (::write(sink.get(), place, kPageBytes) != kPageBytes) wrong.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0U);
  pager().check_invariants();
}

TEST_F(FaultThreadsTest, EndWhileAnotherProcessHoldsTheDescriptor) {
  UZ_MAKE_PAGER(*this, config_of(PagerBackend::Strict));
  std::byte* const start = region_of_absent_pages();
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const FileDescriptor reader(ends[0]);
  FileDescriptor writer(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    writer.reset();
    char end = 0;
    ::_exit(::read(reader.get(), &end, 1) == 0 ? 0 : 1);
  }
  EXPECT_EQ(first_wrong(start, kTestPages), kTestPages);
  pager_.reset();
  writer.reset();
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(FaultThreadsTest, NeedAPrivilege) {
  const int status = [] {
    const pid_t child = ::fork();
    if (child == 0) {
      // Nobody: without capabilities, and without rights to the device.
      if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) ::_exit(2);
      const FileDescriptor device(::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC));
      const FileDescriptor called(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC)));
      const bool is_allowed = device.is_open() || called.is_open();
      const auto made = Pager::create(config_of(PagerBackend::Strict));
      if (is_allowed) ::_exit(made ? 0 : 3);
      ::_exit(errno_of(made) == strict_refusal() && errno_of(made) != 0 ? 0 : 4);
    }
    int ended = -1;
    ::waitpid(child, &ended, 0);
    return ended;
  }();
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace uzram
