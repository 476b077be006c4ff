// SPDX-License-Identifier: Apache-2.0
#include "base/printable_text.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace uzram {

namespace {

struct CharacterRange {
  char32_t first;
  char32_t last;
};

// Controls, characters without a shape of their own, and such as change how others are shown.
constexpr std::array kUnprintable{
    CharacterRange{0x00, 0x1f},        // C0 controls.
    CharacterRange{0x7f, 0x9f},        // DEL, C1 controls.
    CharacterRange{0xad, 0xad},        // Soft hyphen.
    CharacterRange{0x34f, 0x34f},      // Grapheme joiner.
    CharacterRange{0x600, 0x605},      // Arabic number signs.
    CharacterRange{0x61c, 0x61c},      // Arabic letter mark.
    CharacterRange{0x6dd, 0x6dd},      // End of ayah.
    CharacterRange{0x70f, 0x70f},      // Syriac abbreviation.
    CharacterRange{0x890, 0x891},      // Arabic currency marks.
    CharacterRange{0x8e2, 0x8e2},      // Disputed end of ayah.
    CharacterRange{0x115f, 0x1160},    // Hangul fillers.
    CharacterRange{0x17b4, 0x17b5},    // Khmer inherent vowels.
    CharacterRange{0x180b, 0x180f},    // Mongolian selectors and vowel separator.
    CharacterRange{0x200b, 0x200f},    // Zero width, direction marks.
    CharacterRange{0x2028, 0x202e},    // Line and paragraph separators, embeddings, overrides.
    CharacterRange{0x2060, 0x206f},    // Word joiner, invisible operators, isolates.
    CharacterRange{0x3164, 0x3164},    // Hangul filler.
    CharacterRange{0xfeff, 0xfeff},    // Byte order mark.
    CharacterRange{0xffa0, 0xffa0},    // Halfwidth Hangul filler.
    CharacterRange{0xfff0, 0xfffb},    // Interlinear annotation, and unassigned before it.
    CharacterRange{0xfffe, 0xffff},    // No characters.
    CharacterRange{0x110bd, 0x110bd},  // Kaithi number sign.
    CharacterRange{0x110cd, 0x110cd},  // Kaithi number sign above.
    CharacterRange{0x13430, 0x1343f},  // Hieroglyph joiners.
    CharacterRange{0x1bca0, 0x1bca3},  // Shorthand format controls.
    CharacterRange{0x1d173, 0x1d17a},  // Musical format controls.
    CharacterRange{0xe0000, 0xe0fff},  // Tags and selectors.
};

bool is_unprintable(char32_t character) {
  return std::any_of(kUnprintable.begin(), kUnprintable.end(), [&](const CharacterRange& range) {
    return character >= range.first && character <= range.last;
  });
}

struct DecodedCharacter {
  char32_t value = 0;
  std::size_t bytes = 0;  // 0: no UTF-8 starts here.
};

// The shortest form only, no surrogates, nothing above U+10FFFF.
DecodedCharacter decode_front(std::string_view text) {
  const auto byte = [&](std::size_t index) { return static_cast<unsigned char>(text[index]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < bytes) return {};
  char32_t value = first & (0x7fU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3fU);
  }
  constexpr std::array<char32_t, 5> kLeast{0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = value >= 0xd800 && value <= 0xdfff;
  if (value < kLeast[bytes] || value > 0x10ffff || is_surrogate) return {};
  return {value, bytes};
}

void append_hexadecimal(std::string& out, char32_t value, int least_digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  int digits = least_digits;
  while (value >> (4 * digits) != 0) ++digits;
  while (digits-- > 0) out += kDigits[value >> (4 * digits) & 0xf];
}

std::string escape(std::string_view text, std::string_view kept_controls) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const DecodedCharacter character = decode_front(text);
    const std::size_t bytes = std::max<std::size_t>(character.bytes, 1);
    const bool is_kept = kept_controls.find(text.front()) != std::string_view::npos;
    if (character.bytes == 0 || (character.value < 0x80 && is_unprintable(character.value))) {
      if (is_kept) {
        out += text.front();
      } else {
        out += "\\x";
        append_hexadecimal(out, static_cast<unsigned char>(text.front()), 2);
      }
    } else if (is_unprintable(character.value)) {
      out += "\\u{";
      append_hexadecimal(out, character.value, 2);
      out += '}';
    } else {
      out += text.substr(0, bytes);
    }
    text.remove_prefix(bytes);
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text) { return escape(text, {}); }

std::string printable_lines(std::string_view text) { return escape(text, "\n\t"); }

std::string_view front_of_text(std::string_view text, std::size_t most_bytes) {
  if (text.size() <= most_bytes) return text;
  constexpr std::size_t kMostTailBytes = 3;
  std::size_t end = most_bytes;
  const auto is_tail = [&](std::size_t index) {
    return (static_cast<unsigned char>(text[index]) & 0xc0U) == 0x80;
  };
  while (end > 0 && most_bytes - end < kMostTailBytes && is_tail(end)) --end;
  return text.substr(0, is_tail(end) ? most_bytes : end);
}

}  // namespace uzram
