// SPDX-License-Identifier: Apache-2.0
#include "control/socket_client.h"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "control/bounded_json.h"
#include "control/line_channel.h"
#include "control/socket_address.h"

namespace uzram {

namespace {

constexpr std::size_t kMostAnswerBytes = std::size_t{16} << 20;
constexpr std::size_t kMostAnswerValues = std::size_t{1} << 20;
// For the request to leave, and for an answer that has begun to be there.
constexpr std::chrono::milliseconds kPatience{30'000};

std::string connect_problem(const std::string& path, int code) {
  switch (code) {
    case ENOENT:
    case ECONNREFUSED:
      return fmt::format("no server answers at {}; start one with: uzram serve", path);
    case EAGAIN:
      return fmt::format("the server at {} is busy; try again in a moment", path);
    case EACCES:
    case EPERM:
      return fmt::format("the socket {} belongs to another user; run this as that user", path);
    case EINVAL:
      return fmt::format("the socket path {} is empty or has more than {} bytes", quote(path),
                         kMostSocketPathBytes);
    default:
      return fmt::format("no connection to {} ({})", path, errno_name(code));
  }
}

struct Server {
  FileDescriptor socket;
  pid_t process = 0;
};

// Believes nobody but root and this user. Nothing has been sent when it returns.
InputResult<Server> connect_to_server(const std::string& path) {
  Result<FileDescriptor> socket = connect_socket(path);
  if (!socket) return refuse(socket.error().code, connect_problem(path, socket.error().code));
  ucred peer{};
  socklen_t peer_bytes = sizeof peer;
  const bool is_known =
      ::getsockopt(socket->get(), SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) == 0;
  if (!is_known || (peer.uid != 0 && peer.uid != ::geteuid())) {
    return refuse(EPERM, connect_problem(path, EPERM));
  }
  return Server{std::move(*socket), peer.pid};
}

bool is_answer(const nlohmann::json& answer) {
  if (!answer.is_object() || !answer.contains("ok") || !answer["ok"].is_boolean()) return false;
  if (answer["ok"].get<bool>()) return answer.contains("result");
  if (!answer.contains("error") || !answer["error"].is_object()) return false;
  const nlohmann::json& error = answer["error"];
  return error.contains("code") && error["code"].is_number_integer() && error.contains("text") &&
         error["text"].is_string();
}

}  // namespace

InputResult<nlohmann::json> call_server(const std::string& path, const nlohmann::json& request) {
  InputResult<Server> server = connect_to_server(path);
  if (!server) return tl::unexpected<InputError>(server.error());
  LineChannel channel(std::move(server->socket), kMostAnswerBytes);
  const std::string line = request.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  // A server that refuses the connection answers and closes without reading; its words come first.
  const Result<void> sent = channel.send(line, kPatience);
  const Result<std::string> received = channel.receive(std::nullopt, kPatience);
  if (!received) {
    const int code = sent ? received.error().code : sent.error().code;
    return refuse(code, fmt::format("the server at {} closed without an answer ({})", path,
                                    errno_name(code)));
  }
  Result<nlohmann::json> answer = parse_bounded_json(*received, kMostAnswerValues);
  if (!answer || !is_answer(*answer)) {
    return refuse(EBADMSG, fmt::format("what answers at {} is not a uzram server", path));
  }
  return std::move(*answer);
}

InputResult<FileDescriptor> open_server_process(const std::string& path) {
  const InputResult<Server> server = connect_to_server(path);
  if (!server) return tl::unexpected<InputError>(server.error());
  // The wrapper of the system call came later than Debian 12's C library.
  FileDescriptor process(static_cast<int>(::syscall(SYS_pidfd_open, server->process, 0U)));
  if (!process.is_open()) {
    return refuse(errno,
                  fmt::format("the process of the server at {} cannot be seen from here ({})", path,
                              errno_name(errno)));
  }
  return process;
}

}  // namespace uzram
