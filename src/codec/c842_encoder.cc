// SPDX-License-Identifier: Apache-2.0
// Halves of a group are coded independently, so the cheapest way for each is the cheapest for the
// whole; only the index of all eight bytes is tried before.
#include <algorithm>

#include "codec/c842_format.h"
#include "codec/codec.h"
#include "codec/memory_words.h"

namespace uzram {
namespace {

using std::uint32_t;
using std::uint64_t;
using std::uint8_t;

// Collects bits, high bit first, and writes them by the word.
class BitWriter {
 public:
  explicit BitWriter(MutableBytes out)
      : begin_(reinterpret_cast<uint8_t*>(out.data())), at_(begin_), end_(begin_ + out.size()) {}

  // Requires: 0 < bits <= 64, and value < 2^bits.
  void put(uint64_t value, int bits) {
    if (bits <= free_bits_) {
      free_bits_ -= bits;
      word_ |= value << free_bits_;
      if (free_bits_ == 0) flush();
      return;
    }
    const int rest_bits = bits - free_bits_;
    word_ |= value >> rest_bits;
    flush();
    free_bits_ = 64 - rest_bits;
    word_ = value << free_bits_;
  }

  // Pads with zeros to whole words. Returns: the bytes written, or nullopt when they did not fit.
  std::optional<std::size_t> finish() {
    if (free_bits_ < 64) flush();
    if (is_full_) return std::nullopt;
    return static_cast<std::size_t>(at_ - begin_);
  }

  bool is_full() const { return is_full_; }

 private:
  static_assert(c842::kPaddingBytes == sizeof(uint64_t));

  void flush() {
    if (static_cast<std::size_t>(end_ - at_) < sizeof(word_)) {
      is_full_ = true;
    } else {
      store_big_endian(at_, word_);
      at_ += sizeof(word_);
    }
    word_ = 0;
    free_bits_ = 64;
  }

  uint8_t* const begin_;
  uint8_t* at_;
  uint8_t* const end_;
  uint64_t word_ = 0;
  int free_bits_ = 64;
  bool is_full_ = false;
};

// The arguments of one opcode, in order; at most 64 bits.
struct Arguments {
  uint64_t value = 0;
  int bits = 0;

  void add(uint64_t more, int more_bits) {
    value = more_bits == 64 ? more : (value << more_bits) | more;
    bits += more_bits;
  }
};

enum HalfWay : unsigned { Data = 0, DataIndex = 1, IndexData = 2, IndexIndex = 3, WholeHalf = 4 };

}  // namespace

// One block on its way through the encoder.
class C842Pass {
 public:
  C842Pass(C842Encoder& tables, ConstBytes block, MutableBytes out)
      : tables_(tables),
        block_(reinterpret_cast<const uint8_t*>(block.data())),
        block_bytes_(block.size()),
        writer_(out) {}

  std::optional<std::size_t> run(uint32_t check_sum) {
    const std::size_t whole_bytes = block_bytes_ / c842::kGroupBytes * c842::kGroupBytes;
    while (position_ < whole_bytes) {
      if (writer_.is_full()) return std::nullopt;
      const std::size_t repeats = count_repeats(whole_bytes);
      if (repeats > 0) {
        put_opcode(c842::kRepeat);
        writer_.put(repeats - 1, c842::kRepeatBits);
        position_ += (repeats - 1) * c842::kGroupBytes;
      } else {
        put_group();
      }
      remember_group();
      position_ += c842::kGroupBytes;
    }
    if (block_bytes_ > whole_bytes) put_short_data(block_bytes_ - whole_bytes);
    put_opcode(c842::kEnd);
    writer_.put(check_sum, c842::kCheckBits);
    return writer_.finish();
  }

 private:
  void put_opcode(unsigned opcode) { writer_.put(opcode, c842::kOpcodeBits); }

  std::size_t count_repeats(std::size_t whole_bytes) const {
    if (position_ == 0) return 0;
    const auto last = load_word<uint64_t>(block_ + position_ - c842::kGroupBytes);
    const std::size_t limit =
        std::min(c842::kMostRepeats, (whole_bytes - position_) / c842::kGroupBytes);
    std::size_t repeats = 0;
    while (repeats < limit &&
           load_word<uint64_t>(block_ + position_ + repeats * c842::kGroupBytes) == last)
      ++repeats;
    return repeats;
  }

