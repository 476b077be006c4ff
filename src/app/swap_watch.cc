// SPDX-License-Identifier: Apache-2.0
#include "app/swap_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <array>
#include <system_error>

namespace uzram {

Result<std::unique_ptr<SwapWatch>> SwapWatch::start(std::function<void()> changed) {
  std::unique_ptr<SwapWatch> watch(new SwapWatch(std::move(changed)));
  watch->table_ = FileDescriptor(::open("/proc/swaps", O_RDONLY | O_CLOEXEC));
  if (!watch->table_.is_open()) return fail_errno();
  watch->stop_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC));
  if (!watch->stop_.is_open()) return fail_errno();
  try {
    watch->thread_ = std::thread([raw = watch.get()] { raw->work(); });
  } catch (const std::system_error&) {
    return fail(EAGAIN);
  }
  return watch;
}

SwapWatch::~SwapWatch() {
  if (!thread_.joinable()) return;
  static_cast<void>(::eventfd_write(stop_.get(), 1));
  thread_.join();
}

void SwapWatch::work() {
  while (true) {
    std::array<pollfd, 2> waits{pollfd{table_.get(), POLLPRI, 0}, pollfd{stop_.get(), POLLIN, 0}};
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) return;
    if ((waits[1].revents & POLLIN) != 0) return;
    if ((waits[0].revents & (POLLPRI | POLLERR)) != 0) changed_();
  }
}

}  // namespace uzram
