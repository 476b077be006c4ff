// SPDX-License-Identifier: Apache-2.0
// Every read of the packed bytes and every write to the block is preceded by a check of the room.
// Where there is more room than needed, copies go in wide steps and overshoot.
#include "codec/lzo_stream.h"
#include "codec/memory_words.h"

namespace uzram {
namespace {

using std::uint8_t;

constexpr std::size_t kWideBytes = 16;

class LzoDecoder {
 public:
  LzoDecoder(ConstBytes packed, MutableBytes block)
      : in_(reinterpret_cast<const uint8_t*>(packed.data())),
        in_end_(in_ + packed.size()),
        block_(reinterpret_cast<uint8_t*>(block.data())),
        out_(block_),
        out_end_(block_ + block.size()) {}

  // Returns: whether the stream is sound and fills the block exactly.
  bool run() {
    if (!read_version() || !read_first_literals()) return false;
    while (in_left() >= kShortestInstructionBytes) {
      const Step step = next_instruction();
      if (step == Step::End) return in_left() == 0 && out_ == out_end_;
      if (step == Step::Bad) return false;
    }
    return false;
  }

  // Returns: whether that much of the block is there, for which the stream was sound so far.
  bool run_until(std::size_t wanted_bytes) {
    if (!read_version() || !read_first_literals()) return false;
    while (out_bytes() < wanted_bytes) {
      if (in_left() < kShortestInstructionBytes || next_instruction() != Step::Next) return false;
    }
    return true;
  }

  // Wide copies may have written behind them.
  std::size_t out_bytes() const { return static_cast<std::size_t>(out_ - block_); }

 private:
  enum class Step { Next, End, Bad };

  // No instruction is shorter, and none may come last but the three bytes that end the stream.
  static constexpr std::size_t kShortestInstructionBytes = 2;
  static constexpr std::size_t kAfterLiteralRun = 4;

  Step next_instruction() {
    const uint8_t code = *in_++;
    if (code >= lzo::kNear) return near_copy(code);
    if (code >= lzo::kMiddle) return middle_copy(code);
    if (code >= lzo::kFar) return far_copy(code);
    return low_instruction(code);
  }

  std::size_t in_left() const { return static_cast<std::size_t>(in_end_ - in_); }
  std::size_t out_left() const { return static_cast<std::size_t>(out_end_ - out_); }

  bool read_version() {
    if (in_left() < lzo::kShortestVersionedBytes || *in_ != lzo::kVersionMark) return true;
    const uint8_t version = in_[1];
    in_ += 2;
    has_zero_runs_ = version == static_cast<uint8_t>(LzoVersion::ZeroRuns);
    return has_zero_runs_ || version == static_cast<uint8_t>(LzoVersion::Plain);
  }

  bool read_first_literals() {
    if (in_left() == 0 || *in_ <= lzo::kFirstLiteralsBase) return true;
    const std::size_t count = *in_++ - lzo::kFirstLiteralsBase;
    literals_before_ = count < lzo::kShortestLiteralRun ? count : kAfterLiteralRun;
    return copy_literals(count);
  }

  Step near_copy(uint8_t code) {
    const std::size_t distance = (std::size_t{*in_++} << 3) + ((code >> 2) & 7) + 1;
    return finish(distance, (code >> 5) + std::size_t{1}, code & 3);
  }

  Step middle_copy(uint8_t code) {
    std::size_t length = code & 31U;
    if (length == 0 && !read_extension(31, length)) return Step::Bad;
    if (in_left() < 2) return Step::Bad;
    const auto field = load_little_endian<std::uint16_t>(in_);
    in_ += 2;
    return finish((field >> 2) + std::size_t{1}, length + 2, field & 3);
  }

  Step far_copy(uint8_t code) {
    if (in_left() < 2) return Step::Bad;
    if (has_zero_runs_ && (code & 0xf8) == lzo::kZeroRun &&
        (load_little_endian<std::uint16_t>(in_) & lzo::kZeroRunDistanceField) ==
            lzo::kZeroRunDistanceField)
      return zero_run(code);
    std::size_t length = code & 7U;
    if (length == 0 && !read_extension(7, length)) return Step::Bad;
    if (in_left() < 2) return Step::Bad;
    const auto field = load_little_endian<std::uint16_t>(in_);
    in_ += 2;
    const std::size_t distance =
        lzo::kMiddleDistance + (std::size_t{code & 8U} << 11) + (field >> 2);
    if (distance == lzo::kMiddleDistance) return code == (lzo::kFar | 1) ? Step::End : Step::Bad;
    return finish(distance, length + 2, field & 3);
  }

