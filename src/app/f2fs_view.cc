// SPDX-License-Identifier: Apache-2.0
#include "app/f2fs_view.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <ctime>

#include "app/f2fs_image.h"
#include "base/printable_text.h"
#include "control/size_text.h"

namespace uzram {

namespace {

struct NamedBit {
  std::uint32_t bit;
  std::string_view name;
};

// In the words of mkfs.f2fs -O.
constexpr std::array<NamedBit, 15> kFeatureNames = {{{0x1, "encrypt"},
                                                     {0x2, "blkzoned"},
                                                     {0x4, "atomic_write"},
                                                     {0x8, "extra_attr"},
                                                     {0x10, "project_quota"},
                                                     {0x20, "inode_checksum"},
                                                     {0x40, "flexible_inline_xattr"},
                                                     {0x80, "quota"},
                                                     {0x100, "inode_crtime"},
                                                     {0x200, "lost_found"},
                                                     {0x400, "verity"},
                                                     {0x800, "sb_checksum"},
                                                     {0x1000, "casefold"},
                                                     {0x2000, "compression"},
                                                     {0x4000, "ro"}}};

std::string feature_names(std::uint32_t features) {
  std::string names;
  for (const NamedBit& row : kFeatureNames) {
    if ((features & row.bit) == 0) continue;
    names += fmt::format("{}{}", names.empty() ? "" : " ", row.name);
    features &= ~row.bit;
  }
  if (features != 0) names += fmt::format("{}0x{:x}", names.empty() ? "" : " ", features);
  return names;
}

std::string uuid_text(ConstBytes uuid) {
  std::string text;
  for (std::size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", std::to_integer<unsigned>(uuid[i]));
  }
  return text;
}

char type_letter(std::uint16_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return 'd';
    case S_IFREG:
      return '-';
    case S_IFLNK:
      return 'l';
    case S_IFCHR:
      return 'c';
    case S_IFBLK:
      return 'b';
    case S_IFIFO:
      return 'p';
    case S_IFSOCK:
      return 's';
    default:
      return '?';
  }
}

std::string mode_text(std::uint16_t mode) {
  std::string text(1, type_letter(mode));
  for (const int shift : {6, 3, 0}) {
    const unsigned bits = mode >> shift;
    text += (bits & 4) != 0 ? 'r' : '-';
    text += (bits & 2) != 0 ? 'w' : '-';
    text += (bits & 1) != 0 ? 'x' : '-';
  }
  if ((mode & S_ISUID) != 0) text[3] = text[3] == 'x' ? 's' : 'S';
  if ((mode & S_ISGID) != 0) text[6] = text[6] == 'x' ? 's' : 'S';
  if ((mode & S_ISVTX) != 0) text[9] = text[9] == 'x' ? 't' : 'T';
  return text;
}

std::string time_text(const F2fsTime& time) {
  const auto seconds = static_cast<std::time_t>(time.seconds);
  std::tm parts{};
  std::array<char, 64> text{};
  if (::gmtime_r(&seconds, &parts) == nullptr ||
      std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M", &parts) == 0) {
    return "no time";
  }
  return text.data();
}

std::string_view checksum_word(ChecksumState state) {
  switch (state) {
    case ChecksumState::Right:
      return "right";
    case ChecksumState::Wrong:
      return "WRONG";
    case ChecksumState::Absent:
      break;
  }
  return "none";
}

}  // namespace

std::string long_entry(std::string_view name, const F2fsInode& inode) {
  return fmt::format("{} {:>3} {:>5} {:>5} {:>10} {} {}", mode_text(inode.mode), inode.link_count,
                     inode.uid, inode.gid, inode.size_bytes, time_text(inode.modify_time),
                     printable(name));
}

