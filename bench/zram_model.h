// SPDX-License-Identifier: Apache-2.0
// bench/zram_model.h: what the kernel's zram would need for the corpus, for algorithms that the
// kernel at hand was built without.
//
// What:    packs every page by itself as zram does, and sums up the kernel's allocator (zsmalloc)
//          after nothing but allocations. The allocator in words: size classes 16 bytes apart; in
//          each, spans of 1 to 8 pages, as many as waste least behind the last object; classes
//          whose spans have as many pages and objects are one. An object carries an 8-byte handle
//          in front; from the first class of one object a page on, pages are stored as they were,
//          without one.
// Units:   bytes.
// Proof:   bench/run compares it with the real driver (lz4) in every run; tests/bench_test.py.
// Source:  the documentation of zsmalloc, CONFIG_ZSMALLOC_CHAIN_SIZE at its default of 8.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "bench/corpus.h"

namespace uzram::bench {

class ZsmallocModel {
 public:
  ZsmallocModel();
  // Packed pages of this many bytes and more are stored as they were.
  [[nodiscard]] std::size_t huge_bytes() const { return huge_bytes_; }
  [[nodiscard]] std::size_t class_count() const { return classes_.size(); }
  // One object more. Requires: bytes <= kPageBytes.
  void allocate(std::size_t bytes);
  [[nodiscard]] std::uint64_t object_count() const;
  // As mem_used_total counts: whole pages of all spans.
  [[nodiscard]] std::uint64_t used_bytes() const;

 private:
  struct SizeClass {
    std::size_t object_bytes;
    std::size_t span_pages;
    std::size_t span_objects;
    std::uint64_t objects = 0;
    [[nodiscard]] bool is_huge() const { return span_pages == 1 && span_objects == 1; }
  };
  static SizeClass best_class(std::size_t object_bytes);

  std::vector<SizeClass> classes_;  // Ascending.
  std::size_t huge_bytes_ = 0;
};

// `algorithm`: lz4, or zstd at its level 3. Errors: EINVAL another one.
Result<nlohmann::json> measure_zram_model(const Corpus& corpus, const std::string& algorithm);

}  // namespace uzram::bench
