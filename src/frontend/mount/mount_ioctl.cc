// SPDX-License-Identifier: Apache-2.0
// chattr, lsattr, and the calls that f2fs has for compressed files, with its errno values.
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cstring>

#include "frontend/mount/mount_operations.h"
#include "frontend/mount/regular_file.h"

namespace uzram {
namespace {

// As f2fs numbers them (include/uapi/linux/f2fs.h).
constexpr unsigned kF2fsMagic = 0xF5;
struct CompressOption {
  std::uint8_t algorithm;
  std::uint8_t log_pages;
};
constexpr unsigned kGetCompressBlocks = _IOR(kF2fsMagic, 17, std::uint64_t);
constexpr unsigned kReleaseCompressBlocks = _IOR(kF2fsMagic, 18, std::uint64_t);
constexpr unsigned kReserveCompressBlocks = _IOR(kF2fsMagic, 19, std::uint64_t);
constexpr unsigned kGetCompressOption = _IOR(kF2fsMagic, 21, CompressOption);
constexpr unsigned kSetCompressOption = _IOW(kF2fsMagic, 22, CompressOption);
constexpr unsigned kDecompressFile = _IO(kF2fsMagic, 23);
constexpr unsigned kCompressFile = _IO(kF2fsMagic, 24);

// What a call came with.
struct Call {
  fuse_req_t request;
  Volume& volume;
  Inode& inode;
  bool can_write;
  ConstBytes in;
  std::size_t room;

