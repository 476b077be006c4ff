// SPDX-License-Identifier: Apache-2.0
// frontend/mount/compress_rule.h: which files are to be compressed, in f2fs's words.
//
// What:   extensions, flags of directories and files, and which of them counts. Not here: where
//         flags are kept (kept_flags.h).
// Shapes: a list has at most 16 extensions shorter than 8 characters; `*` stands for all files.
// Proof:  compress_rule_test.cc.
// Source: Linux, Documentation/filesystems/f2fs.rst: directory flag < extension < file flag.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace uzram {

inline constexpr std::size_t kMostExtensions = 16;
inline constexpr std::size_t kExtensionEnd = 8;  // As long as this is too long.

// What a flag says: nothing, `chattr +c`, or `chattr +m`.
enum class CompressFlag : unsigned char { Unset, Compress, DoNot };

struct CompressRule {
  std::vector<std::string> compress;  // compress_extension=
  std::vector<std::string> do_not;    // nocompress_extension=

  // Without any compress_extension every file is compressed that nothing else speaks against.
  [[nodiscard]] bool wants(std::string_view name, CompressFlag folder, CompressFlag file) const;
};

// Whether `name` ends in a dot and the extension, whatever the case of the letters; a name that is
// nothing else does not.
[[nodiscard]] bool has_extension(std::string_view name, std::string_view extension);

}  // namespace uzram
