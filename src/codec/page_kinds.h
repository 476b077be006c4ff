// SPDX-License-Identifier: Apache-2.0
// codec/page_kinds.h: made-up memory content for tests and for the seeds of fuzzers.
#pragma once

#include <array>
#include <cstring>
#include <string_view>

#include "base/random.h"
#include "base/units.h"

namespace uzram {

enum class PageKind {
  Zeros,
  SameByte,
  Period7,
  Text,
  Pointers,
  SparseIntegers,
  Records,
  HalfRandom,
  FarCopies,
  Random,
};

inline constexpr std::array kPageKinds = {
    PageKind::Zeros,          PageKind::SameByte, PageKind::Period7,    PageKind::Text,
    PageKind::Pointers,       PageKind::Records,  PageKind::HalfRandom, PageKind::FarCopies,
    PageKind::SparseIntegers, PageKind::Random};

inline constexpr std::array<std::string_view, 12> kWords = {
    "memory ", "page ", "swap ", "the ",   "compressed ", "a ",
    "reads ",  "of \n", "zero ", "device", "= 0x1f; ",    "kernel, "};

class PageMaker {
 public:
  explicit PageMaker(std::uint64_t seed) : random_(seed) {}

  void fill(PageKind kind, MutableBytes block) {
    switch (kind) {
      case PageKind::Zeros:
        return each_byte(block, [](std::size_t) { return 0; });
      case PageKind::SameByte:
        return each_byte(block, [](std::size_t) { return 0xa5; });
      case PageKind::Period7:
        return each_byte(block, [](std::size_t i) { return i % 7 * 31 + 1; });
      case PageKind::Text:
        return fill_text(block);
      case PageKind::Pointers:
        return each_word(block, [this](std::size_t) {
          return random_.below(4) == 0 ? 0 : 0x00007f3a12340000ULL + random_.below(512) * 16;
        });
      case PageKind::SparseIntegers:
        return each_word(block, [this](std::size_t i) {
          return random_.below(24) == 0 ? random_.below(1000) << (i % 8 * 8) : 0;
        });
      case PageKind::Records:
        return each_word(block, [this](std::size_t i) {
          const std::array<std::uint64_t, 6> record = {
              i, 0, 0x3ff0000000000000ULL, random_.next(), random_.below(3), 0x0000000100000000ULL};
          return record[i % record.size()];
        });
      case PageKind::HalfRandom:
        fill(PageKind::Text, block.first(block.size() / 2));
        return fill(PageKind::Random, block.subspan(block.size() / 2));
      case PageKind::FarCopies:
        return fill_far_copies(block);
      case PageKind::Random:
        return each_word(block, [this](std::size_t) { return random_.next(); });
    }
  }

 private:
  template <typename Make>
  static void each_byte(MutableBytes block, Make make) {
    for (std::size_t i = 0; i < block.size(); ++i) block[i] = static_cast<std::byte>(make(i));
  }

  template <typename Make>
  static void each_word(MutableBytes block, Make make) {
    for (std::size_t i = 0; i + 8 <= block.size(); i += 8) {
      const std::uint64_t word = make(i / 8);
      std::memcpy(block.data() + i, &word, sizeof(word));
    }
  }

  void fill_text(MutableBytes block) {
    std::size_t at = 0;
    while (at < block.size()) {
      const std::string_view word = kWords[random_.below(kWords.size())];
      const std::size_t bytes = std::min(word.size(), block.size() - at);
      std::memcpy(block.data() + at, word.data(), bytes);
      at += bytes;
    }
  }

  // Random bytes with copies from anywhere before, of any length: every distance that a format has.
  void fill_far_copies(MutableBytes block) {
    fill(PageKind::Random, block);
    std::size_t at = 64;
    while (at + 600 < block.size()) {
      const std::size_t bytes = 3 + random_.below(random_.below(8) == 0 ? 500 : 20);
      std::memmove(block.data() + at, block.data() + random_.below(at - 32), bytes);
      at += bytes + random_.below(30);
    }
  }

  Random random_;
};

}  // namespace uzram
