// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/fuse_reader.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace uzram {
namespace {

// A WRITE's header and arguments end where the second page begins.
constexpr std::size_t kWriteHeadBytes = sizeof(fuse_in_header) + sizeof(fuse_write_in);
constexpr std::size_t kHeadOffset = kPageBytes - kWriteHeadBytes;
static_assert(kHeadOffset % alignof(fuse_in_header) == 0);
static_assert(FuseReader::kBufferBytes - kHeadOffset >= FUSE_MIN_READ_BUFFER);

// The errors after which the same descriptor can be read again.
bool is_passing(int error) {
  return error == EINTR || error == EAGAIN || error == ENOENT || error == EIO || error == ENOMEM;
}

}  // namespace

Result<std::unique_ptr<FuseReader>> FuseReader::make(int descriptor, DiskRequests& requests) {
  auto buffer = ServingBuffer::make(kBufferBytes);
  if (!buffer) return tl::unexpected(buffer.error());
  return std::make_unique<FuseReader>(descriptor, requests, std::move(*buffer));
}

void FuseReader::serve() {
  while (serve_one()) {
  }
}

bool FuseReader::serve_one() {
  std::uint32_t opcode = 0;
  return serve_one(opcode);
}

bool FuseReader::serve_init() {
  std::uint32_t opcode = 0;
  while (serve_one(opcode)) {
    if (opcode == FUSE_INIT) return requests_.agreed_flags() != 0;
  }
  return false;
}

bool FuseReader::serve_one(std::uint32_t& opcode) {
  const MutableBytes area = buffer_.bytes().subspan(kHeadOffset);
  opcode = 0;
  const ssize_t got = ::read(descriptor_, area.data(), area.size());
  if (got < 0) return is_passing(errno);
  is_busy_.store(true, std::memory_order_relaxed);
  answer(static_cast<std::size_t>(got), opcode);
  served_.store(served_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  is_busy_.store(false, std::memory_order_relaxed);
  return true;
}

// The request lies at the front of the buffer.
void FuseReader::answer(std::size_t request_bytes, std::uint32_t& opcode) {
  const MutableBytes area = buffer_.bytes().subspan(kHeadOffset);
  DiskRequests::Request request{};
  if (request_bytes < sizeof(request.header)) return;  // Nobody to answer.
  std::memcpy(&request.header, area.data(), sizeof(request.header));
  opcode = request.header.opcode;
  if (request.header.len != request_bytes) {
    reply(request.header.unique, {true, EINVAL, 0});
    return;
  }
  const ConstBytes body =
      area.subspan(sizeof(request.header), request_bytes - sizeof(request.header));
  const std::size_t op_bytes =
      opcode == FUSE_WRITE ? std::min(body.size(), sizeof(fuse_write_in)) : body.size();
  request.op = body.first(op_bytes);
  request.payload = body.subspan(op_bytes);
  const DiskRequests::Reply given = requests_.handle(request, data_pages());
  if (given.is_wanted) reply(request.header.unique, given);
}

void FuseReader::reply(std::uint64_t unique, const DiskRequests::Reply& reply) {
  fuse_out_header header{};
  header.unique = unique;
  header.error = -reply.error;
  header.len = static_cast<std::uint32_t>(sizeof(header) + reply.bytes);
  const std::array<iovec, 2> parts{iovec{&header, sizeof(header)},
                                   iovec{data_pages().data(), reply.bytes}};
  const ssize_t sent = ::writev(descriptor_, parts.data(), reply.bytes == 0 ? 1 : 2);
  // ENOENT: its caller was killed meanwhile. ENODEV: the connection ended. Otherwise the kernel
  // did not take the reply and somebody waits for one.
  if (sent >= 0 || errno == ENOENT || errno == ENODEV || reply.bytes == 0) return;
  header.error = -EIO;
  header.len = sizeof(header);
  static_cast<void>(!::write(descriptor_, &header, sizeof(header)));
}

}  // namespace uzram