  Step zero_run(uint8_t code) {
    if (in_left() < 3) return Step::Bad;
    const std::size_t literals = in_[0] & 3;
    const std::size_t length = ((std::size_t{in_[2]} << 3) | (code & 7U)) + lzo::kShortestZeroRun;
    in_ += 3;
    if (length > out_left()) return Step::Bad;
    std::memset(out_, 0, length);
    out_ += length;
    return follow_with(literals);
  }

  Step low_instruction(uint8_t code) {
    if (literals_before_ == 0) {
      std::size_t count = code;
      if (count == 0 && !read_extension(15, count)) return Step::Bad;
      literals_before_ = kAfterLiteralRun;
      return copy_literals(count + 3) ? Step::Next : Step::Bad;
    }
    const bool is_after_run = literals_before_ == kAfterLiteralRun;
    const std::size_t distance = (std::size_t{*in_++} << 2) + (code >> 2) + 1;
    return is_after_run ? finish(distance + lzo::kNearDistance, 3, code & 3)
                        : finish(distance, 2, code & 3);
  }

  // Zero bytes count 255 each, the first other one counts itself.
  bool read_extension(std::size_t start, std::size_t& length) {
    length = start;
    while (in_ < in_end_ && *in_ == 0) {
      length += 255;
      ++in_;
    }
    if (in_ == in_end_) return false;
    length += *in_++;
    return true;
  }

  Step finish(std::size_t distance, std::size_t length, std::size_t literals) {
    if (distance > static_cast<std::size_t>(out_ - block_) || length > out_left()) return Step::Bad;
    copy_match(distance, length);
    out_ += length;
    return follow_with(literals);
  }

  Step follow_with(std::size_t literals) {
    literals_before_ = literals;
    if (in_left() >= 4 && out_left() >= 4) {
      std::memcpy(out_, in_, 4);
      in_ += literals;
      out_ += literals;
      return Step::Next;
    }
    return copy_literals(literals) ? Step::Next : Step::Bad;
  }

  void copy_match(std::size_t distance, std::size_t length) {
    const uint8_t* const from = out_ - distance;
    if (distance >= kWideBytes && out_left() >= length + kWideBytes) {
      for (std::size_t done = 0; done < length; done += kWideBytes)
        std::memcpy(out_ + done, from + done, kWideBytes);
    } else if (distance >= 8 && out_left() >= length + 8) {
      for (std::size_t done = 0; done < length; done += 8) std::memcpy(out_ + done, from + done, 8);
    } else if (distance == 1) {
      std::memset(out_, *from, length);
    } else {
      for (std::size_t done = 0; done < length; ++done) out_[done] = from[done];
    }
  }

  bool copy_literals(std::size_t count) {
    if (count > in_left() || count > out_left()) return false;
    if (in_left() >= count + kWideBytes && out_left() >= count + kWideBytes) {
      for (std::size_t done = 0; done < count; done += kWideBytes)
        std::memcpy(out_ + done, in_ + done, kWideBytes);
    } else if (count > 0) {
      std::memcpy(out_, in_, count);
    }
    in_ += count;
    out_ += count;
    return true;
  }

  const uint8_t* in_;
  const uint8_t* const in_end_;
  uint8_t* const block_;
  uint8_t* out_;
  uint8_t* const out_end_;
  bool has_zero_runs_ = false;
  // How many literals the last instruction copied: 0 to 3, or kAfterLiteralRun for more.
  std::size_t literals_before_ = 0;
};

}  // namespace

Result<void> decode_lzo(ConstBytes packed, MutableBytes block) noexcept {
  if (!LzoDecoder(packed, block).run()) return fail(EBADMSG);
  return {};
}

Result<std::size_t> decode_lzo_front(ConstBytes packed, MutableBytes block,
                                     std::size_t wanted_bytes) noexcept {
  LzoDecoder decoder(packed, block);
  if (!decoder.run_until(wanted_bytes)) return fail(EBADMSG);
  return decoder.out_bytes();
}

}  // namespace uzram
