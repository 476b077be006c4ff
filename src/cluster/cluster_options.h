// SPDX-License-Identifier: Apache-2.0
// cluster/cluster_options.h: how clusters are packed: algorithm, level, size, checksum.
//
// What:   f2fs's compress_algorithm, compress_log_size and compress_chksum, in its words and with
//         its limits.
// Shapes: a cluster is 4 to 256 pages (log size 2 to 8). Level 0 is the algorithm's own: lz4 at its
//         fastest, zstd at 1. Else lz4 takes 3 to 16 (lz4hc), zstd 1 to 22, lzo and lzo-rle none.
// Proof:  cluster_options_test.cc.
// Source: Linux, Documentation/filesystems/f2fs.rst.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/units.h"

namespace uzram {

// Stored in every compressed inode.
enum class ClusterAlgorithm : std::uint8_t { Lzo = 0, Lz4 = 1, Zstd = 2, LzoRle = 3 };

inline constexpr std::size_t kClusterAlgorithmCount = 4;
inline constexpr unsigned kLeastClusterLog = 2;
inline constexpr unsigned kMostClusterLog = 8;

struct ClusterAlgorithmInfo {
  ClusterAlgorithm id;
  std::string_view name;
  int lowest_level;  // Besides 0. Both 0: it takes none.
  int highest_level;
};

inline constexpr std::array<ClusterAlgorithmInfo, kClusterAlgorithmCount> kClusterAlgorithms = {{
    {ClusterAlgorithm::Lzo, "lzo", 0, 0},
    {ClusterAlgorithm::Lz4, "lz4", 3, 16},
    {ClusterAlgorithm::Zstd, "zstd", 1, 22},
    {ClusterAlgorithm::LzoRle, "lzo-rle", 0, 0},
}};

struct ClusterOptions {
  ClusterAlgorithm algorithm = ClusterAlgorithm::Lz4;
  int level = 0;
  unsigned log_pages = kLeastClusterLog;
  bool has_checksum = false;

  [[nodiscard]] constexpr std::size_t page_count() const { return std::size_t{1} << log_pages; }
  [[nodiscard]] constexpr std::size_t cluster_bytes() const { return kPageBytes << log_pages; }
  friend bool operator==(const ClusterOptions&, const ClusterOptions&) = default;
};

// Whether every member is within the limits above.
[[nodiscard]] bool is_valid(const ClusterOptions& options);

// Sets algorithm and level as compress_algorithm= spells them: "lzo-rle", "lz4:9", "zstd:3".
// Returns: whether `text` is one; `options` is unchanged otherwise.
[[nodiscard]] bool read_cluster_algorithm(std::string_view text, ClusterOptions& options);
// The inverse: "zstd:3", or "zstd" at level 0.
[[nodiscard]] std::string cluster_algorithm_text(const ClusterOptions& options);

}  // namespace uzram
