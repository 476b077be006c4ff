// SPDX-License-Identifier: Apache-2.0
// Nothing is silently wrong: the right data, or an end that says why.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <thread>

#include "base/file_descriptor.h"
#include "pager/pager_core.h"
#include "pager/pager_file_fixture.h"

namespace uzram {

// Sees what only tests may see.
class PagerPeer {
 public:
  // Flips every byte of the packed pages, as broken memory might.
  static void damage_packed_pages(Pager& pager) {
    const int arena = pager.core_->device().arena_descriptor();
    // The slot table has three words a page of the device; the pool is behind it.
    const auto pool = static_cast<off_t>(pager.core_->device().disksize() / kPageBytes * 24);
    off_t end = pool;
    for (off_t start = 0; (start = ::lseek(arena, end, SEEK_DATA)) >= 0;) {
      end = ::lseek(arena, start, SEEK_HOLE);
      const auto bytes = static_cast<std::size_t>(end - start);
      void* const place = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, arena, start);
      ASSERT_NE(place, MAP_FAILED);
      auto* const each = static_cast<unsigned char*>(place);
      for (std::size_t i = 0; i < bytes; ++i) each[i] ^= 0x5aU;
      ::munmap(place, bytes);
    }
  }
};

namespace {

class PagerSafety : public EveryBackend {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
  [[nodiscard]] static bool has_userfaultfd() { return GetParam() != PagerBackend::Signal; }
};
INSTANTIATE_TEST_SUITE_P(Backends, PagerSafety, backends_with_faults(), backend_name);

// Sanitizers turn a signal that nobody handles into a report and an exit.
class DiesOf {
 public:
  explicit DiesOf(int signal) : signal_(signal) {}
  bool operator()(int status) const {
    if (WIFSIGNALED(status)) return WTERMSIG(status) == signal_;
    return UZ_PAGER_UNDER_SANITIZER != 0 && WEXITSTATUS(status) != 0;
  }

