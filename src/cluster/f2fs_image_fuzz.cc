// SPDX-License-Identifier: Apache-2.0
// A small sound image is changed as the input says (where, and to what), its checksums are renewed
// so that the changes get past them, and everything in it is read. Nothing may crash, hang or ask
// for memory that the image has no blocks for.
//
// Input: any number of changes of eight bytes: u16 block (of those that the image has, in order),
// u16 offset, u32 value. A value of which the upper half is zero changes two bytes only.
#include <unordered_set>

#include "cluster/f2fs_directory.h"
#include "cluster/f2fs_file.h"
#include "cluster/f2fs_image_maker.h"

namespace uzram {
namespace {

constexpr std::size_t kChangeBytes = 8;
constexpr std::uint64_t kMostReadBytes = 1 << 20;

// A tree with every kind of inode that the reader tells apart.
void fill(F2fsImageMaker& maker) {
  namespace in = f2fs::inode;
  const MutableBytes root = maker.image.block(F2fsImageMaker::kMain);
  const std::uint32_t entries = maker.take_block();
  maker.set_address(root, 0, entries);
  const MutableBytes names = maker.image.block(entries);
  F2fsImageMaker::add_entry(names, 0, "folder", 4);
  F2fsImageMaker::add_entry(names, 1, "packed", 5);
  F2fsImageMaker::add_entry(names, 2, "sparse", 6);
  F2fsImageMaker::add_entry(names, 3, "inline", 7);
  const MutableBytes folder = maker.add_inode(4, S_IFDIR | 0755, 0);
  store_little(folder, in::kInline, static_cast<std::uint8_t>(in::kHasExtra | in::kInlineEntries));
  const ClusterOptions options{.has_checksum = true};
  const MutableBytes packed = maker.add_compressed(5, options.cluster_bytes() + 1, options);
  const std::vector<std::byte> content(options.cluster_bytes(), std::byte{'x'});
  std::vector<std::byte> out(content.size());
  (void)ClusterPacker::make(options).value().pack(content, out);
  maker.set_address(packed, 0, f2fs::kPackedCluster);
  maker.set_address(packed, 1, maker.add_data(ConstBytes(out).first(kPageBytes)));
  const MutableBytes sparse = maker.add_inode(6, S_IFREG | 0644, std::uint64_t{1} << 40);
  store_little(sparse, in::kNids + 8, std::uint32_t{100});
  store_little(maker.add_node(100, 6, 3), 0, std::uint32_t{101});
  store_little(maker.add_node(101, 6, 4), 8, maker.take_block());
  const MutableBytes small = maker.add_inode(7, S_IFREG | 0644, 100);
  store_little(small, in::kInline,
               static_cast<std::uint8_t>(in::kHasExtra | in::kInlineData | in::kInlineXattr));
  store_little(small, in::kInlineXattrWords, std::uint16_t{50});
  maker.seal();
}

void read_file(const F2fsVolume& volume, const F2fsInode& inode) {
  F2fsFile file(volume, inode);
  std::vector<std::byte> out(3 * kPageBytes);
  std::uint64_t read_bytes = 0;
  std::uint64_t offset = 0;
  while (offset < inode.size_bytes && read_bytes < kMostReadBytes) {
    const auto data = file.next_data(offset);
    if (!data || *data >= inode.size_bytes) return;
    UZ_CHECK(*data >= offset);
    const auto bytes = std::min<std::uint64_t>(out.size(), inode.size_bytes - *data);
    if (!file.read(*data, MutableBytes(out).first(bytes))) return;
    offset = *data + bytes;
    read_bytes += bytes;
  }
}

void read_all(const F2fsVolume& volume) {
  std::vector<std::uint32_t> left = {volume.superblock().root_ino};
  std::unordered_set<std::uint32_t> seen;
  while (!left.empty()) {
    const std::uint32_t ino = left.back();
    left.pop_back();
    if (!seen.insert(ino).second) continue;
    const auto inode = read_inode(volume, ino);
    if (!inode) continue;
    (void)read_xattrs(volume, *inode);
    if (S_ISDIR(inode->mode)) {
      (void)visit_entries(volume, *inode, [&](const F2fsEntry& entry) {
        UZ_CHECK(!entry.name.empty() && entry.name.find('/') == std::string::npos);
        left.push_back(entry.ino);
        return true;
      });
    } else {
      read_file(volume, *inode);
    }
  }
}

}  // namespace
}  // namespace uzram

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace uzram;
  F2fsImageMaker maker;
  fill(maker);
  const std::vector<std::uint64_t> blocks = maker.image.written_blocks();
  ConstBytes input = std::as_bytes(std::span(data, size));
  while (input.size() >= kChangeBytes) {
    const std::uint64_t block = blocks[load_little<std::uint16_t>(input, 0) % blocks.size()];
    const std::size_t offset = load_little<std::uint16_t>(input, 2) % (kPageBytes - 4);
    const auto value = load_little<std::uint32_t>(input, 4);
    if (value >> 16 == 0)
      store_little(maker.image.block(block), offset, static_cast<std::uint16_t>(value));
    else
      store_little(maker.image.block(block), offset, value);
    input = input.subspan(kChangeBytes);
  }
  maker.reseal();
  const auto volume = F2fsVolume::open(maker.image);
  if (volume) read_all(**volume);
  return 0;
}
