// SPDX-License-Identifier: Apache-2.0
// The encoder is greedy: it looks up each word of four bytes in a table of last places, takes the
// match that it finds there, and strides faster the longer it has found nothing.
#include <algorithm>

#include "base/check.h"
#include "codec/codec.h"
#include "codec/lzo_stream.h"
#include "codec/memory_words.h"

namespace uzram {
namespace {

using std::uint8_t;

constexpr std::size_t kWordBytes = 4;
constexpr std::size_t kCopyBytes = 16;
// Above this, a run of zeros is cheaper as such than as a copy of other zeros.
constexpr std::size_t kShortZeroRun = 32;
constexpr int kStrideShift = 5;

// Returns: how many bytes from `a` and `b` on are equal. Requires: a < b.
std::size_t count_equal(const uint8_t* a, const uint8_t* b, const uint8_t* b_end) {
  const uint8_t* const start = b;
  while (b_end - b >= 8) {
    const auto difference = load_word<std::uint64_t>(a) ^ load_word<std::uint64_t>(b);
    if (difference != 0)
      return static_cast<std::size_t>(b - start) + leading_zero_bytes(difference);
    a += 8;
    b += 8;
  }
  while (b < b_end && *a == *b) {
    ++a;
    ++b;
  }
  return static_cast<std::size_t>(b - start);
}

std::size_t count_zeros(const uint8_t* from, const uint8_t* end) {
  const uint8_t* at = from;
  while (end - at >= 8) {
    const auto word = load_word<std::uint64_t>(at);
    if (word != 0) return static_cast<std::size_t>(at - from) + leading_zero_bytes(word);
    at += 8;
  }
  while (at < end && *at == 0) ++at;
  return static_cast<std::size_t>(at - from);
}

// Writes instructions into room that reserve() found.
class Writer {
 public:
  explicit Writer(MutableBytes out)
      : begin_(reinterpret_cast<uint8_t*>(out.data())), at_(begin_), end_(begin_ + out.size()) {}

  std::size_t written_bytes() const { return static_cast<std::size_t>(at_ - begin_); }

  // Returns: whether there is room for so many literals and one other instruction.
  [[nodiscard]] bool reserve(std::size_t literal_count, std::size_t length) const {
    return static_cast<std::size_t>(end_ - at_) >=
           literal_count + (literal_count + length) / 255 + kReservedBytes;
  }

  void version_mark(LzoVersion version) {
    *at_++ = lzo::kVersionMark;
    *at_++ = static_cast<uint8_t>(version);
  }

  // `from` to `to`; the source may be read up to `source_end`.
  void literals(const uint8_t* from, const uint8_t* to, const uint8_t* source_end) {
    const auto count = static_cast<std::size_t>(to - from);
    if (count == 0) return;
    literal_header(count);
    if (static_cast<std::size_t>(source_end - from) < count + kCopyBytes) {
      std::memcpy(at_, from, count);
    } else {
      for (std::size_t done = 0; done < count; done += kCopyBytes)
        std::memcpy(at_ + done, from + done, kCopyBytes);
    }
    at_ += count;
  }

  void match(std::size_t distance, std::size_t length) {
    if (length <= lzo::kNearLength && distance <= lzo::kNearDistance) {
      const std::size_t field = distance - 1;
      *at_++ = static_cast<uint8_t>(((length - 1) << 5) | ((field & 7) << 2));
      *at_++ = static_cast<uint8_t>(field >> 3);
    } else if (distance <= lzo::kMiddleDistance) {
      opcode(lzo::kMiddle, length, lzo::kMiddleLength);
      distance_field((distance - 1) << 2);
    } else {
      const std::size_t field = distance - lzo::kMiddleDistance;
      const auto high = static_cast<uint8_t>((field & 0x4000) >> 11);
      opcode(lzo::kFar | high, length, lzo::kFarLength);
      distance_field((field & 0x3fff) << 2);
    }
    count_field_ = at_ - 2;
  }

