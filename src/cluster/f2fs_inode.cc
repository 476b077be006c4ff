// SPDX-License-Identifier: Apache-2.0
#include "cluster/f2fs_inode.h"

#include <sys/stat.h>

#include <algorithm>
#include <string_view>

#include "cluster/f2fs_checksum.h"
#include "cluster/f2fs_layout.h"
#include "cluster/little_endian.h"

namespace uzram {
namespace {

namespace in = f2fs::inode;

template <typename Word>
Word field(const F2fsInode& inode, std::size_t offset) {
  return load_little<Word>(inode.block, offset);
}

F2fsTime time_at(const F2fsInode& inode, std::size_t seconds, std::size_t nanoseconds) {
  return {static_cast<std::int64_t>(field<std::uint64_t>(inode, seconds)),
          field<std::uint32_t>(inode, nanoseconds)};
}

// Over its number, its generation, and its block without the checksum itself.
ChecksumState check_sum(const F2fsVolume& volume, const F2fsInode& inode) {
  const ConstBytes block(inode.block);
  constexpr std::array<std::byte, sizeof(std::uint32_t)> kNothing{};
  std::uint32_t sum =
      f2fs_checksum(block.subspan(f2fs::kFooterIno, kNothing.size()), volume.checksum_seed());
  sum = f2fs_checksum(block.subspan(in::kGeneration, kNothing.size()), sum);
  sum = f2fs_checksum(block.first(in::kChecksum), sum);
  sum = f2fs_checksum(kNothing, sum);
  sum = f2fs_checksum(block.subspan(in::kChecksum + kNothing.size()), sum);
  return sum == field<std::uint32_t>(inode, in::kChecksum) ? ChecksumState::Right
                                                           : ChecksumState::Wrong;
}

void read_attributes(F2fsInode& inode) {
  inode.mode = field<std::uint16_t>(inode, in::kMode);
  inode.uid = field<std::uint32_t>(inode, in::kUid);
  inode.gid = field<std::uint32_t>(inode, in::kGid);
  inode.link_count = field<std::uint32_t>(inode, in::kLinks);
  inode.size_bytes = field<std::uint64_t>(inode, in::kSize);
  inode.block_count = field<std::uint64_t>(inode, in::kBlocks);
  inode.access_time = time_at(inode, in::kAccessTime, in::kAccessNanoseconds);
  inode.change_time = time_at(inode, in::kChangeTime, in::kChangeNanoseconds);
  inode.modify_time = time_at(inode, in::kModifyTime, in::kModifyNanoseconds);
  inode.flags = field<std::uint32_t>(inode, in::kFlags);
  inode.inline_flags = field<std::uint8_t>(inode, in::kInline);
  inode.xattr_nid = field<std::uint32_t>(inode, in::kXattrNid);
  inode.is_encrypted = (field<std::uint8_t>(inode, in::kAdvise) & in::kAdviseEncrypted) != 0;
}

F2fsResult<void> read_compression(F2fsInode& inode) {
  inode.is_compressed = true;
  inode.is_released = (inode.inline_flags & in::kReleased) != 0;
  inode.saved_blocks = field<std::uint64_t>(inode, in::kSavedBlocks);
  const auto flags = field<std::uint16_t>(inode, in::kCompressFlags);
  inode.cluster.algorithm =
      static_cast<ClusterAlgorithm>(field<std::uint8_t>(inode, in::kAlgorithm));
  inode.cluster.log_pages = field<std::uint8_t>(inode, in::kLogClusterPages);
  inode.cluster.has_checksum = (flags & in::kHasClusterChecksum) != 0;
  if (!is_valid(inode.cluster)) {
    return f2fs_fail(EUCLEAN, inode.place() + ": compressed by algorithm " +
                                  std::to_string(static_cast<int>(inode.cluster.algorithm)) +
                                  " in clusters of 2^" + std::to_string(inode.cluster.log_pages) +
                                  " pages, which is impossible");
  }
  // A level that this algorithm does not have changes nothing for a reader.
  ClusterOptions with_level = inode.cluster;
  with_level.level = flags >> in::kLevelShift;
  if (is_valid(with_level)) inode.cluster = with_level;
  return {};
}

// The words behind the fixed attributes: extra attributes, addresses or inline content, xattrs.
F2fsResult<void> divide_words(const F2fsVolume& volume, F2fsInode& inode) {
  std::uint64_t extra_words = 0;
  const bool has_extra =
      (inode.inline_flags & in::kHasExtra) != 0 && volume.has(f2fs::feature::kExtraAttributes);
  if (has_extra) {
    const auto extra_bytes = field<std::uint16_t>(inode, in::kExtraBytes);
    if (extra_bytes % f2fs::kWordBytes != 0 || extra_bytes == 0 ||
        extra_bytes / f2fs::kWordBytes > in::kWordCount / 2) {
      return f2fs_fail(EUCLEAN, inode.place() + ": impossible size of extra attributes");
    }
    extra_words = extra_bytes / f2fs::kWordBytes;
  }
  const std::size_t extra_end = in::kWords + extra_words * f2fs::kWordBytes;
  std::uint64_t xattr_words = 0;
  if (has_extra && volume.has(f2fs::feature::kFlexibleInlineXattr)) {
    xattr_words = field<std::uint16_t>(inode, in::kInlineXattrWords);
  } else if ((inode.inline_flags & (in::kInlineXattr | in::kInlineEntries)) != 0) {
    xattr_words = in::kStandardXattrWords;
  }
  if (xattr_words + in::kUnusedWords > in::kWordCount - extra_words)
    return f2fs_fail(EUCLEAN, inode.place() + ": impossible size of inline xattrs");
  std::uint64_t address_count = in::kWordCount - extra_words - xattr_words;
  if ((inode.inline_flags & in::kInlineXattr) != 0)
    inode.inline_xattrs = {in::kNids - xattr_words * f2fs::kWordBytes,
                           xattr_words * f2fs::kWordBytes};
  if ((inode.inline_flags & (in::kInlineData | in::kInlineEntries)) != 0) {
    inode.inline_content = {extra_end + in::kUnusedWords * f2fs::kWordBytes,
                            (address_count - in::kUnusedWords) * f2fs::kWordBytes};
  }
  const bool has_compression =
      volume.has(f2fs::feature::kCompression) && extra_end >= in::kCompressionEnd;
  if (has_compression && S_ISREG(inode.mode) && (inode.flags & in::kIsCompressed) != 0) {
    if (auto read = read_compression(inode); !read) return read;
    address_count -= address_count % inode.cluster.page_count();
  }
  inode.addresses = {extra_end, address_count * f2fs::kWordBytes};
  if (has_extra && volume.has(f2fs::feature::kInodeChecksum) &&
      extra_end >= in::kChecksum + sizeof(std::uint32_t)) {
    inode.checksum = check_sum(volume, inode);
  }
  return {};
}

}  // namespace

bool F2fsInode::has_inline_entries() const { return (inline_flags & in::kInlineEntries) != 0; }

F2fsResult<F2fsInode> read_inode(const F2fsVolume& volume, std::uint32_t ino) {
  F2fsInode inode;
  inode.ino = ino;
  if (const auto got = volume.read_node(ino, inode.place(), inode.block); !got)
    return f2fs_fail(got.error());
  if (field<std::uint32_t>(inode, f2fs::kFooterIno) != ino)
    return f2fs_fail(EUCLEAN, inode.place() + ": its node is no inode");
  read_attributes(inode);
  if (const auto divided = divide_words(volume, inode); !divided) return f2fs_fail(divided.error());
  return inode;
}

namespace {

// The numbers that stand for the prefixes of names.
constexpr std::array<std::string_view, 12> kXattrPrefixes = {"",
                                                             "user.",
                                                             "system.posix_acl_access",
                                                             "system.posix_acl_default",
                                                             "trusted.",
                                                             "lustre.",
                                                             "security.",
                                                             "system.advise",
                                                             "",
                                                             "encryption.",
                                                             "",
                                                             "verity."};

constexpr std::size_t kXattrHeaderBytes = 24;
constexpr std::size_t kXattrEntryBytes = 4;  // u8 prefix, u8 name bytes, u16 value bytes

std::string text_of(ConstBytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

F2fsResult<std::vector<F2fsXattr>> read_xattrs(const F2fsVolume& volume, const F2fsInode& inode) {
  // What is inline and what is in a block of its own are one stretch.
  const ConstBytes inline_part = inode.bytes_of(inode.inline_xattrs);
  std::vector<std::byte> all(inline_part.begin(), inline_part.end());
  const std::string place = inode.place() + ": xattrs";
  if (inode.xattr_nid != 0) {
    BlockBytes block;
    if (const auto got = volume.read_node(inode.xattr_nid, place, block); !got)
      return f2fs_fail(got.error());
    if (load_little<std::uint32_t>(block, f2fs::kFooterIno) != inode.ino)
      return f2fs_fail(EUCLEAN, place + ": their node belongs to another inode");
    all.insert(all.end(), block.begin(), block.begin() + f2fs::kFooterNid);
  }
  constexpr std::uint32_t kXattrMagic = 0xf2f52011;
  std::vector<F2fsXattr> found;
  if (all.size() < kXattrHeaderBytes || load_little<std::uint32_t>(all, 0) != kXattrMagic)
    return found;
  std::size_t at = kXattrHeaderBytes;
  while (at + kXattrEntryBytes <= all.size() && load_little<std::uint32_t>(all, at) != 0) {
    const auto prefix = std::to_integer<std::size_t>(all[at]);
    const auto name_bytes = std::to_integer<std::size_t>(all[at + 1]);
    const std::size_t value_bytes = load_little<std::uint16_t>(all, at + 2);
    const std::size_t end = at + kXattrEntryBytes + name_bytes + value_bytes;
    if (end > all.size()) return f2fs_fail(EUCLEAN, place + ": one ends outside");
    const ConstBytes rest = ConstBytes(all).subspan(at + kXattrEntryBytes);
    std::string name(prefix < kXattrPrefixes.size() ? kXattrPrefixes[prefix] : "");
    found.push_back(
        {name + text_of(rest.first(name_bytes)), text_of(rest.subspan(name_bytes, value_bytes))});
    at = round_up(end, kXattrEntryBytes);
  }
  return found;
}

}  // namespace uzram
