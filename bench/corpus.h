// SPDX-License-Identifier: Apache-2.0
// bench/corpus.h: pages of real process memory, as bench/make_corpus saves them.
//
// Shapes: a file of whole 4 KiB pages. In memory they are page-aligned and one after the other.
// Owns:   the pages, in anonymous memory.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/units.h"

namespace uzram::bench {

enum class SameFilled { Keep, LeaveOut };

class Corpus {
 public:
  // At most `most_pages` (0: all), taken in runs of 64 neighbours spread over the file.
  // Errors: those of the file system; ENODATA when not one page is left.
  static Result<Corpus> load(const std::string& path, std::size_t most_pages,
                             SameFilled same_filled);
  // Returns: whether the page is one 8-byte word again and again.
  static bool is_same_filled(PageView page);

  [[nodiscard]] std::size_t page_count() const { return page_count_; }
  [[nodiscard]] PageView page(std::size_t index) const {
    return PageView(data_.get() + index * kPageBytes, kPageBytes);
  }
  [[nodiscard]] ConstBytes bytes() const { return {data_.get(), page_count_ * kPageBytes}; }

 private:
  struct Unmap {
    std::size_t bytes;
    Unmap() : bytes(0) {}
    explicit Unmap(std::size_t mapped_bytes) : bytes(mapped_bytes) {}
    void operator()(std::byte* data) const;
  };
  std::unique_ptr<std::byte[], Unmap> data_;
  std::size_t page_count_ = 0;
};

}  // namespace uzram::bench
