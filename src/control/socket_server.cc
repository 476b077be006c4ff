// SPDX-License-Identifier: Apache-2.0
#include "control/socket_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/check.h"
#include "control/line_channel.h"
#include "control/operations.h"
#include "control/request.h"
#include "control/socket_address.h"

namespace uzram {

namespace {

std::string refusal_line(int code, std::string_view text) {
  return nlohmann::json{
      {"ok", false},
      {"error", {{"code", code}, {"name", errno_name(code)}, {"text", std::string(text)}}}}
      .dump();
}

// Serializes servers that start at the same path, so that none removes the socket that another has
// just made. Errors: EADDRINUSE somebody holds the folder for long; otherwise why it cannot be
// opened.
Result<FileDescriptor> lock_folder_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path();
  const std::string folder = parent.empty() ? "." : parent;
  FileDescriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!descriptor.is_open()) return fail_errno();
  constexpr int kTries = 50;
  for (int i = 0; i < kTries; ++i) {
    if (::flock(descriptor.get(), LOCK_EX | LOCK_NB) == 0) return descriptor;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return fail(EADDRINUSE);
}

}  // namespace

SocketServer::SocketServer(Operations& operations, std::string path, SocketLimits limits)
    : operations_(operations), path_(std::move(path)), limits_(limits) {}

InputResult<std::unique_ptr<SocketServer>> SocketServer::start(Operations& operations,
                                                               std::string path,
                                                               SocketLimits limits) {
  std::unique_ptr<SocketServer> server(new SocketServer(operations, std::move(path), limits));
  if (InputResult<void> listening = server->listen_at_path(); !listening) {
    return tl::unexpected<InputError>(listening.error());
  }
  server->stop_event_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC));
  if (!server->stop_event_.is_open()) return refuse(errno, "no descriptor for the control socket");
  server->acceptor_ = std::thread([raw = server.get()] { raw->accept_clients(); });
  return server;
}

// Requires: the folder is locked.
InputResult<void> SocketServer::clear_stale_file() {
  struct stat found {};
  if (::lstat(path_.c_str(), &found) != 0) return {};  // bind() says what is wrong, if anything is.
  if (!S_ISSOCK(found.st_mode)) {
    return refuse(EEXIST,
                  fmt::format("{} exists and is not a socket; give another --socket", path_));
  }
  const Result<FileDescriptor> probe = connect_socket(path_);
  if (probe || probe.error().code != ECONNREFUSED) {
    return refuse(
        EADDRINUSE,
        fmt::format("another server answers at {}; stop it or give another --socket", path_));
  }
  ::unlink(path_.c_str());
  return {};
}

InputResult<void> SocketServer::listen_at_path() {
  const Result<SocketAddress> address = socket_address(path_);
  if (!address) {
    return refuse(EINVAL, fmt::format("the socket path {} is empty or has more than {} bytes",
                                      quote(path_), kMostSocketPathBytes));
  }
  const Result<FileDescriptor> lock = lock_folder_of(path_);
  if (!lock) {
    return refuse(lock.error().code, fmt::format("the folder of the socket {} cannot be used ({})",
                                                 path_, errno_name(lock.error().code)));
  }
  if (InputResult<void> cleared = clear_stale_file(); !cleared) return cleared;
  FileDescriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // On Linux the file gets the mode that the socket has at bind(): at no moment is it open to
  // others.
  constexpr int kBacklog = 32;
  if (!listener.is_open() || ::fchmod(listener.get(), 0600) != 0 ||
      ::bind(listener.get(), address->get(), address->bytes) != 0 ||
      ::lstat(path_.c_str(), &file_) != 0 || ::listen(listener.get(), kBacklog) != 0) {
    const int code = errno;
    return refuse(code, fmt::format("no socket can be made at {} ({})", path_, errno_name(code)));
  }
  listener_ = std::move(listener);
  return {};
}

SocketServer::~SocketServer() {
  if (acceptor_.joinable()) {
    constexpr std::uint64_t kOne = 1;
    const ssize_t written = ::write(stop_event_.get(), &kOne, sizeof kOne);
    UZ_CHECK(written == sizeof kOne);
    acceptor_.join();
  }
  for (Client& client : clients_) client.thread.join();
  struct stat now {};
  if (listener_.is_open() && ::lstat(path_.c_str(), &now) == 0 && now.st_dev == file_.st_dev &&
      now.st_ino == file_.st_ino) {
    ::unlink(path_.c_str());
  }
}

void SocketServer::accept_clients() {
  while (true) {
    std::array<pollfd, 2> waits{{{listener_.get(), POLLIN, 0}, {stop_event_.get(), POLLIN, 0}}};
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) return;
    if (waits[1].revents != 0) return;
    if (waits[0].revents == 0) continue;
    FileDescriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    join_finished_clients();
    if (socket.is_open()) {
      admit(std::move(socket));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      // The connection stays in the queue; without a pause this would spin.
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
}

void SocketServer::admit(FileDescriptor socket) {
  ucred peer{};
  socklen_t peer_bytes = sizeof peer;
  const bool is_known =
      ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) == 0;
  const bool is_allowed = is_known && (peer.uid == 0 || peer.uid == ::geteuid());
  if (!is_allowed || clients_.size() >= limits_.most_clients) {
    LineChannel channel(std::move(socket), limits_.most_request_bytes, stop_event_.get());
    const std::string line =
        is_allowed ? refusal_line(EAGAIN, "too many clients at once; try again in a moment")
                   : refusal_line(EPERM, "only the server's own user and root may use its socket");
    // No waiting here: an empty socket buffer takes this line at once.
    static_cast<void>(channel.send(line, std::chrono::milliseconds(0)));
    return;
  }
  Client& client = clients_.emplace_back();
  const int descriptor = socket.release();
  try {
    client.thread = std::thread(
        [this, descriptor, &client] { serve_client(FileDescriptor(descriptor), client); });
  } catch (const std::system_error&) {
    // No thread to be had: the client sees its connection closed.
    ::close(descriptor);
    clients_.pop_back();
  }
}

void SocketServer::serve_client(FileDescriptor socket, Client& client) {
  {
    LineChannel channel(std::move(socket), limits_.most_request_bytes, stop_event_.get());
    while (true) {
      const Result<std::string> line = channel.receive(limits_.patience);
      if (!line) {
        if (line.error().code == EMSGSIZE) {
          static_cast<void>(
              channel.send(refusal_line(EMSGSIZE, fmt::format("a request has at most {} bytes",
                                                              limits_.most_request_bytes)),
                           limits_.patience));
        }
        break;
      }
      if (!channel.send(answer_request(operations_, *line), limits_.patience)) break;
    }
  }
  client.is_done.store(true, std::memory_order_release);
}

void SocketServer::join_finished_clients() {
  for (auto client = clients_.begin(); client != clients_.end();) {
    if (!client->is_done.load(std::memory_order_acquire)) {
      ++client;
      continue;
    }
    client->thread.join();
    client = clients_.erase(client);
  }
}

}  // namespace uzram