std::string volume_text(const F2fsVolume& volume) {
  const F2fsSuperblock& super = volume.superblock();
  const F2fsCheckpoint& checkpoint = volume.checkpoint();
  std::string text;
  text += fmt::format("label: {}\n", printable(super.label));
  text += fmt::format("uuid: {}\n", uuid_text(super.uuid));
  text += fmt::format("format: {}.{}{}\n", super.major_version, super.minor_version,
                      super.copy == 0 ? "" : " (from the superblock's copy)");
  text += fmt::format("features: {}\n", feature_names(super.features));
  text += fmt::format("size: {} ({} blocks)\n", short_size(super.block_count * kPageBytes),
                      super.block_count);
  text += fmt::format("used: {} of {} blocks, {} inodes\n", checkpoint.valid_blocks,
                      checkpoint.user_blocks, checkpoint.inode_count);
  text += fmt::format("checkpoint: {} version {:x}, {}\n", checkpoint.pack + 1, checkpoint.version,
                      checkpoint.is_clean()
                          ? "clean"
                          : "not unmounted: what was only fsynced since then is not seen");
  return text;
}

std::string inode_text(const F2fsInode& inode) {
  std::string text;
  text += fmt::format("inode: {}\n", inode.ino);
  text += fmt::format("mode: {}\n", mode_text(inode.mode));
  text += fmt::format("owner: {}:{}\n", inode.uid, inode.gid);
  text += fmt::format("links: {}\n", inode.link_count);
  text += fmt::format("size: {}\n", inode.size_bytes);
  text += fmt::format("blocks: {}\n", inode.block_count);
  text += fmt::format("modified: {}\n", time_text(inode.modify_time));
  text += fmt::format("content: {}\n", inode.inline_content.bytes != 0 ? "in the inode"
                                       : inode.is_encrypted            ? "encrypted"
                                                                       : "in blocks");
  text += fmt::format("checksum: {}\n", checksum_word(inode.checksum));
  if (!inode.is_compressed) return text;
  text +=
      fmt::format("compression: {}, clusters of {}, {}\n", cluster_algorithm_text(inode.cluster),
                  short_size(inode.cluster.cluster_bytes()),
                  inode.cluster.has_checksum ? "with checksums" : "without checksums");
  text += fmt::format("saved: {} blocks, {}\n", inode.saved_blocks,
                      inode.is_released ? "released" : "reserved for rewriting");
  return text;
}

std::string cluster_line(std::uint64_t index, const ClusterOptions& options,
                         const F2fsCluster& cluster, ConstBytes packed) {
  const std::size_t page_count = options.page_count();
  if (!cluster.is_packed) {
    std::size_t data_count = 0;
    for (const std::uint32_t block : cluster.blocks) data_count += block != 0 ? 1 : 0;
    return fmt::format("{} {} {} of {} blocks", index, data_count == 0 ? "hole" : "raw", data_count,
                       page_count);
  }
  std::string text = fmt::format("{} packed {} of {} blocks at {}", index, cluster.blocks.size(),
                                 page_count, cluster.blocks.front());
  const auto header = read_cluster_header(packed);
  if (!header) return text + ", DAMAGED";
  text += fmt::format(", {} bytes", header->packed_bytes);
  if (options.has_checksum)
    text += is_cluster_checksum_right(packed) ? ", checksum right" : ", checksum WRONG";
  return text;
}

std::string estimate_heading() {
  return fmt::format("{:<10} {:>7} {:>10} {:>7} {:>10}\n", "ALGORITHM", "CLUSTER", "STORED",
                     "SAVED", "PACKED");
}

std::string estimate_line(const ClusterOptions& options, const ClusterCounts& counts,
                          bool in_bytes) {
  const auto percent = [](std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  };
  const std::uint64_t stored_bytes = counts.stored_blocks * kPageBytes;
  return fmt::format("{:<10} {:>7} {:>10} {:>6.1f}% {:>9.1f}%\n", cluster_algorithm_text(options),
                     short_size(options.cluster_bytes()),
                     in_bytes ? std::to_string(stored_bytes) : short_size(stored_bytes),
                     percent(counts.raw_blocks - counts.stored_blocks, counts.raw_blocks),
                     percent(counts.packed_clusters, counts.packed_clusters + counts.raw_clusters));
}

}  // namespace uzram
