// SPDX-License-Identifier: Apache-2.0
#include "control/line_channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <limits>

namespace uzram {

namespace {

using Clock = std::chrono::steady_clock;

std::optional<Clock::time_point> deadline_of(LineChannel::Patience patience) {
  if (!patience) return std::nullopt;
  return Clock::now() + *patience;
}

int poll_milliseconds(std::optional<Clock::time_point> deadline) {
  if (!deadline) return -1;
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(*deadline - Clock::now()).count() + 1;
  return static_cast<int>(std::clamp<long long>(left, 0, std::numeric_limits<int>::max()));
}

}  // namespace

Result<void> LineChannel::wait_for(short events, std::optional<Clock::time_point> deadline) const {
  while (true) {
    // poll() passes over a negative descriptor.
    std::array<pollfd, 2> waits{{{socket_.get(), events, 0}, {stop_descriptor_, POLLIN, 0}}};
    const int ready = ::poll(waits.data(), waits.size(), poll_milliseconds(deadline));
    if (ready < 0 && errno != EINTR) return fail_errno();
    if (ready > 0 && waits[1].revents != 0) return fail(ECANCELED);
    if (ready > 0) return {};
    if (deadline && Clock::now() >= *deadline) return fail(ETIMEDOUT);
  }
}

Result<std::string> LineChannel::receive(Patience patience, Patience rest_patience) {
  auto deadline = deadline_of(patience);
  bool has_begun = false;
  std::size_t searched = 0;
  while (true) {
    const std::size_t newline = received_.find('\n', searched);
    if (newline != std::string::npos && newline <= most_line_bytes_) {
      std::string line = received_.substr(0, newline);
      received_.erase(0, newline + 1);
      return line;
    }
    searched = received_.size();
    if (received_.size() > most_line_bytes_) return fail(EMSGSIZE);
    if (!has_begun && !received_.empty() && rest_patience) {
      has_begun = true;
      const auto rest_deadline = deadline_of(rest_patience);
      deadline = deadline ? std::min(deadline, rest_deadline) : rest_deadline;
    }
    if (Result<void> ready = wait_for(POLLIN, deadline); !ready) {
      return tl::unexpected<Error>(ready.error());
    }
    std::array<char, 4096> bytes;
    const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got == 0) return fail(EPIPE);
    if (got > 0) {
      received_.append(bytes.data(), static_cast<std::size_t>(got));
    } else if (errno != EAGAIN && errno != EINTR) {
      return fail_errno();
    }
  }
}

Result<void> LineChannel::send(std::string_view line, Patience patience) {
  const auto deadline = deadline_of(patience);
  std::string bytes(line);
  bytes += '\n';
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t moved = ::send(socket_.get(), bytes.data() + sent, bytes.size() - sent,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
    if (moved >= 0) {
      sent += static_cast<std::size_t>(moved);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return fail_errno();
    if (Result<void> ready = wait_for(POLLOUT, deadline); !ready) return ready;
  }
  return {};
}

}  // namespace uzram
