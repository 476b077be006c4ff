// SPDX-License-Identifier: Apache-2.0
#include "codec/c842_format.h"
#include "codec/memory_words.h"

namespace uzram {
namespace {

using std::uint32_t;
using std::uint64_t;
using std::uint8_t;

// Reads bits, high bit first. Reading past the end yields zeros and is remembered.
class BitReader {
 public:
  explicit BitReader(ConstBytes packed)
      : bytes_(reinterpret_cast<const uint8_t*>(packed.data())),
        size_bits_(uint64_t{packed.size()} * 8) {}

  // Requires: 0 < bits <= 32.
  uint32_t take(int bits) {
    const uint64_t start_bit = at_bit_;
    at_bit_ += static_cast<uint64_t>(bits);
    if (at_bit_ > size_bits_) {
      at_bit_ = size_bits_;
      is_exhausted_ = true;
      return 0;
    }
    const uint64_t word = load_up_to_a_word(start_bit / 8) << (start_bit % 8);
    return static_cast<uint32_t>(word >> (64 - bits));
  }

  bool is_exhausted() const { return is_exhausted_; }

 private:
  uint64_t load_up_to_a_word(uint64_t byte) const {
    const uint64_t left_bytes = size_bits_ / 8 - byte;
    if (left_bytes >= sizeof(uint64_t)) return load_big_endian<uint64_t>(bytes_ + byte);
    uint64_t word = 0;
    for (uint64_t i = 0; i < left_bytes; ++i) word |= uint64_t{bytes_[byte + i]} << (56 - 8 * i);
    return word;
  }

  const uint8_t* const bytes_;
  const uint64_t size_bits_;
  uint64_t at_bit_ = 0;
  bool is_exhausted_ = false;
};

class Decoder {
 public:
  Decoder(ConstBytes packed, MutableBytes block)
      : reader_(packed),
        block_(reinterpret_cast<uint8_t*>(block.data())),
        block_bytes_(block.size()) {}

  // Returns: whether the stream is sound and fills the block exactly.
  bool run() {
    for (;;) {
      const unsigned opcode = reader_.take(c842::kOpcodeBits);
      if (reader_.is_exhausted()) return false;
      if (opcode == c842::kEnd) return ends_well();
      if (!step(opcode)) return false;
    }
  }

 private:
  bool ends_well() {
    const uint32_t expected = reader_.take(c842::kCheckBits);
    if (reader_.is_exhausted() || position_ != block_bytes_) return false;
    return expected == c842::check_sum(std::as_bytes(std::span(block_, block_bytes_)));
  }

  bool step(unsigned opcode) {
    if (position_ % c842::kGroupBytes != 0) return false;  // Nothing may follow short data.
    if (opcode == c842::kShortData) return short_data();
    if (opcode == c842::kRepeat) return repeat();
    if (block_bytes_ - position_ < c842::kGroupBytes) return false;
    bool is_sound = true;
    if (opcode < c842::kHalfWays * c842::kHalfWays) {
      is_sound = half(opcode / c842::kHalfWays, 0) && half(opcode % c842::kHalfWays, 4);
    } else if (opcode == c842::kWholeIndex) {
      is_sound = index<uint64_t>(0);
    } else if (opcode == c842::kZeros) {
      std::memset(block_ + position_, 0, c842::kGroupBytes);
    } else {
      return false;
    }
    position_ += c842::kGroupBytes;
    return is_sound && !reader_.is_exhausted();
  }

  // The five ways of four bytes: data, data and index, index and data, two indexes, one index.
  bool half(unsigned way, std::size_t offset) {
    switch (way) {
      case 0:
        return data<uint32_t>(offset);
      case 1:
        return data<std::uint16_t>(offset) && index<std::uint16_t>(offset + 2);
      case 2:
        return index<std::uint16_t>(offset) && data<std::uint16_t>(offset + 2);
      case 3:
        return index<std::uint16_t>(offset) && index<std::uint16_t>(offset + 2);
      default:
        return index<uint32_t>(offset);
    }
  }

  template <typename Value>
  bool data(std::size_t offset) {
    store_big_endian(block_ + position_ + offset,
                     static_cast<Value>(reader_.take(8 * sizeof(Value))));
    return true;
  }

  // The ring is the output itself, as it was when this group began: index i stands for the latest
  // place before position_ that is i * width behind a multiple of the ring's size.
  template <typename Value>
  bool index(std::size_t offset) {
    constexpr std::size_t kRing = c842::kRingBytes<sizeof(Value)>;
    const std::size_t in_ring = reader_.take(c842::kIndexBits<sizeof(Value)>) * sizeof(Value);
    std::size_t from = position_ / kRing * kRing + in_ring;
    if (in_ring >= position_ % kRing) {
      if (from < kRing) return false;
      from -= kRing;
    }
    store_word(block_ + position_ + offset, load_word<Value>(block_ + from));
    return true;
  }

  bool repeat() {
    const std::size_t bytes = (reader_.take(c842::kRepeatBits) + std::size_t{1}) * 8;
    if (reader_.is_exhausted() || position_ < c842::kGroupBytes) return false;
    if (bytes > block_bytes_ - position_) return false;
    const auto group = load_word<uint64_t>(block_ + position_ - c842::kGroupBytes);
    for (std::size_t done = 0; done < bytes; done += c842::kGroupBytes)
      store_word(block_ + position_ + done, group);
    position_ += bytes;
    return true;
  }

  bool short_data() {
    const std::size_t bytes = reader_.take(c842::kShortDataBits);
    if (bytes == 0 || bytes > block_bytes_ - position_) return false;
    for (std::size_t i = 0; i < bytes; ++i)
      block_[position_ + i] = static_cast<uint8_t>(reader_.take(8));
    position_ += bytes;
    return !reader_.is_exhausted();
  }

  BitReader reader_;
  uint8_t* const block_;
  const std::size_t block_bytes_;
  std::size_t position_ = 0;
};

}  // namespace

Result<void> decode_c842(ConstBytes packed, MutableBytes block) noexcept {
  if (!Decoder(packed, block).run()) return fail(EBADMSG);
  return {};
}

}  // namespace uzram