  void zero_run(std::size_t length) {
    const std::size_t field = length - lzo::kShortestZeroRun;
    *at_++ = static_cast<uint8_t>(lzo::kZeroRun | (field & 7));
    distance_field(lzo::kZeroRunDistanceField);
    *at_++ = static_cast<uint8_t>(field >> 3);
    count_field_ = at_ - 3;
  }

  void end_of_stream() {
    *at_++ = lzo::kFar | 1;
    distance_field(0);
  }

 private:
  // The longest instruction without extension bytes (4), two headers, and what a wide copy
  // overshoots.
  static constexpr std::size_t kReservedBytes = 4 + 2 * 2 + kCopyBytes;
  static_assert(kReservedBytes <= kFitSlackBytes);

  void literal_header(std::size_t count) {
    if (count_field_ == nullptr && count <= lzo::kLongestFirstLiterals) {
      *at_++ = static_cast<uint8_t>(lzo::kFirstLiteralsBase + count);
    } else if (count < lzo::kShortestLiteralRun) {
      *count_field_ = static_cast<uint8_t>(*count_field_ | count);
    } else if (count <= lzo::kLiteralRunLength) {
      *at_++ = static_cast<uint8_t>(count - 3);
    } else {
      *at_++ = 0;
      extension(count - lzo::kLiteralRunLength);
    }
  }

  void opcode(uint8_t code, std::size_t length, std::size_t longest) {
    if (length <= longest) {
      *at_++ = static_cast<uint8_t>(code | (length - 2));
    } else {
      *at_++ = code;
      extension(length - longest);
    }
  }

  void extension(std::size_t rest) {
    for (; rest > 255; rest -= 255) *at_++ = 0;
    *at_++ = static_cast<uint8_t>(rest);
  }

  void distance_field(std::size_t field) {
    *at_++ = static_cast<uint8_t>(field & 0xff);
    *at_++ = static_cast<uint8_t>(field >> 8);
  }

  uint8_t* const begin_;
  uint8_t* at_;
  uint8_t* const end_;
  // Where the last instruction keeps the count of up to three literals that follow it.
  uint8_t* count_field_ = nullptr;
};

std::size_t cost_bytes(std::size_t distance, std::size_t length) {
  return length <= lzo::kNearLength && distance <= lzo::kNearDistance ? 2 : 3;
}

bool is_ambiguous(std::size_t distance, std::size_t length) {
  return (distance & lzo::kAmbiguousDistanceBits) == lzo::kAmbiguousDistanceBits &&
         length >= lzo::kAmbiguousLengthLowest && length <= lzo::kAmbiguousLengthHighest;
}

// One block on its way through the encoder.
template <bool kZeroRuns, typename Entry>
class Search {
 public:
  // Requires: the table is all zeros, and an Entry can hold every position in the block.
  Search(ConstBytes block, MutableBytes out, Entry* table)
      : begin_(reinterpret_cast<const uint8_t*>(block.data())),
        end_(begin_ + block.size()),
        pending_(begin_),
        table_(table),
        writer_(out) {}

  std::optional<std::size_t> run() {
    if (!writer_.reserve(0, 0)) return std::nullopt;
    if (kZeroRuns) writer_.version_mark(LzoVersion::ZeroRuns);
    // Whatever starts a stream is a literal: there, other instructions mean something else.
    const uint8_t* at = begin_ + 1;
    while (static_cast<std::size_t>(end_ - at) >= kWordBytes) {
      const auto word = load_word<std::uint32_t>(at);
      const Match found = kZeroRuns && word == 0 ? find_zeros(at) : find(at, word);
      if (found.length == 0) {
        at += 1 + ((at - pending_) >> kStrideShift);
        if (at > end_) break;
        continue;
      }
      if (!emit(found)) return std::nullopt;
      at = pending_;
    }
    if (!writer_.reserve(static_cast<std::size_t>(end_ - pending_), 0)) return std::nullopt;
    writer_.literals(pending_, end_, end_);
    writer_.end_of_stream();
    return writer_.written_bytes();
  }

