// SPDX-License-Identifier: Apache-2.0
#include "pager/fault_threads.h"

#include <linux/userfaultfd.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "base/check.h"
#include "pager/futex.h"
#include "pager/pager_core.h"
#include "pager/quiet_thread.h"
#include "pager/uffd_backend.h"

namespace uzram {
namespace {

constexpr unsigned kLeastThreads = 2;
// What one read takes. Those of them that come later wait for those before, so they are few.
constexpr std::size_t kMessagesPerRead = 4;

Result<void> add_to_wait(int waiting, int descriptor, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = descriptor;
  if (::epoll_ctl(waiting, EPOLL_CTL_ADD, descriptor, &event) != 0) return fail_errno();
  return {};
}

}  // namespace

Result<std::unique_ptr<FaultThreads>> FaultThreads::start(int messages, PagerCore& core,
                                                          MemoryBackend& memory) {
  std::unique_ptr<FaultThreads> made(new FaultThreads(messages, core, memory));
  if (const Result<void> prepared = made->prepare(); !prepared)
    return tl::unexpected(prepared.error());
  const unsigned count =
      std::clamp(std::thread::hardware_concurrency(), kLeastThreads, kMostThreads);
  try {
    for (unsigned i = 0; i < count; ++i) {
      made->threads_.push_back(start_quiet_thread(
          "uzram-faults", [self = made.get(), i] { self->work(self->rounds_[i]); },
          Turn::LikeAnyOther));
    }
  } catch (const std::system_error& error) {
    return fail(error.code().value());
  }
  return made;
}

Result<void> FaultThreads::prepare() {
  ending_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  waiting_ = FileDescriptor(::epoll_create1(EPOLL_CLOEXEC));
  if (!ending_.is_open() || !waiting_.is_open()) return fail_errno();
  // At its edge, a message wakes one thread; the end is seen by all, one after the other.
  return add_to_wait(waiting_.get(), messages_, EPOLLIN | EPOLLET).and_then([this] {
    return add_to_wait(waiting_.get(), ending_.get(), EPOLLIN);
  });
}

FaultThreads::~FaultThreads() {
  if (threads_.empty()) return;
  const std::uint64_t one = 1;
  UZ_CHECK(::write(ending_.get(), &one, sizeof one) == sizeof one);
  for (std::thread& thread : threads_) thread.join();
}

void FaultThreads::work(std::atomic<std::uint32_t>& rounds) {
  for (;;) {
    epoll_event event{};
    const int count = ::epoll_wait(waiting_.get(), &event, 1, -1);
    if (count < 0) {
      UZ_CHECK(errno == EINTR);
      continue;
    }
    if (event.data.fd == ending_.get()) return;
    busy_count_.fetch_add(1, std::memory_order_acq_rel);
    read_messages(rounds);
    busy_count_.fetch_sub(1, std::memory_order_acq_rel);
  }
}

void FaultThreads::wait_until_idle() const {
  while (const std::uint32_t busy = busy_count_.load(std::memory_order_acquire))
    futex_wait_briefly(busy_count_, busy);
}

void FaultThreads::wait_until_passed() {
  for (std::atomic<std::uint32_t>& each : rounds_) {
    // Not a load: whoever begins after this change has seen all that came before it.
    const std::uint32_t seen = each.fetch_add(0, std::memory_order_acq_rel);
    if (seen % 2 == 0) continue;
    while (each.load(std::memory_order_acquire) == seen) futex_wait_briefly(each, seen);
  }
}

// All that are there: after an edge nobody is woken for them again.
void FaultThreads::read_messages(std::atomic<std::uint32_t>& rounds) {
  std::array<uffd_msg, kMessagesPerRead> messages;
  for (;;) {
    const ssize_t got = ::read(messages_, messages.data(), sizeof messages);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      UZ_CHECK(errno == EAGAIN);  // Also when whoever waited has gone.
      return;
    }
    const std::size_t count = static_cast<std::size_t>(got) / sizeof(uffd_msg);
    for (std::size_t i = 0; i < count; ++i) {
      // A move is the only other event that was asked for.
      if (messages[i].event != UFFD_EVENT_PAGEFAULT) die_of_moved_memory();
      const auto& fault = messages[i].arg.pagefault;
      // Either this sees that a region has gone, or who removes it sees this.
      rounds.fetch_add(1, std::memory_order_acq_rel);
      serve(fault.address,
            (fault.flags & (UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP)) != 0);
      rounds.fetch_add(1, std::memory_order_acq_rel);
    }
  }
}

void FaultThreads::serve(std::uint64_t address, bool is_write) {
  const std::uint64_t offset = address - reinterpret_cast<std::uint64_t>(memory_.span());
  const std::uint64_t page = offset / kPageBytes;
  if (page >= memory_.shape().span_pages) die_of_moved_memory();
  // Without a region the page may not be touched any more, and a damaged one is poisoned: in either
  // case whoever tries again gets the signal.
  static_cast<void>(core_.handle_fault(page, is_write));
  // Also when the page was there already, because two had asked for it. Others that have asked for
  // a page which came along with this one have their own message.
  memory_.let_retry(page);
}

}  // namespace uzram
