// SPDX-License-Identifier: Apache-2.0
#include "backing/nbd_connection.h"

#include <poll.h>

#include <algorithm>
#include <array>

namespace uzram {
namespace {

// libnbd's word for commands that were in flight when the connection broke.
constexpr int kLost = ENOTCONN;

int last_error() {
  const int error = nbd_get_errno();
  return error > 0 ? error : EIO;
}

int milliseconds_until(NbdConnection::Clock::time_point until) {
  const auto left = until - NbdConnection::Clock::now();
  const auto count = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<std::int64_t>(count, 0, 60'000));
}

// Returns: 0 or an errno value.
int move_state(nbd_handle* handle, NbdConnection::Clock::time_point until, int wake,
               bool& is_woken) {
  const unsigned direction = nbd_aio_get_direction(handle);
  short events = 0;
  if ((direction & LIBNBD_AIO_DIRECTION_READ) != 0) events |= POLLIN;
  if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0) events |= POLLOUT;
  std::array<pollfd, 2> files = {{{nbd_aio_get_fd(handle), events, 0}, {wake, POLLIN, 0}}};
  is_woken = false;
  if (::poll(files.data(), files.size(), milliseconds_until(until)) < 0)
    return errno == EINTR ? 0 : errno;
  is_woken = files[1].revents != 0;
  int result = 0;
  if ((files[0].revents & (POLLIN | POLLHUP)) != 0 && (events & POLLIN) != 0) {
    result = nbd_aio_notify_read(handle);
  } else if ((files[0].revents & (POLLOUT | POLLHUP)) != 0 && (events & POLLOUT) != 0) {
    result = nbd_aio_notify_write(handle);
  } else if ((files[0].revents & (POLLERR | POLLNVAL | POLLHUP)) != 0) {
    return ENOTCONN;
  }
  return result == 0 ? 0 : last_error();
}

bool is_over(nbd_handle* handle) {
  return nbd_aio_is_dead(handle) == 1 || nbd_aio_is_closed(handle) == 1;
}

}  // namespace

Result<std::unique_ptr<NbdConnection>> NbdConnection::connect(const std::string& uri,
                                                              Clock::time_point until, int wake) {
  Handle handle(nbd_create());
  if (handle == nullptr) return fail(ENOMEM);
  // Buffers are ours; libnbd need not clear them first.
  nbd_set_pread_initialize(handle.get(), false);
  if (nbd_aio_connect_uri(handle.get(), uri.c_str()) != 0) return fail(last_error());
  while (nbd_aio_is_ready(handle.get()) != 1) {
    if (is_over(handle.get())) return fail(last_error());
    if (Clock::now() >= until) return fail(ETIMEDOUT);
    bool is_woken = false;
    const int error = move_state(handle.get(), until, wake, is_woken);
    if (error != 0) return fail(error);
    if (is_woken) return fail(ECANCELED);
  }
  auto connection = std::unique_ptr<NbdConnection>(new NbdConnection(std::move(handle)));
  const int error = connection->check_export();
  if (error != 0) return fail(error);
  return connection;
}

int NbdConnection::check_export() {
  const std::int64_t bytes = nbd_get_size(handle_.get());
  if (bytes < 0) return last_error();
  if (nbd_is_read_only(handle_.get()) == 1) return EROFS;
  const std::int64_t least = nbd_get_block_size(handle_.get(), LIBNBD_SIZE_MINIMUM);
  const std::int64_t most = nbd_get_block_size(handle_.get(), LIBNBD_SIZE_MAXIMUM);
  // 0: the server does not say.
  const bool fits = least <= static_cast<std::int64_t>(kBlockBytes) &&
                    (most <= 0 || most >= static_cast<std::int64_t>(kRunBlocks * kBlockBytes));
  block_count_ = static_cast<std::uint64_t>(bytes) / kBlockBytes;
  can_trim_ = nbd_can_trim(handle_.get()) == 1;
  return block_count_ == 0 || !fits ? EINVAL : 0;
}

int NbdConnection::on_completion(void* ticket, int* error) {
  const auto* told = static_cast<const Ticket*>(ticket);
  told->listener->completed(told->index, *error, *error == kLost);
  return 1;  // The command is forgotten.
}

int NbdConnection::send(const RequestBoard::Job& job, Ticket& ticket) {
  const std::uint64_t offset = job.range.first * kBlockBytes;
  const nbd_completion_callback done = {on_completion, &ticket, nullptr};
  nbd_handle* handle = handle_.get();
  std::int64_t cookie = -1;
  switch (job.kind) {
    case BackingRequest::Kind::Read:
      cookie = nbd_aio_pread(handle, job.buffer.data(), job.buffer.size(), offset, done, 0);
      break;
    case BackingRequest::Kind::Write:
      cookie = nbd_aio_pwrite(handle, job.buffer.data(), job.buffer.size(), offset, done, 0);
      break;
    case BackingRequest::Kind::Discard:
      if (!can_trim_) return EOPNOTSUPP;
      cookie = nbd_aio_trim(handle, job.range.count * kBlockBytes, offset, done, 0);
      break;
  }
  return cookie >= 0 ? 0 : last_error();
}

bool NbdConnection::move_on(Clock::time_point until, int wake) {
  bool is_woken = false;
  const int error = move_state(handle_.get(), until, wake, is_woken);
  return error == 0 && !is_over(handle_.get());
}

}  // namespace uzram
