// SPDX-License-Identifier: Apache-2.0
// app/f2fs_image.h: an f2fs image for the commands that read one.
//
// What:    opens it, copies a file's content to a descriptor, and tells about damage without giving
//          up: each fault is one line on standard error, and the exit code remembers.
// Errors:  InputError with the place.
// Proof:   tests/f2fs.
#pragma once

#include <memory>
#include <string>

#include "cluster/f2fs_file.h"
#include "cluster/f2fs_volume.h"
#include "control/input_error.h"

namespace uzram {

struct F2fsImage {
  std::unique_ptr<BlockSource> source;
  std::unique_ptr<F2fsVolume> volume;
};

[[nodiscard]] InputResult<F2fsImage> open_f2fs_image(const std::string& path);

class ImageFaults {
 public:
  void add(std::string_view text);
  void add(const F2fsError& error) { add(error.text); }
  // What a file that was read had, under the name that a person knows it by.
  void add_checksums(const F2fsInode& inode, const F2fsFile::ChecksumFaults& faults);
  // Returns: 0, or the exit code of a command that met faults.
  [[nodiscard]] int exit_code() const { return exit_code_; }

 private:
  int exit_code_ = 0;
};

struct ContentRange {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

// Requires: the range is inside the file. With `keeps_holes` the descriptor is an empty file, and
// holes stay holes.
[[nodiscard]] InputResult<void> copy_content(F2fsFile& file, const F2fsInode& inode,
                                             ContentRange range, int descriptor, bool keeps_holes);

}  // namespace uzram