 private:
  int signal_;
};

template <typename Check>
int status_of_child(Check check) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(check() ? 0 : 1);
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

void touch(const std::byte* place) {
  static_cast<void>(*static_cast<const volatile std::byte*>(place));
}

TEST_P(PagerSafety, AChildDiesWithAMessageWhenItTouchesARegion) {
  UZ_MAKE_PAGER(*this, config());
  std::byte* const start = region(100 * kPageBytes);
  fill(start, 100);
  EXPECT_EXIT(
      {
        const int status = status_of_child([&] {
          touch(start);
          return true;
        });
        if (WIFSIGNALED(status)) ::raise(WTERMSIG(status));
        ::_exit(WEXITSTATUS(status));
      },
      DiesOf(SIGSEGV), "a child of fork\\(\\) has no memory of a pager");
  EXPECT_EQ(first_wrong(start, 100), 100U);
}

TEST_P(PagerSafety, AChildMayEndWithoutThePager) {
  UZ_MAKE_PAGER(*this, config());
  fill(region(100 * kPageBytes), 100);
  const int status = status_of_child([&] {
    const bool is_refused = errno_of(pager().make_region(1)) == EPERM;
    pager_.reset();
    return is_refused;
  });
  EXPECT_EQ(status, 0);
  pager().check_invariants();
}

TEST_P(PagerSafety, APopulatedChildHasACopyOfEverything) {
  if (!has_userfaultfd()) GTEST_SKIP() << "Signal refuses ForkRule::Populate";
  PagerConfig populating = config();
  populating.fork_rule = ForkRule::Populate;
  UZ_MAKE_PAGER(*this, populating);
  constexpr std::uint64_t kPages = 12 * kMebibyte / kPageBytes;
  std::byte* const start = region(2 * kPages * kPageBytes);
  fill(start, kPages);
  for (std::uint64_t round = 0; round < 2; ++round) {
    const int status = status_of_child([&] {
      if (first_wrong(start, kPages, round) != kPages) return false;
      if (!is_zero_page(start + kPages * kPageBytes)) return false;
      fill(start, kPages, 55);
      return first_wrong(start, kPages, 55) == kPages;
    });
    EXPECT_EQ(status, 0);
    EXPECT_EQ(first_wrong(start, kPages, round), kPages);
    fill(start, kPages, round + 1);
    EXPECT_EQ(first_wrong(start, kPages, round + 1), kPages);
    EXPECT_LE(pager().stats().total_bytes(), 9 * kMebibyte);
    pager().check_invariants();
  }
}

TEST_P(PagerSafety, PagesSharedWithALivingChildCanBePutAway) {
  if (!has_userfaultfd()) GTEST_SKIP() << "Signal refuses ForkRule::Populate";
  PagerConfig populating = config();
  populating.fork_rule = ForkRule::Populate;
  UZ_MAKE_PAGER(*this, populating);
  std::byte* const start = region(500 * kPageBytes);
  fill(start, 500);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const FileDescriptor reader(ends[0]);
  FileDescriptor writer(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    writer.reset();
    char end = 0;
    const bool is_closed = ::read(reader.get(), &end, 1) == 0;
    ::_exit(is_closed && first_wrong(start, 500) == 500 ? 0 : 1);
  }
  ASSERT_EQ(errno_of(pager().page_out(start, 500 * kPageBytes)), 0);
  EXPECT_EQ(pager().stats().resident_bytes, 0U);
  EXPECT_EQ(first_wrong(start, 500), 500U);
  fill(start, 500, 9);
  writer.reset();
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(first_wrong(start, 500, 9), 500U);
  pager().check_invariants();
}

TEST_P(PagerSafety, MemoryThatTheProgramMovesEndsIt) {
  UZ_MAKE_PAGER(*this, config());
  std::byte* const start = region(100 * kPageBytes);
  fill(start, 100);
  ASSERT_EQ(errno_of(pager().page_out(start, 100 * kPageBytes)), 0);
  EXPECT_EXIT(
      {
        void* const moved = ::mremap(start, 100 * kPageBytes, 100 * kPageBytes,
                                     MREMAP_MAYMOVE | MREMAP_FIXED, start + 64 * kMebibyte);
        touch(static_cast<const std::byte*>(moved));
        ::_exit(0);
      },
      DiesOf(has_userfaultfd() ? SIGABRT : SIGSEGV),
      has_userfaultfd() ? "has moved a pager's memory with mremap" : "");
}

TEST_P(PagerSafety, MemoryThatTheProgramDropsItselfEndsIt) {
  if (!has_userfaultfd()) GTEST_SKIP() << "MADV_DONTNEED does not drop the pages of a memory file";
  UZ_MAKE_PAGER(*this, config());
  std::byte* const start = region(100 * kPageBytes);
  fill(start, 100);
  EXPECT_EXIT(
      {
        ::madvise(start, 100 * kPageBytes, MADV_DONTNEED);
        touch(start);
        ::_exit(0);
      },
      DiesOf(SIGABRT), "dropped or remapped a pager's memory itself");
}

TEST_P(PagerSafety, MoreThanTheLimitHoldsEndsWithItsName) {
  UZ_MAKE_PAGER(*this, config());
  constexpr std::uint64_t kPages = 10 * kMebibyte / kPageBytes;
  auto* const start = reinterpret_cast<std::uint64_t*>(region(kPages * kPageBytes));
  EXPECT_EXIT(
      {
        Random random(1);
        for (std::uint64_t i = 0; i < kPages * kPageBytes / sizeof *start; ++i)
          start[i] = random.next();
        ::_exit(0);
      },
      DiesOf(SIGABRT), "the memory limit of 8388608 bytes is used up");
}

TEST_P(PagerSafety, ATouchBehindARegionIsTheProgramsOwnFault) {
  UZ_MAKE_PAGER(*this, config());
  const std::byte* const start = region(3 * kPageBytes);
  EXPECT_EXIT(
      {
        touch(start + 3 * kPageBytes);
        ::_exit(0);
      },
      DiesOf(SIGSEGV), "");
}

sigjmp_buf jump_target;
std::atomic<int> jumps{0};
std::atomic<void*> jump_address{nullptr};

void jump_out(int, siginfo_t* info, void*) {
  jumps.fetch_add(1);
  jump_address.store(info->si_addr);
  siglongjmp(jump_target, 1);
}

// A handler of the program's own, from before the pager until after it.
class OwnHandler {
 public:
  OwnHandler(int signal, std::unique_ptr<Pager>& pager) : signal_(signal), pager_(pager) {
    struct sigaction action {};
    action.sa_sigaction = jump_out;
    action.sa_flags = SA_SIGINFO;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(signal, &action, &former_);
    jumps.store(0);
  }
  ~OwnHandler() {
    pager_.reset();
    ::sigaction(signal_, &former_, nullptr);
  }
  OwnHandler(const OwnHandler&) = delete;
  OwnHandler& operator=(const OwnHandler&) = delete;

