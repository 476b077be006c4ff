// SPDX-License-Identifier: Apache-2.0
// A small cluster file whose map says what the input says, with every checksum right, so that the
// map's contents get past them. It is read, verified, and written to. Nothing may crash, hang, or
// write outside of what is free.
//
// Input: 4 bytes of the root (depth, algorithm, cluster size, flags), 8 bytes of size, then entries
// of 16 bytes for the first slots of two map blocks, in turn: the topmost one and one below it.
#include "base/check.h"
#include "cluster/cluster_file.h"
#include "cluster/little_endian.h"
#include "cluster/memory_storage.h"

namespace uzram {
namespace {

constexpr std::size_t kDiskBlocks = 24;
constexpr std::size_t kHeadBytes = 12;
constexpr std::uint64_t kTopBlock = 2;
constexpr std::uint64_t kLowerBlock = 3;

MutableBytes block_of(MemoryDisk& disk, std::uint64_t number) {
  return MutableBytes(disk.bytes).subspan(number * kPageBytes, kPageBytes);
}

// The checksum that an entry needs for what it names, if that is inside.
void seal_entry(MemoryDisk& disk, MutableBytes place, std::uint64_t first_cluster) {
  const auto entry = load_entry(place);
  if (!entry || entry->is_hole()) return;
  if (entry->first_block + entry->block_count > kDiskBlocks) return;
  const ConstBytes named =
      ConstBytes(disk.bytes)
          .subspan(entry->first_block * kPageBytes, entry->block_count * kPageBytes);
  store_little(place, 0, entry_checksum(first_cluster, named));
}

void seal_map(MemoryDisk& disk, std::uint64_t block, std::uint64_t span) {
  for (std::size_t slot = 0; slot < kMapFanout; ++slot)
    seal_entry(disk, block_of(disk, block).subspan(slot * kMapEntryBytes, kMapEntryBytes),
               slot * span);
}

void build(MemoryDisk& disk, ConstBytes input) {
  disk.bytes.assign(kDiskBlocks * kPageBytes, std::byte{0});
  for (std::size_t block = 4; block < kDiskBlocks; ++block) {
    // Most of them begin like packed clusters.
    const MutableBytes bytes = block_of(disk, block);
    store_little(bytes, 0, static_cast<std::uint32_t>(block * 37));
    std::fill(bytes.begin() + kClusterHeaderBytes, bytes.end(), static_cast<std::byte>(block));
  }
  ClusterFileRoot root;
  root.depth = std::to_integer<unsigned>(input[0]) % 3;
  root.cluster.algorithm = static_cast<ClusterAlgorithm>(std::to_integer<unsigned>(input[1]) % 4);
  root.cluster.log_pages = 2 + std::to_integer<unsigned>(input[2]) % 7;
  root.is_reserved = (input[3] & std::byte{1}) != std::byte{0};
  root.size_bytes = load_little<std::uint64_t>(input, 4) & (kMostContentBytes - 1);
  input = input.subspan(kHeadBytes);
  for (std::size_t i = 0; input.size() >= kMapEntryBytes && i < 2 * kMapFanout; ++i) {
    const MutableBytes place =
        block_of(disk, i % 2 == 0 ? kTopBlock : kLowerBlock).subspan(i / 2 * kMapEntryBytes);
    std::copy_n(input.begin(), kMapEntryBytes, place.begin());
    input = input.subspan(kMapEntryBytes);
  }
  seal_map(disk, kLowerBlock, 1);
  if (root.depth != 0) {
    seal_map(disk, kTopBlock, root.depth == 1 ? 1 : kMapFanout);
    root.top = {entry_checksum(0, block_of(disk, kTopBlock)), 1, EntryKind::Map, kTopBlock};
  }
  std::array<std::byte, kPageBytes> slot;
  store_root(slot, root);
  std::copy(slot.begin(), slot.end(), disk.bytes.begin());
  disk.durable = disk.bytes;
}

void use(ClusterFile& file) {
  std::vector<std::byte> out(3 * kPageBytes);
  for (const std::uint64_t offset :
       {std::uint64_t{0}, file.size_bytes() / 2,
        file.size_bytes() - std::min<std::uint64_t>(file.size_bytes(), 5000)})
    (void)file.read(offset, out);
  (void)file.totals();
  (void)file.verify([](std::uint64_t, std::uint64_t) {}, [](std::uint64_t) {});
  const bool is_written = file.write(9, out) && file.truncate(file.size_bytes() / 2 + 20) &&
                          file.punch(0, 40'000) && file.sync();
  if (is_written) file.check_invariants();
}

}  // namespace
}  // namespace uzram

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace uzram;
  if (size < kHeadBytes) return 0;
  const auto disk = std::make_shared<MemoryDisk>();
  build(*disk, std::as_bytes(std::span(data, size)));
  disk->most_bytes = 64 << 20;
  const auto file = ClusterFile::open(std::make_unique<MemoryStorage>(disk), StorageMode::Write,
                                      {.cache_bytes = 0});
  if (file) use(**file);
  return 0;
}
