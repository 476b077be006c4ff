// SPDX-License-Identifier: Apache-2.0
// The addresses of a file are the leaves of a tree under its inode: first those in the inode, then
// two nodes of addresses, two nodes of such nodes, and one with a further level. Each node says in
// its footer which node of which file it is, so that none can be reached in two ways.
#include <algorithm>

#include "cluster/f2fs_file.h"
#include "cluster/f2fs_layout.h"
#include "cluster/little_endian.h"

namespace uzram {
namespace {

constexpr std::uint64_t kFanout = f2fs::kNodeWords;

// A node on the way to an address.
struct MapStep {
  std::uint64_t word = 0;         // Where its number stands in the node above.
  std::uint64_t node_offset = 0;  // Which node of the file it is.
  std::uint64_t span = 0;         // How many addresses are below it.
};

struct MapPath {
  std::array<MapStep, 3> steps{};
  std::size_t depth = 0;
  std::uint64_t word = 0;  // Where the address stands in the last one.

  // How many addresses below the node of this level are before the one that is looked for.
  [[nodiscard]] std::uint64_t passed_below(std::size_t level) const {
    std::uint64_t passed = word;
    for (std::size_t next = level + 1; next < depth; ++next)
      passed += steps[next].word * steps[next].span;
    return passed;
  }
};

// The way to the `rest`-th address behind those of the inode. Requires: it exists.
MapPath path_to(std::uint64_t rest, std::uint64_t per_node) {
  const std::uint64_t per_indirect = per_node * kFanout;
  for (std::uint64_t slot = 0; slot < 2; ++slot) {
    if (rest < per_node) return {{{{slot, 1 + slot, per_node}}}, 1, rest};
    rest -= per_node;
  }
  for (std::uint64_t slot = 2; slot < 4; ++slot) {
    const std::uint64_t offset = slot == 2 ? 3 : 4 + kFanout;
    if (rest < per_indirect) {
      const std::uint64_t child = rest / per_node;
      return {{{{slot, offset, per_indirect}, {child, offset + 1 + child, per_node}}},
              2,
              rest % per_node};
    }
    rest -= per_indirect;
  }
  const std::uint64_t offset = 5 + 2 * kFanout;
  const std::uint64_t child = rest / per_indirect;
  const std::uint64_t child_offset = offset + 1 + child * (kFanout + 1);
  const std::uint64_t grandchild = rest / per_node % kFanout;
  return {{{{4, offset, per_indirect * kFanout},
            {child, child_offset, per_indirect},
            {grandchild, child_offset + 1 + grandchild, per_node}}},
          3,
          rest % per_node};
}

}  // namespace

std::uint64_t F2fsBlockMap::addresses_per_node() const {
  if (!inode_.is_compressed) return kFanout;
  return kFanout - kFanout % inode_.cluster.page_count();
}

std::uint64_t F2fsBlockMap::most_blocks() const {
  const std::uint64_t per_node = addresses_per_node();
  return inode_.addresses.bytes / f2fs::kWordBytes +
         per_node * (2 + 2 * kFanout + kFanout * kFanout);
}

F2fsResult<void> F2fsBlockMap::load(std::size_t level, std::uint32_t nid,
                                    std::uint64_t node_offset) {
  KeptNode& kept = kept_[level];
  if (kept.nid != nid) {
    kept.nid = 0;
    if (auto got = volume_.read_node(nid, inode_.place(), kept.block); !got) return got;
    kept.nid = nid;
  }
  const auto flags = load_little<std::uint32_t>(kept.block, f2fs::kFooterFlags);
  if (load_little<std::uint32_t>(kept.block, f2fs::kFooterIno) != inode_.ino ||
      flags >> f2fs::kFooterOffsetShift != node_offset) {
    return f2fs_fail(EUCLEAN, inode_.place() + ": node " + std::to_string(nid) +
                                  " is another part of a file than its place says");
  }
  return {};
}

F2fsResult<BlockPlace> F2fsBlockMap::find(std::uint64_t index) {
  UZ_CHECK(index < most_blocks());
  const std::uint64_t in_inode = inode_.addresses.bytes / f2fs::kWordBytes;
  if (index < in_inode) {
    const std::size_t offset = inode_.addresses.offset + index * f2fs::kWordBytes;
    return BlockPlace{load_little<std::uint32_t>(inode_.block, offset), index + 1};
  }
  const MapPath path = path_to(index - in_inode, addresses_per_node());
  ConstBytes words = ConstBytes(inode_.block).subspan(f2fs::inode::kNids);
  for (std::size_t level = 0; level < path.depth; ++level) {
    const MapStep& step = path.steps[level];
    const auto nid = load_little<std::uint32_t>(words, step.word * f2fs::kWordBytes);
    if (nid == 0) return BlockPlace{f2fs::kNoBlock, index - path.passed_below(level) + step.span};
    if (const auto got = load(level, nid, step.node_offset); !got) return f2fs_fail(got.error());
    words = kept_[level].block;
  }
  return BlockPlace{load_little<std::uint32_t>(words, path.word * f2fs::kWordBytes), index + 1};
}

}  // namespace uzram