 private:
  struct Match {
    const uint8_t* at = nullptr;
    std::size_t distance = 0;  // Zero: a run of zeros.
    std::size_t length = 0;    // Zero: nothing was found.
  };

  static constexpr std::size_t kFarthest = lzo::kFarDistance - (kZeroRuns ? 1 : 0);

  // Whether the byte before is a pending literal, and not the one that starts the stream.
  bool can_step_back(const uint8_t* at) const { return at > pending_ && at > begin_ + 1; }

  // Looks the word at `at` up and leaves `at` in its place. A place that was never set reads as the
  // start of the block, which is as good a candidate as any.
  Match find(const uint8_t* at, std::uint32_t word) {
    Entry& entry = table_[(word * 0x9e3779b1U) >> (32 - LzoEncoder::kTableBits)];
    const uint8_t* const candidate = begin_ + entry;
    entry = static_cast<Entry>(at - begin_);
    if (load_word<std::uint32_t>(candidate) != word) return {};
    UZ_DCHECK(candidate < at);
    const auto distance = static_cast<std::size_t>(at - candidate);
    if (distance > kFarthest) return {};
    std::size_t length = kWordBytes + count_equal(candidate + kWordBytes, at + kWordBytes, end_);
    while (can_step_back(at) && at - distance > begin_ && at[-1] == *(at - distance - 1)) {
      --at;
      ++length;
    }
    if (kZeroRuns && is_ambiguous(distance, length)) length = lzo::kAmbiguousLengthLowest - 1;
    return {at, distance, length};
  }

  // Four zeros are at `at`: takes the whole run around them, or a match that covers it for less.
  Match find_zeros(const uint8_t* at) {
    const uint8_t* start = at;
    while (can_step_back(start) && start[-1] == 0) --start;
    std::size_t length = static_cast<std::size_t>(at - start) + kWordBytes;
    length += count_zeros(at + kWordBytes, end_);
    const Match run = {start, 0, std::min(length, lzo::kLongestZeroRun)};
    if (length > kShortZeroRun) return run;
    const Match other = find(start, 0);
    return other.length >= length && cost_bytes(other.distance, other.length) < 4 ? other : run;
  }

  bool emit(const Match& found) {
    if (!writer_.reserve(static_cast<std::size_t>(found.at - pending_), found.length)) return false;
    writer_.literals(pending_, found.at, end_);
    if (found.distance == 0) {
      writer_.zero_run(found.length);
    } else {
      writer_.match(found.distance, found.length);
    }
    pending_ = found.at + found.length;
    return true;
  }

  const uint8_t* const begin_;
  const uint8_t* const end_;
  const uint8_t* pending_;  // The first byte that no instruction covers yet.
  Entry* const table_;
  Writer writer_;
};

}  // namespace

template <typename Entry>
std::optional<std::size_t> LzoEncoder::encode_with(ConstBytes block, MutableBytes out,
                                                   LzoVersion version) noexcept {
  constexpr std::size_t kTableBytes = sizeof(Entry) << kTableBits;
  static_assert(kTableBytes <= sizeof(table_));
  std::memset(table_.data(), 0, kTableBytes);
  auto* const table = reinterpret_cast<Entry*>(table_.data());
  if (version == LzoVersion::ZeroRuns) return Search<true, Entry>(block, out, table).run();
  return Search<false, Entry>(block, out, table).run();
}

std::optional<std::size_t> LzoEncoder::encode(ConstBytes block, MutableBytes out,
                                              LzoVersion version) noexcept {
  if (block.size() <= std::size_t{UINT16_MAX} + 1)
    return encode_with<std::uint16_t>(block, out, version);
  return encode_with<std::uint32_t>(block, out, version);
}

}  // namespace uzram
