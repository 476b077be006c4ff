// SPDX-License-Identifier: Apache-2.0
// frontend/mount/mount_options.h: the options of a mount, by f2fs's names.
//
// What:   `-o a=b,c`: the words, their limits, and which exclude each other.
// Shapes: compress_algorithm=, compress_log_size=, compress_extension=, nocompress_extension= (both
//         any number of times), compress_chksum, compress_mode=fs|user, compress_cache,
//         allow_other, ro, rw.
// Errors: one line that says what would have been right; the options are then unusable.
// Proof:  mount_options_test.cc.
// Source: Linux, Documentation/filesystems/f2fs.rst.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "cluster/cluster_options.h"
#include "frontend/mount/compress_rule.h"

namespace uzram {

struct MountOptions {
  ClusterOptions cluster;
  CompressRule rule;
  // compress_mode=user: nothing is compressed before somebody asks for it, file by file.
  bool is_user_mode = false;
  bool is_read_only = false;
  bool allows_other = false;
  // Of decompressed content, for each file that is open.
  std::size_t cache_bytes = kPlainCacheBytes;
  unsigned thread_count = 1;  // That pack a file.
  // With changes that are not safe yet.
  std::size_t most_closed_files = 256;

  static constexpr std::size_t kPlainCacheBytes = std::size_t{4} << 20;
  static constexpr std::size_t kCompressCacheBytes = std::size_t{32} << 20;
};

using OptionResult = tl::expected<void, std::string>;

// Adds what one -o says.
[[nodiscard]] OptionResult read_mount_options(std::string_view words, MountOptions& options);
// Whether all of them together can be.
[[nodiscard]] OptionResult check_mount_options(const MountOptions& options);

}  // namespace uzram
