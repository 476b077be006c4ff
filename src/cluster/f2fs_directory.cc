// SPDX-License-Identifier: Apache-2.0
// A directory is a hash table in which a name may be in any of several levels, so the whole of it
// is looked at: a walk over every block that there is.
#include "cluster/f2fs_directory.h"

#include <sys/stat.h>

#include <unordered_set>

#include "cluster/f2fs_file.h"
#include "cluster/f2fs_layout.h"
#include "cluster/little_endian.h"

namespace uzram {
namespace {

using Visit = std::function<bool(const F2fsEntry&)>;

// The slots of one block, or of what an inode has of them.
struct Slots {
  std::size_t count = 0;
  ConstBytes bitmap;
  ConstBytes entries;
  ConstBytes names;
};

Slots divide_slots(ConstBytes bytes, std::size_t count, std::size_t entries_offset) {
  const std::size_t names_offset = entries_offset + count * f2fs::kEntryBytes;
  return {count, bytes, bytes.subspan(entries_offset, count * f2fs::kEntryBytes),
          bytes.subspan(names_offset, count * f2fs::kNameSlotBytes)};
}

Slots block_slots(ConstBytes block) {
  return divide_slots(block, f2fs::kBlockSlots, f2fs::kBlockEntriesOffset);
}

Slots inline_slots(ConstBytes content) {
  constexpr std::size_t kSlotBits = (f2fs::kEntryBytes + f2fs::kNameSlotBytes) * 8 + 1;
  const std::size_t count = content.size() * 8 / kSlotBits;
  return divide_slots(content, count,
                      content.size() - count * (f2fs::kEntryBytes + f2fs::kNameSlotBytes));
}

bool is_file_name(std::string_view name) {
  return name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

// Returns: whether to go on.
F2fsResult<bool> visit_slots(const Slots& slots, const std::string& place, const Visit& visit) {
  std::size_t slot = 0;
  while (slot < slots.count) {
    if ((std::to_integer<unsigned>(slots.bitmap[slot / 8]) & (1U << (slot % 8))) == 0) {
      ++slot;
      continue;
    }
    const ConstBytes entry = slots.entries.subspan(slot * f2fs::kEntryBytes, f2fs::kEntryBytes);
    const std::size_t name_bytes = load_little<std::uint16_t>(entry, 8);
    const std::size_t slot_count = (name_bytes + f2fs::kNameSlotBytes - 1) / f2fs::kNameSlotBytes;
    const std::string where = place + ": entry in slot " + std::to_string(slot);
    if (name_bytes == 0 || name_bytes > f2fs::kMostNameBytes || slot_count > slots.count - slot)
      return f2fs_fail(EUCLEAN, where + " has a name of " + std::to_string(name_bytes) + " bytes");
    const ConstBytes name = slots.names.subspan(slot * f2fs::kNameSlotBytes, name_bytes);
    const F2fsEntry found{{reinterpret_cast<const char*>(name.data()), name.size()},
                          load_little<std::uint32_t>(entry, 4)};
    if (!is_file_name(found.name)) return f2fs_fail(EUCLEAN, where + " has a name with '/' or NUL");
    if (found.name != "." && found.name != ".." && !visit(found)) return false;
    slot += slot_count;
  }
  return true;
}

F2fsResult<void> visit_blocks(const F2fsVolume& volume, const F2fsInode& directory,
                              const Visit& visit) {
  const std::string place = directory.place();
  F2fsBlockMap map(volume, directory);
  if (directory.size_bytes > map.most_blocks() * kPageBytes)
    return f2fs_fail(EUCLEAN, place + ": the directory is larger than its addresses reach");
  const std::uint64_t block_count = bytes_to_pages(directory.size_bytes);
  std::unordered_set<std::uint32_t> seen;
  std::uint64_t index = 0;
  while (index < block_count) {
    const auto found = map.find(index);
    if (!found) return f2fs_fail(found.error());
    const std::uint64_t this_index = index;
    index = found->next_index;
    if (found->address == f2fs::kNoBlock || found->address == f2fs::kReservedBlock) continue;
    const std::string block_place = place + ": directory block " + std::to_string(this_index);
    if (!seen.insert(found->address).second)
      return f2fs_fail(EUCLEAN, block_place + " is another one's as well");
    BlockBytes block;
    if (auto got = volume.read_data(found->address, block_place, block); !got) return got;
    const auto goes_on = visit_slots(block_slots(block), block_place, visit);
    if (!goes_on) return f2fs_fail(goes_on.error());
    if (!*goes_on) return {};
  }
  return {};
}

}  // namespace

F2fsResult<void> visit_entries(const F2fsVolume& volume, const F2fsInode& directory,
                               const Visit& visit) {
  const std::string place = directory.place();
  if (!S_ISDIR(directory.mode)) return f2fs_fail(ENOTDIR, place + ": not a directory");
  if (directory.is_encrypted) return f2fs_fail(EACCES, place + ": its names are encrypted");
  if (!directory.has_inline_entries()) return visit_blocks(volume, directory, visit);
  const auto seen =
      visit_slots(inline_slots(directory.bytes_of(directory.inline_content)), place, visit);
  if (!seen) return f2fs_fail(seen.error());
  return {};
}

F2fsResult<F2fsInode> find_path(const F2fsVolume& volume, std::string_view path) {
  auto inode = read_inode(volume, volume.superblock().root_ino);
  while (inode) {
    path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
    if (path.empty()) break;
    const std::string_view name = path.substr(0, path.find('/'));
    path.remove_prefix(name.size());
    if (name == ".") continue;
    std::uint32_t ino = 0;
    const auto visited = visit_entries(volume, *inode, [&](const F2fsEntry& entry) {
      if (entry.name == name) ino = entry.ino;
      return ino == 0;
    });
    if (!visited) return f2fs_fail(visited.error());
    if (ino == 0) return f2fs_fail(ENOENT, "there is no '" + std::string(name) + "' in it");
    inode = read_inode(volume, ino);
  }
  return inode;
}

}  // namespace uzram
