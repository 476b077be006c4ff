// SPDX-License-Identifier: Apache-2.0
// frontend/mount/kept_flags.h: what `chattr` and the f2fs calls set, kept beside a file.
//
// What:    an xattr of the file or directory below the mount, which the mount itself hides.
// Shapes:  `user.uzram.flags`, or where users have no xattrs, for root, `trusted.uzram.flags`. Its
//          text: letters c compress, m do not, r released, then ":algorithm:log" where they
//          were chosen ("c:1:4"), then "#number", where another file took the place of the first.
// Errors:  store -> EOPNOTSUPP: the file system has no xattrs; EACCES, ENOSPC, others as it says.
//          What cannot be read or understood is no flag.
// Threads: any.
// Proof:   kept_flags_test.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cluster/cluster_options.h"
#include "frontend/mount/compress_rule.h"

namespace uzram {

struct KeptFlags {
  CompressFlag compress = CompressFlag::Unset;
  bool is_released = false;
  struct Choice {
    ClusterAlgorithm algorithm = ClusterAlgorithm::Lz4;
    unsigned log_pages = kLeastClusterLog;
    friend bool operator==(const Choice&, const Choice&) = default;
  };
  std::optional<Choice> choice;
  std::optional<std::uint64_t> number{};  // That the file is known by, whatever it has below.
  friend bool operator==(const KeptFlags&, const KeptFlags&) = default;
};

[[nodiscard]] std::string kept_flags_text(const KeptFlags& flags);
[[nodiscard]] KeptFlags read_kept_flags_text(std::string_view text);

// `path` is followed: it is one in /proc/self/fd.
[[nodiscard]] KeptFlags load_kept_flags(const std::string& path);
[[nodiscard]] Result<void> store_kept_flags(const std::string& path, const KeptFlags& flags);

// Whether this is an xattr of ours.
[[nodiscard]] bool is_kept_flags_name(std::string_view xattr);

}  // namespace uzram
