// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/disk_requests.h"

#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/units.h"
#include "device/device.h"

namespace uzram {
namespace {

using Reply = DiskRequests::Reply;

// What the kernel may remember: when the disk grows, it is made to ask (FuseAttachment::grow).
constexpr std::uint64_t kAttributesValidSeconds = 3600;

constexpr std::uint64_t kWantedFlags = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ASYNC_DIO |
                                       FUSE_MAX_PAGES | FUSE_INIT_EXT | kInitHasResend;
// Times of the file are of no use to anybody, so setting them is a success without a deed.
constexpr std::uint32_t kSettable = FATTR_SIZE | FATTR_ATIME | FATTR_MTIME | FATTR_CTIME |
                                    FATTR_ATIME_NOW | FATTR_MTIME_NOW | FATTR_FH | FATTR_LOCKOWNER |
                                    FATTR_KILL_SUIDGID;

Reply refused(int error) { return Reply{true, error, 0}; }

// The fixed arguments, when there are enough bytes for them.
template <typename T>
std::optional<T> parse(ConstBytes op) {
  if (op.size() < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, op.data(), sizeof(T));
  return value;
}

template <typename T>
Reply answer(const T& value, MutableBytes out) {
  static_assert(sizeof(T) <= kMostDataBytes);
  std::memcpy(out.data(), &value, sizeof(T));
  return Reply{true, 0, sizeof(T)};
}

Reply answer(const Result<void>& done) { return done ? Reply{} : refused(done.error().code); }

fuse_attr attributes_of(std::uint64_t disk_bytes) {
  fuse_attr attributes{};
  attributes.ino = FUSE_ROOT_ID;
  attributes.size = disk_bytes;
  attributes.blocks = disk_bytes / kSectorBytes;
  attributes.mode = S_IFREG | 0600;
  attributes.nlink = 1;
  attributes.uid = ::geteuid();
  attributes.gid = ::getegid();
  attributes.blksize = kPageBytes;
  return attributes;
}

// The part of a range that is on the disk; nullopt when the end is beyond 2^64.
std::optional<std::uint64_t> bytes_on_disk(std::uint64_t offset, std::uint64_t bytes,
                                           std::uint64_t disk_bytes) {
  if (bytes > UINT64_MAX - offset) return std::nullopt;
  return offset >= disk_bytes ? 0 : std::min(bytes, disk_bytes - offset);
}

}  // namespace

DiskRequests::DiskRequests(Device& device, bool offers_uring)
    : device_(device), offers_uring_(offers_uring) {}

Reply DiskRequests::handle(const Request& request, MutableBytes out) {
  UZ_DCHECK(out.size() >= kMostDataBytes);
  switch (request.header.opcode) {
    case FUSE_INIT:
      return init(request.op, out);
    case FUSE_DESTROY:
      return Reply{};
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:  // A request takes microseconds: it is answered before it can be stopped.
      return Reply{false, 0, 0};
    default:
      break;
  }
  if (request.header.nodeid != FUSE_ROOT_ID) return refused(ESTALE);
  switch (request.header.opcode) {
    case FUSE_READ:
      return read(request.op, out);
    case FUSE_WRITE:
      return write(request, out);
    case FUSE_FALLOCATE:
      return allocate(request.op);
    case FUSE_FSYNC:
      return answer(device_.flush());
    case FUSE_GETATTR:
      return get_attributes(out);
    case FUSE_SETATTR:
      return set_attributes(request.op, out);
    case FUSE_OPEN:
      return open(out);
    case FUSE_RELEASE:
      return release();
    case FUSE_FLUSH:
      return Reply{};
    case FUSE_LSEEK:
      return seek(request.op, out);
    case FUSE_STATFS:
      return describe_file_system(out);
    default:
      return refused(ENOSYS);
  }
}

Reply DiskRequests::init(ConstBytes op, MutableBytes out) {
  // Old kernels send the first four numbers only.
  constexpr std::size_t kFirstBytes = offsetof(fuse_init_in, flags2);
  if (op.size() < kFirstBytes) return refused(EINVAL);
  fuse_init_in in{};
  std::memcpy(&in, op.data(), std::min(op.size(), sizeof(in)));
  fuse_init_out reply{};
  reply.major = FUSE_KERNEL_VERSION;
  reply.minor = kProtocolMinor;
  if (in.major > FUSE_KERNEL_VERSION) return answer(reply, out);  // It asks again, with ours.
  if (in.major < FUSE_KERNEL_VERSION || in.minor < kOldestProtocolMinor) return refused(EPROTO);
  const bool is_extended = (in.flags & FUSE_INIT_EXT) != 0 && op.size() >= sizeof(in);
  const std::uint64_t offered =
      in.flags | (is_extended ? static_cast<std::uint64_t>(in.flags2) << 32 : 0);
  const std::uint64_t wanted = kWantedFlags | (offers_uring_ ? kInitOverIoUring : 0);
  const std::uint64_t agreed = offered & wanted;
  reply.minor = std::min(in.minor, kProtocolMinor);
  reply.max_readahead = in.max_readahead;
  reply.flags = static_cast<std::uint32_t>(agreed);
  reply.flags2 = static_cast<std::uint32_t>(agreed >> 32);
  reply.max_background = kMostBackgroundRequests;
  reply.congestion_threshold = kMostBackgroundRequests / 4 * 3;
  reply.max_write = kMostDataBytes;
  reply.time_gran = 1;
  reply.max_pages = kMostDataPages;
  agreed_flags_.store(agreed, std::memory_order_release);
  return answer(reply, out);
}

Reply DiskRequests::get_attributes(MutableBytes out) const {
  fuse_attr_out reply{};
  reply.attr_valid = kAttributesValidSeconds;
  reply.attr = attributes_of(device_.disksize());
  return answer(reply, out);
}

// As a block device: an open that truncates changes nothing, and the size is what it is.
Reply DiskRequests::set_attributes(ConstBytes op, MutableBytes out) const {
  const auto in = parse<fuse_setattr_in>(op);
  if (!in) return refused(EINVAL);
  if ((in->valid & ~kSettable) != 0) return refused(EPERM);
  const bool has_new_size =
      (in->valid & FATTR_SIZE) != 0 && in->size != 0 && in->size != device_.disksize();
  return has_new_size ? refused(EINVAL) : get_attributes(out);
}

Reply DiskRequests::open(MutableBytes out) {
  {
    MutexLock lock(opens_mutex_);
    if (is_closed_) return refused(EBUSY);
    ++open_count_;
  }
  fuse_open_out reply{};
  reply.open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES | FOPEN_NOFLUSH;
  return answer(reply, out);
}

Reply DiskRequests::release() {
  MutexLock lock(opens_mutex_);
  --open_count_;
  return Reply{};
}

bool DiskRequests::try_close(long most_opens) {
  MutexLock lock(opens_mutex_);
  if (open_count_ > most_opens) return false;
  is_closed_ = true;
  return true;
}

void DiskRequests::reopen() {
  MutexLock lock(opens_mutex_);
  is_closed_ = false;
}

Reply DiskRequests::read(ConstBytes op, MutableBytes out) {
  const auto in = parse<fuse_read_in>(op);
  if (!in || in->size > kMostDataBytes) return refused(EINVAL);
  const auto bytes = bytes_on_disk(in->offset, in->size, device_.disksize());
  if (!bytes) return refused(EINVAL);
  if (*bytes == 0) return Reply{};
  const Result<void> done = device_.read(in->offset, out.first(*bytes));
  return done ? Reply{true, 0, *bytes} : refused(done.error().code);
}

Reply DiskRequests::write(const Request& request, MutableBytes out) {
  const auto in = parse<fuse_write_in>(request.op);
  if (!in || in->size != request.payload.size()) return refused(EINVAL);
  const auto bytes = bytes_on_disk(in->offset, in->size, device_.disksize());
  if (!bytes) return refused(EINVAL);
  if (*bytes == 0 && in->size != 0) return refused(ENOSPC);
  if (*bytes != 0) {
    const Result<void> done = device_.write(in->offset, request.payload.first(*bytes));
    if (!done) return refused(done.error().code);
  }
  fuse_write_out reply{};
  reply.size = static_cast<std::uint32_t>(*bytes);
  return answer(reply, out);
}

Reply DiskRequests::allocate(ConstBytes op) {
  const auto in = parse<fuse_fallocate_in>(op);
  if (!in) return refused(EINVAL);
  const std::uint32_t mode = in->mode & ~std::uint32_t{FALLOC_FL_KEEP_SIZE};
  if (mode != FALLOC_FL_PUNCH_HOLE && mode != FALLOC_FL_ZERO_RANGE) return refused(EOPNOTSUPP);
  const auto bytes = bytes_on_disk(in->offset, in->length, device_.disksize());
  if (!bytes) return refused(EINVAL);
  if (*bytes == 0) return Reply{};
  const bool is_whole_pages = in->offset % kPageBytes == 0 && *bytes % kPageBytes == 0;
  // A hole reads as zeros to its last byte; a discard would leave parts of pages alone.
  if (mode == FALLOC_FL_PUNCH_HOLE && is_whole_pages) {
    return answer(device_.discard(in->offset, *bytes));
  }
  return answer(device_.write_zeroes(in->offset, *bytes));
}

Reply DiskRequests::seek(ConstBytes op, MutableBytes out) {
  const auto in = parse<fuse_lseek_in>(op);
  if (!in || (in->whence != SEEK_DATA && in->whence != SEEK_HOLE)) return refused(EINVAL);
  const std::uint64_t end = device_.disksize();
  if (in->offset >= end) return refused(ENXIO);
  const bool wants_data = in->whence == SEEK_DATA;
  std::uint64_t offset = in->offset;
  while (offset < end) {
    const Result<Extent> extent = device_.extent_at(offset, end - offset);
    if (!extent) return refused(extent.error().code);
    if (extent->is_zero != wants_data) break;
    offset += std::max<std::uint64_t>(extent->bytes, 1);
  }
  if (offset >= end && wants_data) return refused(ENXIO);
  fuse_lseek_out reply{};
  reply.offset = std::min(offset, end);  // The end of a file counts as a hole.
  return answer(reply, out);
}

Reply DiskRequests::describe_file_system(MutableBytes out) const {
  fuse_statfs_out reply{};
  reply.st.blocks = device_.disksize() / kPageBytes;
  reply.st.files = 1;
  reply.st.bsize = kPageBytes;  // The loop device takes its discard granularity from it.
  reply.st.frsize = kPageBytes;
  return answer(reply, out);
}

}  // namespace uzram
