// SPDX-License-Identifier: Apache-2.0
// make_fuzz_seeds DIR: writes DIR/decompress, DIR/roundtrip and DIR/cluster, the inputs that the
// fuzzers start from. The libraries are not instrumented, so a fuzzer finds its way into their
// formats only from real packed data.
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <vector>

#include "codec/cluster_codec.h"
#include "codec/fuzz_input.h"
#include "codec/page_kinds.h"

namespace {

using namespace uzram;
using Bytes = std::vector<std::byte>;

void write_file(const std::filesystem::path& path, std::initializer_list<std::uint8_t> header,
                ConstBytes content) {
  std::ofstream file(path, std::ios::binary);
  for (const std::uint8_t byte : header) file.put(static_cast<char>(byte));
  file.write(reinterpret_cast<const char*>(content.data()),
             static_cast<std::streamsize>(content.size()));
}

// Packed clusters of several sizes and levels, and contents to be packed.
void write_cluster_seeds(const std::filesystem::path& folder) {
  for (const int level : {1, 3, 19}) {
    const auto compressor = ClusterCompressor::make(level, kClusterMostPages).value();
    for (const std::uint8_t page_count : std::to_array<std::uint8_t>({2, 5, 16, 32})) {
      for (const PageKind kind : kPageKinds) {
        Bytes pages(page_count * kPageBytes);
        PageMaker(page_count).fill(kind, pages);
        Bytes packed(2 * pages.size());
        packed.resize(compressor->compress(pages, packed).value());
        const std::string name = std::to_string(level) + "-" + std::to_string(page_count) + "-" +
                                 std::to_string(static_cast<int>(kind));
        const auto last = static_cast<std::uint8_t>(page_count - 1);
        write_file(folder / ("packed-" + name), {0, 0, last, 1, 7}, packed);
        if (level == 19) continue;
        const auto direction = static_cast<std::uint8_t>(level == 1 ? 1 : 3);
        const auto size = static_cast<std::uint8_t>(page_count - 2);
        write_file(folder / ("pages-" + name), {direction, last, 0, 4, 1, size},
                   ConstBytes(pages).first(1500));
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_fuzz_seeds DIR\n");
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder / "decompress");
  std::filesystem::create_directories(folder / "roundtrip");
  std::filesystem::create_directories(folder / "cluster");
  write_cluster_seeds(folder / "cluster");
  for (std::uint8_t row_index = 0; row_index < all_codecs().size(); ++row_index) {
    const CodecInfo& row = fuzz_row(row_index);
    for (const std::uint8_t choice : std::to_array<std::uint8_t>({0x00, 0x80, 0x09, 0x0c})) {
      if ((choice & 0x80) != 0 && !row.takes_dictionary) continue;
      FuzzPair& pair = fuzz_pair(row, fuzz_has_dictionary(row, choice));
      for (const PageKind kind : kPageKinds) {
        Bytes block(fuzz_block_bytes(choice));
        PageMaker(1).fill(kind, block);
        Bytes packed(2 * block.size() + 1024);
        packed.resize(pair.compressor->compress(block, packed).value());
        const std::string name = std::string(row.name) + "-" + std::to_string(choice) + "-" +
                                 std::to_string(static_cast<int>(kind));
        write_file(folder / "decompress" / name, {row_index, choice}, packed);
        write_file(folder / "roundtrip" / name, {row_index, choice, 0, 8},
                   ConstBytes(block).first(1024));
      }
    }
  }
  return 0;
}
