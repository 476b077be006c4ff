// SPDX-License-Identifier: Apache-2.0
#include "control/kernel_text.h"

#include <limits>

namespace uzram {

namespace {

// Never the locale's idea: the kernel knows ASCII only.
bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::numeric_limits<int>::max();
}

bool starts_hexadecimal(std::string_view text) {
  return text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X') &&
         digit_value(text[2]) < 16;
}

// How far the suffix shifts to the left; 0 when `c` is none.
unsigned suffix_shift(char c) {
  switch (c) {
    case 'K':
    case 'k':
      return 10;
    case 'M':
    case 'm':
      return 20;
    case 'G':
    case 'g':
      return 30;
    case 'T':
    case 't':
      return 40;
    case 'P':
    case 'p':
      return 50;
    case 'E':
    case 'e':
      return 60;
    default:
      return 0;
  }
}

}  // namespace

std::string_view until_nul(std::string_view text) { return text.substr(0, text.find('\0')); }

MemorySize parse_memory_size(std::string_view text) {
  text = until_nul(text);
  int base = 10;
  std::size_t position = 0;
  if (starts_hexadecimal(text)) {
    base = 16;
    position = 2;
  } else if (text.starts_with('0')) {
    base = 8;
  }
  MemorySize size;
  for (; position < text.size() && digit_value(text[position]) < base; ++position) {
    size.bytes = size.bytes * static_cast<unsigned>(base) +
                 static_cast<unsigned>(digit_value(text[position]));
    size.is_number = true;
  }
  if (position < text.size()) {
    const unsigned shift = suffix_shift(text[position]);
    size.bytes <<= shift;
    // A lone "K" counts as a number, namely 0: the kernel only asks whether anything was used.
    if (shift != 0) size.is_number = true;
  }
  return size;
}

namespace {

// Digits and at most one newline, up to 64 bits.
Result<std::uint64_t> parse_digits(std::string_view text, int base = 10) {
  std::uint64_t value = 0;
  bool overflows = false;
  std::size_t position = 0;
  for (; position < text.size() && digit_value(text[position]) < base; ++position) {
    const auto digit = static_cast<unsigned>(digit_value(text[position]));
    overflows |= __builtin_mul_overflow(value, static_cast<std::uint64_t>(base), &value);
    overflows |= __builtin_add_overflow(value, std::uint64_t{digit}, &value);
  }
  if (overflows) return fail(ERANGE);
  if (position == 0) return fail(EINVAL);
  if (position < text.size() && text[position] == '\n') ++position;
  if (position != text.size()) return fail(EINVAL);
  return value;
}

}  // namespace

Result<std::uint64_t> parse_unsigned(std::string_view text, std::uint64_t highest) {
  text = until_nul(text);
  if (text.starts_with('+')) text.remove_prefix(1);
  const Result<std::uint64_t> value = parse_digits(text);
  if (value && *value > highest) return fail(ERANGE);
  return value;
}

Result<std::uint64_t> parse_unsigned_any_base(std::string_view text) {
  text = until_nul(text);
  if (text.starts_with('+')) text.remove_prefix(1);
  if (starts_hexadecimal(text)) return parse_digits(text.substr(2), 16);
  return parse_digits(text, text.starts_with('0') ? 8 : 10);
}

Result<int> parse_int(std::string_view text) {
  text = until_nul(text);
  constexpr auto kHighest = static_cast<std::uint64_t>(std::numeric_limits<int>::max());
  if (!text.starts_with('-')) {
    const Result<std::uint64_t> value = parse_unsigned(text, kHighest);
    if (!value) return tl::unexpected<Error>(value.error());
    return static_cast<int>(*value);
  }
  const Result<std::uint64_t> value = parse_digits(text.substr(1));
  if (!value) return tl::unexpected<Error>(value.error());
  if (*value > kHighest + 1) return fail(ERANGE);
  return static_cast<int>(-static_cast<std::int64_t>(*value));
}

bool is_word(std::string_view text, std::string_view word) {
  text = until_nul(text);
  if (text.ends_with('\n')) text.remove_suffix(1);
  return text == word;
}

Result<bool> parse_bool(std::string_view text) {
  text = until_nul(text);
  if (text.empty()) return fail(EINVAL);
  switch (text[0]) {
    case '1':
    case 'y':
    case 'Y':
    case 't':
    case 'T':
      return true;
    case '0':
    case 'n':
    case 'N':
    case 'f':
    case 'F':
      return false;
    case 'o':
    case 'O':
      if (text.size() > 1 && (text[1] == 'n' || text[1] == 'N')) return true;
      if (text.size() > 1 && (text[1] == 'f' || text[1] == 'F')) return false;
      return fail(EINVAL);
    default:
      return fail(EINVAL);
  }
}

std::vector<KeyValue> split_key_values(std::string_view text) {
  text = until_nul(text);
  std::vector<KeyValue> words;
  std::size_t position = 0;
  while (true) {
    while (position < text.size() && is_space(text[position])) ++position;
    if (position == text.size()) return words;
    const std::size_t start = position;
    bool is_quoted = false;
    for (; position < text.size() && (is_quoted || !is_space(text[position])); ++position) {
      if (text[position] == '"') is_quoted = !is_quoted;
    }
    std::string_view word = text.substr(start, position - start);
    const bool is_whole_quoted = word.starts_with('"');
    if (is_whole_quoted) word.remove_prefix(1);
    // An '=' at the very start belongs to the key: there is no key without a character.
    const std::size_t equals = word.find('=', 1);
    KeyValue pair{word.substr(0, equals), {}};
    if (equals != std::string_view::npos) {
      pair.value = word.substr(equals + 1);
      const bool is_value_quoted = pair.value.starts_with('"');
      if (is_value_quoted) pair.value.remove_prefix(1);
      if ((is_value_quoted || is_whole_quoted) && pair.value.ends_with('"')) {
        pair.value.remove_suffix(1);
      }
    }
    words.push_back(pair);
  }
}

}  // namespace uzram
