// SPDX-License-Identifier: Apache-2.0
// control/socket_server.h: the control socket of a process that owns devices.
//
// What:    a Unix stream socket that only its owner and root may use; one JSON request per line,
//          one JSON answer per line (request.h). Its threads are its own, so a slow client or a
//          long reset never holds up a disk.
// Shapes:  a request has at most 64 KiB; at most `most_clients` are served at once and the next
//          one is told EAGAIN; a client that is silent in the middle of a line, or does not take
//          its answer, loses its connection.
// Owns:    the socket file: created with mode 0600, removed on stop. A file that a dead server
//          left is replaced.
// Errors:  start -> EINVAL path too long; EADDRINUSE a live server answers there; EEXIST another
//          kind of file is there; otherwise from the system (no such folder, not permitted).
// Threads: start and stop from one thread. The destructor stops: it waits for requests that are
//          being answered.
// Proof:   socket_test.cc.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "base/file_descriptor.h"
#include "control/input_error.h"

namespace uzram {

class Operations;

struct SocketLimits {
  std::size_t most_request_bytes = std::size_t{64} * 1024;
  std::size_t most_clients = 16;
  std::chrono::milliseconds patience{
      10'000};  // For one request to arrive, and for one answer to leave.
};

class SocketServer {
 public:
  // `operations` must outlive the server.
  static InputResult<std::unique_ptr<SocketServer>> start(Operations& operations, std::string path,
                                                          SocketLimits limits = {});
  ~SocketServer();
  SocketServer(const SocketServer&) = delete;
  SocketServer& operator=(const SocketServer&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  struct Client {
    std::thread thread;
    std::atomic<bool> is_done{
        false};  // Release by the client's thread as its last act, acquire before join.
  };

  SocketServer(Operations& operations, std::string path, SocketLimits limits);
  InputResult<void> listen_at_path();
  InputResult<void> clear_stale_file();
  void accept_clients();
  void admit(FileDescriptor socket);
  void serve_client(FileDescriptor socket, Client& client);
  void join_finished_clients();

  // constant after start
  Operations& operations_;
  const std::string path_;
  const SocketLimits limits_;
  FileDescriptor listener_;
  FileDescriptor stop_event_;  // An eventfd that becomes readable, and stays so, at stop.
  struct stat file_ {};        // Which file is ours.
  // used by the accepting thread only, and by the destructor after it has joined that thread
  std::list<Client> clients_;
  std::thread acceptor_;
};

}  // namespace uzram
