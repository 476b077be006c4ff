// SPDX-License-Identifier: Apache-2.0
// control/line_channel.h: lines over a connected stream socket, with bounds on size and time.
//
// What:    what both ends of the control socket need. Not here: what the lines say (request.h).
// Shapes:  a line ends in '\n', which is neither given nor taken here.
// Owns:    the socket.
// Errors:  EPIPE the other side has closed; EMSGSIZE the line is longer than allowed; ETIMEDOUT;
//          ECANCELED the stop descriptor became readable; otherwise the socket's. After any of
//          them the channel is of no more use.
// Threads: one at a time.
// Proof:   socket_test.cc.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace uzram {

class LineChannel {
 public:
  using Patience = std::optional<std::chrono::milliseconds>;  // Absent: as long as it takes.

  // `stop_descriptor` (borrowed; -1 for none) interrupts every wait once it is readable.
  LineChannel(FileDescriptor socket, std::size_t most_line_bytes, int stop_descriptor = -1)
      : socket_(std::move(socket)),
        most_line_bytes_(most_line_bytes),
        stop_descriptor_(stop_descriptor) {}

  // Returns: the next line. The whole line has to arrive within `patience`, and within
  // `rest_patience` after its first byte.
  Result<std::string> receive(Patience patience, Patience rest_patience = std::nullopt);
  // Sends the line and a newline. All of it has to leave within `patience`.
  Result<void> send(std::string_view line, Patience patience);

 private:
  using Clock = std::chrono::steady_clock;
  Result<void> wait_for(short events, std::optional<Clock::time_point> deadline) const;

  FileDescriptor socket_;
  const std::size_t most_line_bytes_;
  const int stop_descriptor_;
  std::string received_;  // Bytes after the last line that was handed out.
};

}  // namespace uzram
