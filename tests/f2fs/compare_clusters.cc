// SPDX-License-Identifier: Apache-2.0
// Packs the clusters of compressed files of an f2fs image again, and compares with what is there.
// A line for each file: how many clusters are the same bytes, other bytes, or packed only once.
#include <fmt/format.h>

#include <algorithm>

#include "cluster/f2fs_directory.h"
#include "cluster/f2fs_file.h"

namespace uzram {
namespace {

struct Comparison {
  int same = 0;
  int different = 0;
  int packed_once = 0;  // Kept by one of the two, raw with the other.
};

F2fsResult<Comparison> compare(const F2fsVolume& volume, const F2fsInode& inode) {
  Comparison found;
  F2fsFile file(volume, inode);
  auto packer = ClusterPacker::make(inode.cluster).value();
  std::vector<std::byte> content(inode.cluster.cluster_bytes());
  std::vector<std::byte> ours(content.size());
  std::vector<std::byte> theirs;
  for (std::uint64_t index = 0; (index + 1) * content.size() <= inode.size_bytes; ++index) {
    const auto cluster = file.cluster(index);
    if (!cluster) return f2fs_fail(cluster.error());
    if (auto got = file.read(index * content.size(), content); !got) return f2fs_fail(got.error());
    const auto packed = packer.pack(content, ours);
    if (packed.has_value() != cluster->is_packed) {
      ++found.packed_once;
    } else if (packed) {
      theirs.resize(cluster->blocks.size() * kPageBytes);
      if (auto got = file.read_packed(*cluster, theirs); !got) return f2fs_fail(got.error());
      const ConstBytes mine = ConstBytes(ours).first(*packed * kPageBytes);
      ++(std::equal(mine.begin(), mine.end(), theirs.begin(), theirs.end()) ? found.same
                                                                            : found.different);
    }
  }
  return found;
}

int run(int argc, char** argv) {
  const auto source = open_block_source(argv[1]);
  if (!source) return 2;
  const auto volume = F2fsVolume::open(**source);
  if (!volume) return 2;
  for (int i = 2; i < argc; ++i) {
    const auto inode = find_path(**volume, argv[i]);
    if (!inode || !inode->is_compressed) return 2;
    const auto found = compare(**volume, *inode);
    if (!found) return 2;
    fmt::print("{} {} {} {}\n", argv[i], found->same, found->different, found->packed_once);
  }
  return 0;
}

}  // namespace
}  // namespace uzram

int main(int argc, char** argv) { return argc < 3 ? 2 : uzram::run(argc, argv); }
