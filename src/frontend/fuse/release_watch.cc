// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/release_watch.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <system_error>

#include "frontend/fuse/serving_thread.h"

namespace uzram {

Result<std::unique_ptr<ReleaseWatch>> ReleaseWatch::start(std::function<void()> look) {
  FileDescriptor bell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!bell.is_open()) return fail_errno();
  std::unique_ptr<ReleaseWatch> watch(new ReleaseWatch(std::move(bell)));
  watch->look_ = std::move(look);
  try {
    watch->thread_ = std::thread([raw = watch.get()] { raw->watch(); });
  } catch (const std::system_error& error) {
    return fail(error.code().value());
  }
  return watch;
}

ReleaseWatch::~ReleaseWatch() {
  if (!thread_.joinable()) return;
  is_ending_.store(true, std::memory_order_release);
  static_cast<void>(::eventfd_write(bell_.get(), 1));
  thread_.join();
}

void ReleaseWatch::watch() {
  prepare_serving_thread("uzram-watch");
  while (true) {
    pollfd wait{bell_.get(), POLLIN, 0};
    if (::poll(&wait, 1, -1) < 0 && errno != EINTR) return;
    eventfd_t rings = 0;
    static_cast<void>(::eventfd_read(bell_.get(), &rings));
    if (is_ending_.load(std::memory_order_acquire)) return;
    if (rings != 0) look_();
  }
}

}  // namespace uzram
