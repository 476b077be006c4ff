// SPDX-License-Identifier: Apache-2.0
// app/f2fs_view.h: f2fs images, inodes and clusters as text for a person.
//
// Proof:   f2fs_view_test.cc.
#pragma once

#include <string>
#include <string_view>

#include "cluster/cluster_estimate.h"
#include "cluster/f2fs_file.h"
#include "cluster/f2fs_volume.h"

namespace uzram {

// "-rw-r--r--   1    0    0     4096 2026-01-01 12:00 name", in UTC.
[[nodiscard]] std::string long_entry(std::string_view name, const F2fsInode& inode);
// Lines of "key: value".
[[nodiscard]] std::string volume_text(const F2fsVolume& volume);
[[nodiscard]] std::string inode_text(const F2fsInode& inode);
// "12 packed 3 of 4 blocks at 5000, 9876 bytes, checksum right"
[[nodiscard]] std::string cluster_line(std::uint64_t index, const ClusterOptions& options,
                                       const F2fsCluster& cluster, ConstBytes packed);

// The table of estimates.
[[nodiscard]] std::string estimate_heading();
[[nodiscard]] std::string estimate_line(const ClusterOptions& options, const ClusterCounts& counts,
                                        bool in_bytes);

}  // namespace uzram