  template <typename Value>
  void reply(const Value& value) const {
    if (room < sizeof(value)) return reply_error(request, EINVAL);
    ::fuse_reply_ioctl(request, 0, &value, sizeof(value));
  }
  void reply_outcome(const Result<void>& done) const {
    if (!done) return reply_error(request, done.error().code);
    ::fuse_reply_ioctl(request, 0, nullptr, 0);
  }
  void refuse(int code) const { reply_error(request, code); }
  template <typename Value>
  [[nodiscard]] std::optional<Value> value() const {
    Value value;
    if (in.size() < sizeof(value)) return std::nullopt;
    std::memcpy(&value, in.data(), sizeof(value));
    return value;
  }
};

// --- chattr --------------------------------------------------------------------------------------

unsigned flags_of(const Call& call) {
  if (call.inode.file != nullptr && call.inode.file->is_compressed()) return FS_COMPR_FL;
  const CompressFlag flag = call.inode.flags().compress;
  if (flag == CompressFlag::DoNot) return FS_NOCOMP_FL;
  return flag == CompressFlag::Compress && call.inode.is_folder() ? FS_COMPR_FL : 0;
}

void set_flags(const Call& call) {
  constexpr unsigned kOurs = FS_COMPR_FL | FS_NOCOMP_FL;
  const auto wanted = call.value<unsigned>();
  if (!wanted) return call.refuse(EINVAL);
  if ((*wanted & ~kOurs) != 0) return call.refuse(EOPNOTSUPP);
  if ((*wanted & kOurs) == kOurs) return call.refuse(EINVAL);
  const unsigned before = flags_of(call);
  if (*wanted == before) return call.reply_outcome({});
  // What has content stays as it is, as f2fs has it.
  RegularFile* const file = call.inode.file.get();
  const bool changes_compression = ((*wanted ^ before) & FS_COMPR_FL) != 0;
  if (file != nullptr && changes_compression && !file->is_empty()) return call.refuse(EINVAL);
  KeptFlags flags = call.inode.flags();
  flags.compress = CompressFlag::Unset;
  if ((*wanted & FS_COMPR_FL) != 0) flags.compress = CompressFlag::Compress;
  // Without the flag an empty file is not compressed, whatever its name.
  const bool was_compressed = file != nullptr && (before & FS_COMPR_FL) != 0;
  if ((*wanted & FS_NOCOMP_FL) != 0 || was_compressed) flags.compress = CompressFlag::DoNot;
  auto set = call.inode.set_flags(flags);
  if (set && file != nullptr && file->is_empty()) file->look_again();
  call.reply_outcome(set);
}

void get_extended_attributes(const Call& call) { call.reply(fsxattr{}); }

void set_extended_attributes(const Call& call) {
  const auto wanted = call.value<fsxattr>();
  if (!wanted) return call.refuse(EINVAL);
  const bool is_nothing =
      wanted->fsx_xflags == 0 && wanted->fsx_projid == 0 && wanted->fsx_extsize == 0;
  if (!is_nothing) return call.refuse(EOPNOTSUPP);
  call.reply_outcome({});
}

// --- f2fs ----------------------------------------------------------------------------------------

void get_compress_blocks(const Call& call) {
  RegularFile& file = *call.inode.file;
  if (!file.is_compressed()) return call.refuse(EINVAL);
  const auto saved = file.saved_blocks();
  if (!saved) return call.refuse(saved.error().code);
  call.reply(*saved);
}

void change_reserve(const Call& call, Result<std::uint64_t> (RegularFile::*change)()) {
  RegularFile& file = *call.inode.file;
  if (call.volume.options().is_read_only) return call.refuse(EROFS);
  // Whoever asks need not be able to write, but nobody else may.
  if (file.writer_count() != (call.can_write ? 1 : 0)) return call.refuse(EBUSY);
  if (!file.is_compressed()) return call.refuse(EINVAL);
  const auto blocks = (file.*change)();
  if (!blocks) return call.refuse(blocks.error().code);
  call.reply(*blocks);
}

void get_compress_option(const Call& call) {
  const auto options = call.inode.file->cluster_options();
  if (!options) return call.refuse(ENODATA);
  call.reply(CompressOption{static_cast<std::uint8_t>(options->algorithm),
                            static_cast<std::uint8_t>(options->log_pages)});
}

void set_compress_option(const Call& call) {
  if (!call.can_write) return call.refuse(EBADF);
  const auto wanted = call.value<CompressOption>();
  RegularFile& file = *call.inode.file;
  if (!wanted || !file.is_compressed() || wanted->algorithm >= kClusterAlgorithmCount ||
      wanted->log_pages < kLeastClusterLog || wanted->log_pages > kMostClusterLog) {
    return call.refuse(EINVAL);
  }
  if (!file.is_empty()) return call.refuse(EFBIG);
  KeptFlags flags = call.inode.flags();
  flags.choice = {static_cast<ClusterAlgorithm>(wanted->algorithm), wanted->log_pages};
  call.reply_outcome(call.inode.set_flags(flags));
}

void convert(const Call& call, Result<void> (RegularFile::*change)()) {
  if (!call.volume.options().is_user_mode) return call.refuse(EOPNOTSUPP);
  if (!call.can_write) return call.refuse(EBADF);
  if (!call.inode.file->is_compressed()) return call.refuse(EINVAL);
  call.reply_outcome((call.inode.file.get()->*change)());
}

void answer_f2fs(const Call& call, unsigned command) {
  switch (command) {
    case kGetCompressBlocks:
      return get_compress_blocks(call);
    case kReleaseCompressBlocks:
      return change_reserve(call, &RegularFile::release);
    case kReserveCompressBlocks:
      return change_reserve(call, &RegularFile::reserve);
    case kGetCompressOption:
      return get_compress_option(call);
    case kSetCompressOption:
      return set_compress_option(call);
    case kDecompressFile:
      return convert(call, &RegularFile::decompress);
    case kCompressFile:
      return convert(call, &RegularFile::compress);
    default:
      return call.refuse(ENOTTY);
  }
}

}  // namespace

void answer_ioctl(fuse_req_t request, fuse_ino_t node, unsigned command, void*,
                  fuse_file_info* info, unsigned flags, const void* in, std::size_t in_bytes,
                  std::size_t out_bytes) {
  Inode& inode = inode_of(request, node);
  const bool can_write = inode.file != nullptr && open_file_of(*info).can_write;
  const Call call{request,
                  volume_of(request),
                  inode,
                  can_write,
                  ConstBytes(static_cast<const std::byte*>(in), in_bytes),
                  out_bytes};
  switch (command) {
    case FS_IOC_GETFLAGS:
      return call.reply(flags_of(call));
    case FS_IOC_SETFLAGS:
      return set_flags(call);
    case FS_IOC_FSGETXATTR:
      return get_extended_attributes(call);
    case FS_IOC_FSSETXATTR:
      return set_extended_attributes(call);
    default:
      break;
  }
  if ((flags & FUSE_IOCTL_COMPAT) != 0 || inode.file == nullptr) return call.refuse(ENOTTY);
  answer_f2fs(call, command);
}

}  // namespace uzram
