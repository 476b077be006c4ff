// SPDX-License-Identifier: Apache-2.0
#include "control/socket_address.h"

#include <cstddef>
#include <cstring>

namespace uzram {

Result<SocketAddress> socket_address(const std::string& path) {
  if (path.empty() || path.size() > kMostSocketPathBytes || path.find('\0') != std::string::npos) {
    return fail(EINVAL);
  }
  SocketAddress address;
  address.address.sun_family = AF_UNIX;
  std::memcpy(address.address.sun_path, path.data(), path.size());
  address.bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

Result<FileDescriptor> connect_socket(const std::string& path) {
  const Result<SocketAddress> address = socket_address(path);
  if (!address) return tl::unexpected<Error>(address.error());
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.is_open()) return fail_errno();
  if (::connect(socket.get(), address->get(), address->bytes) != 0) return fail_errno();
  return socket;
}

}  // namespace uzram