  void put_group() {
    const auto group = load_word<uint64_t>(block_ + position_);
    if (group == 0) {
      put_opcode(c842::kZeros);
      return;
    }
    if (const auto index = find<8>(tables_.wide_, group)) {
      put_opcode(c842::kWholeIndex);
      writer_.put(*index, c842::kIndexBits<8>);
      return;
    }
    Arguments arguments;
    const unsigned first = choose_half(position_, arguments);
    const unsigned second = choose_half(position_ + 4, arguments);
    put_opcode(c842::kHalfWays * first + second);
    writer_.put(arguments.value, arguments.bits);
  }

  unsigned choose_half(std::size_t at, Arguments& arguments) const {
    const auto half = load_word<uint32_t>(block_ + at);
    if (const auto index = find<4>(tables_.middle_, half)) {
      arguments.add(*index, c842::kIndexBits<4>);
      return WholeHalf;
    }
    const auto first = find<2>(tables_.narrow_, load_word<std::uint16_t>(block_ + at));
    const auto second = find<2>(tables_.narrow_, load_word<std::uint16_t>(block_ + at + 2));
    if (!first && !second) {
      arguments.add(load_big_endian<uint32_t>(block_ + at), 32);
      return Data;
    }
    if (first) {
      arguments.add(*first, c842::kIndexBits<2>);
    } else {
      arguments.add(load_big_endian<std::uint16_t>(block_ + at), 16);
    }
    if (second) {
      arguments.add(*second, c842::kIndexBits<2>);
    } else {
      arguments.add(load_big_endian<std::uint16_t>(block_ + at + 2), 16);
    }
    if (first && second) return IndexIndex;
    return first ? IndexData : DataIndex;
  }

  // Returns: the ring index of an earlier equal value that the ring still holds at position_.
  template <std::size_t kBytes, typename Table, typename Value>
  std::optional<std::size_t> find(const Table& table, Value value) const {
    static_assert(sizeof(Value) == kBytes);
    const uint32_t entry = table[slot<Table>(value)];
    const std::size_t distance = tables_.base_ + static_cast<uint32_t>(position_) - entry;
    if (distance > std::min(position_, c842::kRingBytes<kBytes>)) return std::nullopt;
    const std::size_t at = position_ - distance;
    if (load_word<Value>(block_ + at) != value) return std::nullopt;
    return at % c842::kRingBytes<kBytes> / kBytes;
  }

  template <typename Table, typename Value>
  static std::size_t slot(Value value) {
    constexpr int kTableBits = std::countr_zero(std::tuple_size_v<Table>);
    return (uint64_t{value} * 0x9e3779b97f4a7c15ULL) >> (64 - kTableBits);
  }

  void remember_group() {
    const uint8_t* const group = block_ + position_;
    const uint32_t at = tables_.base_ + static_cast<uint32_t>(position_);
    tables_.wide_[slot<decltype(tables_.wide_)>(load_word<uint64_t>(group))] = at;
    for (uint32_t i = 0; i < 8; i += 4)
      tables_.middle_[slot<decltype(tables_.middle_)>(load_word<uint32_t>(group + i))] = at + i;
    for (uint32_t i = 0; i < 8; i += 2)
      tables_.narrow_[slot<decltype(tables_.narrow_)>(load_word<std::uint16_t>(group + i))] =
          at + i;
  }

  void put_short_data(std::size_t bytes) {
    put_opcode(c842::kShortData);
    writer_.put(bytes, c842::kShortDataBits);
    for (std::size_t i = 0; i < bytes; ++i) writer_.put(block_[position_ + i], 8);
  }

  C842Encoder& tables_;
  const uint8_t* const block_;
  const std::size_t block_bytes_;
  std::size_t position_ = 0;  // The first byte of the current group.
  BitWriter writer_;
};

std::optional<std::size_t> C842Encoder::encode(ConstBytes block, MutableBytes out) noexcept {
  const auto block_bytes = static_cast<uint32_t>(block.size());
  if (base_ > UINT32_MAX - block_bytes) *this = C842Encoder();
  const std::optional<std::size_t> packed_bytes =
      C842Pass(*this, block, out).run(c842::check_sum(block));
  base_ += block_bytes;
  return packed_bytes;
}

}  // namespace uzram