 private:
  int signal_;
  std::unique_ptr<Pager>& pager_;
  struct sigaction former_ {};
};

bool raises_a_signal(const std::byte* place) {
  if (sigsetjmp(jump_target, 1) != 0) return true;
  touch(place);
  return false;
}

TEST_P(PagerSafety, ADamagedPageIsAnErrorAtThatPageAlone) {
  const OwnHandler handler(has_userfaultfd() ? SIGBUS : SIGSEGV, pager_);
  UZ_MAKE_PAGER(*this, config());
  std::byte* const start = region(100 * kPageBytes);
  fill(start, 100);
  ASSERT_EQ(errno_of(pager().page_out(start, 50 * kPageBytes)), 0);
  PagerPeer::damage_packed_pages(pager());
  EXPECT_TRUE(raises_a_signal(start + 7 * kPageBytes));
  EXPECT_TRUE(raises_a_signal(start + 7 * kPageBytes)) << "and again";
  EXPECT_EQ(jumps.load(), 2);
  EXPECT_EQ(jump_address.load(), start + 7 * kPageBytes);
  EXPECT_EQ(errno_of(pager().pin(start + 8 * kPageBytes, 1)), EIO);
  EXPECT_EQ(first_wrong(start + 50 * kPageBytes, 50, 50), 50U);
  ASSERT_EQ(errno_of(pager().drop(start, 50 * kPageBytes)), 0);
  fill(start, 100);
  EXPECT_EQ(first_wrong(start, 100), 100U) << "what was dropped can be used again";
  pager().check_invariants();
}

TEST_P(PagerSafety, ADamagedClusterOfAFileIsAnErrorAtItsPagesAlone) {
  const OwnHandler handler(has_userfaultfd() ? SIGBUS : SIGSEGV, pager_);
  TestClusterFile damaged;
  damaged.fill(64);
  std::uint64_t block = 0;
  ASSERT_TRUE(damaged.file->visit_clusters([&](std::uint64_t cluster, const MapEntry& entry) {
    if (cluster == 3) block = entry.first_block;
  }));
  damaged.disk->bytes[block * kPageBytes + 100] ^= std::byte{1};
  TestClusterFile mapped{std::move(damaged.disk), nullptr};
  auto opened =
      ClusterFile::open(std::make_unique<MemoryStorage>(mapped.disk), StorageMode::Write, {});
  ASSERT_TRUE(opened);
  mapped.file = std::move(*opened);
  UZ_MAKE_PAGER(*this, config());
  const auto made = pager().map_cluster_file(mapped.file, 0, 64 * kPageBytes, MapSharing::Shared);
  ASSERT_TRUE(made);
  std::byte* const start = *made;
  EXPECT_TRUE(raises_a_signal(start + 13 * kPageBytes));
  EXPECT_EQ(jump_address.load(), start + 13 * kPageBytes);
  EXPECT_EQ(errno_of(pager().pin(start + 14 * kPageBytes, 1)), EIO);
  EXPECT_EQ(first_wrong(start, 12), 12U);
  EXPECT_EQ(first_wrong(start + 16 * kPageBytes, 48, 16), 48U);
  EXPECT_EQ(errno_of(pager().sync(start, 64 * kPageBytes)), 0) << "nothing was written";
  // A whole cluster that is written anew heals it.
  std::vector<std::byte> whole(4 * kPageBytes, std::byte{1});
  ASSERT_TRUE(mapped.file->write(12 * kPageBytes, whole));
  ASSERT_EQ(errno_of(pager().drop(start, 64 * kPageBytes)), 0);
  EXPECT_EQ(start[13 * kPageBytes], std::byte{1});
  pager().check_invariants();
}

TEST_P(PagerSafety, SignalsThatAreNotOursReachTheProgram) {
  const OwnHandler handler(has_userfaultfd() ? SIGBUS : SIGSEGV, pager_);
  UZ_MAKE_PAGER(*this, config());
  std::byte* const start = region(3000 * kPageBytes);
  // A page of a file that has no such page, and a page that may not be read.
  std::FILE* const file = std::tmpfile();
  void* const foreign =
      has_userfaultfd()
          ? ::mmap(nullptr, kPageBytes, PROT_READ, MAP_SHARED, ::fileno(file), 0)
          : ::mmap(nullptr, kPageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(foreign, MAP_FAILED);
  EXPECT_TRUE(raises_a_signal(static_cast<const std::byte*>(foreign)));
  EXPECT_EQ(jump_address.load(), foreign);
  fill(start, 3000);
  EXPECT_EQ(first_wrong(start, 3000), 3000U);
  if (sigsetjmp(jump_target, 1) == 0) ::raise(has_userfaultfd() ? SIGBUS : SIGSEGV);
  EXPECT_EQ(jumps.load(), 2);
  ::munmap(foreign, kPageBytes);
  std::fclose(file);
}

std::atomic<std::byte*> alarm_region{nullptr};
std::atomic<int> alarms{0};
void touch_on_alarm(int) {
  // The pages that the interrupted thread is busy with, and others.
  static Random random(6);
  std::byte* const start = alarm_region.load();
  for (int i = 0; i < 4; ++i) start[random.below(64) * kPageBytes + 9] = std::byte{1};
  alarms.fetch_add(1);
}

TEST_P(PagerSafety, SignalHandlersMayTouchARegionAtAnyTime) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the thread sanitizer holds signals back, and raises them where it likes";
#endif
  UZ_MAKE_PAGER(*this, config());
  std::byte* const start = region(2000 * kPageBytes);
  alarm_region.store(start);
  struct sigaction action {};
  struct sigaction former {};
  action.sa_handler = touch_on_alarm;
  action.sa_flags = SA_RESTART;
  ASSERT_EQ(::sigaction(SIGALRM, &action, &former), 0);
  const itimerval often{{0, 200}, {0, 200}};
  ASSERT_EQ(::setitimer(ITIMER_REAL, &often, nullptr), 0);
  Random random(2);
  while (alarms.load() < 300) {
    std::byte* const place = start + random.below(60) * kPageBytes;
    place[100] = std::byte{2};
    EXPECT_EQ(errno_of(pager().pin(place, 4 * kPageBytes)), 0);
    EXPECT_EQ(errno_of(pager().unpin(place, 4 * kPageBytes)), 0);
    EXPECT_EQ(errno_of(pager().page_out(start, 64 * kPageBytes)), 0);
    EXPECT_EQ(errno_of(pager().prefetch(place, 2 * kPageBytes)), 0);
    EXPECT_EQ(errno_of(pager().drop(place, kPageBytes)), 0);
  }
  const itimerval never{};
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::sigaction(SIGALRM, &former, nullptr);
  pager().check_invariants();
}

std::atomic<int> foreign_signals{0};
void try_the_pager_first(int signal, siginfo_t* info, void* context) {
  if (!Pager::handle_fault(signal, info, context)) foreign_signals.fetch_add(1);
}

TEST_P(PagerSafety, AProgramThatOwnsTheSignalCanServeThePager) {
  UZ_MAKE_PAGER(*this, config());
  const int signal = has_userfaultfd() ? SIGBUS : SIGSEGV;
  struct sigaction action {};
  struct sigaction former {};
  action.sa_sigaction = try_the_pager_first;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  ::sigemptyset(&action.sa_mask);
  ASSERT_EQ(::sigaction(signal, &action, &former), 0);
  std::byte* const start = region(3000 * kPageBytes);
  fill(start, 3000);
  EXPECT_EQ(first_wrong(start, 3000), 3000U);
  EXPECT_EQ(foreign_signals.load(), 0);
  pager_.reset();
  struct sigaction now {};
  ::sigaction(signal, nullptr, &now);
  EXPECT_EQ(now.sa_sigaction, try_the_pager_first) << "a handler over ours stays";
  ::sigaction(signal, &former, nullptr);
}

TEST_P(PagerSafety, LeavesTheSignalAsItWas) {
  const int signal = has_userfaultfd() ? SIGBUS : SIGSEGV;
  const OwnHandler handler(signal, pager_);
  UZ_MAKE_PAGER(*this, config());
  pager_.reset();
  struct sigaction now {};
  ::sigaction(signal, nullptr, &now);
  EXPECT_EQ(now.sa_sigaction, jump_out);
}

TEST_P(PagerSafety, ErrnoSurvivesAFault) {
  UZ_MAKE_PAGER(*this, config());
  std::byte* const start = region(3000 * kPageBytes);
  for (std::uint64_t page = 0; page < 3000; ++page) {
    errno = EXDEV;
    start[page * kPageBytes] = std::byte{1};
    ASSERT_EQ(errno, EXDEV) << page;
  }
}

TEST_P(PagerSafety, OnlyStrictServesSystemCallsOnPagesThatAreAway) {
  UZ_MAKE_PAGER(*this, config());
  std::byte* const start = region(100 * kPageBytes);
  fill(start, 100);
  ASSERT_EQ(errno_of(pager().page_out(start, 100 * kPageBytes)), 0);
  const FileDescriptor source(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  // Past libc and whatever stands in for it.
  const long got = ::syscall(SYS_read, source.get(), start, kPageBytes);
  if (GetParam() == PagerBackend::Strict) {
    EXPECT_EQ(got, static_cast<long>(kPageBytes));
    EXPECT_TRUE(is_zero_page(start));
  } else {
    EXPECT_EQ(got, -1);
    EXPECT_EQ(errno, EFAULT);
    EXPECT_TRUE(is_test_page(start, 0));
  }
  EXPECT_EQ(first_wrong(start + kPageBytes, 99, 1), 99U);
}

// A process like one in a container whose filter does not know userfaultfd, without privilege.
bool give_up_userfaultfd() {
  constexpr std::uint32_t kRefuse = SECCOMP_RET_ERRNO | EPERM;
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, kRefuse),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{4, program};
  // The device has no filter: only its permissions.
  if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return false;
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST(PagerWithoutUserfaultfd, FallsBackToSignalsAndKeepsEverything) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        PagerFixture fixture;
        if (!give_up_userfaultfd()) ::_exit(2);
        const bool is_refused =
            errno_of(Pager::create(PagerFixture::config_of(PagerBackend::Protect))) == ENOSYS;
        if (!fixture.make(PagerFixture::config_of(PagerBackend::Automatic))) ::_exit(3);
        if (!is_refused || fixture.pager().backend() != PagerBackend::Signal) ::_exit(4);
        std::byte* const start = fixture.region(3000 * kPageBytes);
        PagerFixture::fill(start, 3000);
        const bool is_right = PagerFixture::first_wrong(start, 3000) == 3000;
        ::_exit(is_right && fixture.pager().stats().packed_pages > 0 ? 0 : 5);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST(PagerSetTest, HasRoomForSixteen) {
  std::vector<std::unique_ptr<Pager>> pagers;
  for (int i = 0; i < 16; ++i) {
    PagerConfig config = PagerFixture::config_of(PagerBackend::Signal);
    config.compressor_threads = 0;
    auto made = Pager::create(config);
    ASSERT_TRUE(made.has_value()) << i;
    pagers.push_back(std::move(*made));
  }
  EXPECT_EQ(errno_of(Pager::create(PagerFixture::config_of(PagerBackend::Signal))), EAGAIN);
  for (auto& pager : pagers) {
    std::byte* const start = *pager->make_region(kPageBytes);
    fill_test_page(start, 3);
    EXPECT_TRUE(is_test_page(start, 3));
  }
}

}  // namespace
}  // namespace uzram
