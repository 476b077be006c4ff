// SPDX-License-Identifier: Apache-2.0
// control/socket_address.h: a Unix socket's path as the system calls take it.
//
// Errors: socket_address -> EINVAL empty, too long, or with a NUL byte. connect_socket -> that,
//         ENOENT no such file, ECONNREFUSED nobody listens, EAGAIN the server's queue is full,
//         EACCES not permitted.
// Proof:  socket_test.cc.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace uzram {

inline constexpr std::size_t kMostSocketPathBytes = sizeof(sockaddr_un::sun_path) - 1;

struct SocketAddress {
  sockaddr_un address{};
  socklen_t bytes = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

[[nodiscard]] Result<SocketAddress> socket_address(const std::string& path);
// Never waits.
[[nodiscard]] Result<FileDescriptor> connect_socket(const std::string& path);

}  // namespace uzram
