// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/fuse_protocol.h: what we use of the kernel's FUSE protocol.
//
// What:    <linux/fuse.h>, and the words that headers of Linux 6.1 do not have yet: re-sending
//          after a take-over and requests over io_uring. Their values are the kernel's interface.
// Shapes:  sizes are asserted: what is read from the kernel is copied into these structures.
// Source:  include/uapi/linux/fuse.h of Linux 6.14 (protocol 7.42).
#pragma once

#include <linux/fuse.h>

#include <cstddef>
#include <cstdint>

namespace uzram {

// Bits of the 64 flags of INIT; the upper half travels in flags2.
inline constexpr std::uint64_t kInitHasResend = 1ULL << 39;
inline constexpr std::uint64_t kInitOverIoUring = 1ULL << 41;

// The newest version whose meaning of INIT we know. Features are agreed on by flags.
inline constexpr std::uint32_t kProtocolMinor = 36;
// max_pages came with 7.28 (Linux 4.20); before it a request has at most 32 pages.
inline constexpr std::uint32_t kOldestProtocolMinor = 28;

// The most data of one request, and the pages it may span.
inline constexpr std::size_t kMostDataBytes = std::size_t{1} << 20;
inline constexpr std::uint16_t kMostDataPages = 256;
inline constexpr std::uint16_t kMostBackgroundRequests = 256;

static_assert(sizeof(fuse_in_header) == 40);
static_assert(sizeof(fuse_out_header) == 16);
static_assert(sizeof(fuse_init_in) == 64);
static_assert(sizeof(fuse_init_out) == 64);
static_assert(sizeof(fuse_read_in) == 40);
static_assert(sizeof(fuse_write_in) == 40);
static_assert(sizeof(fuse_write_out) == 8);
static_assert(sizeof(fuse_fallocate_in) == 32);
static_assert(sizeof(fuse_lseek_in) == 24);
static_assert(sizeof(fuse_open_out) == 16);
static_assert(sizeof(fuse_attr_out) == 104);
static_assert(sizeof(fuse_setattr_in) == 88);

// --- requests over io_uring: buffers and commands that the kernel fills and reads

inline constexpr std::uint32_t kUringRegister = 1;
inline constexpr std::uint32_t kUringCommitAndFetch = 2;
inline constexpr std::size_t kUringHeaderBytes = 128;

struct UringEntry {
  std::uint64_t flags;
  std::uint64_t commit_id;
  std::uint32_t payload_bytes;
  std::uint32_t padding;
  std::uint64_t reserved;
};
static_assert(sizeof(UringEntry) == 32);

struct UringHeaders {
  std::byte in_out[kUringHeaderBytes];  // fuse_in_header, and fuse_out_header in the reply.
  std::byte op[kUringHeaderBytes];      // The fixed arguments of the operation.
  UringEntry entry;
};
static_assert(sizeof(UringHeaders) == 288);

struct UringCommand {
  std::uint64_t flags;
  std::uint64_t commit_id;
  std::uint16_t queue_index;
  std::uint8_t padding[6];
};
static_assert(sizeof(UringCommand) == 24);

}  // namespace uzram
