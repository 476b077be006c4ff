// SPDX-License-Identifier: Apache-2.0
// codec/codec.h: the contract every page compressor meets, and the table of all of them.
//
// What:    turns one block (a page, or a cluster of pages) into fewer bytes and back. Not here:
//          choosing a level, keeping a page that does not shrink, checks, where the bytes live (see
//          store/).
// Shapes:  a block is kPageBytes << n bytes, n in [0, 8]; packed data is 1 byte or more.
// Units:   every size is in bytes.
// Errors:  CodecInfo::make -> EINVAL for parameters that the algorithm does not take, or for a
//          dictionary that it cannot read; ENOMEM. make_compressor, make_decompressor -> ENOMEM.
//          decompress -> EBADMSG only. "Does not shrink" is an outcome of compress, not an error.
// Threads: a Codec is immutable and shared. A Compressor or Decompressor belongs to one thread at a
//          time; one of each may work at the same moment, so readers never wait for writers.
// Owns:    contexts keep alive what they use of their Codec (its dictionary), so they may outlive
//          it.
// Memory:  factories allocate; compress and decompress never do.
// Proof:   codec_contract_test.cc runs every row of the table; decompress_fuzz.cc any input;
//          roundtrip_fuzz.cc any content.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace uzram {

inline constexpr std::size_t kMaxBlockBytes = kPageBytes << 8;

// Stored in every device header: a value is never reused.
enum class CodecId : std::uint8_t {
  LzoRle = 1,
  Lzo = 2,
  Lz4 = 3,
  Lz4hc = 4,
  Zstd = 5,
  Deflate = 6,
  C842 = 7,
};

// What `algorithm_params` sets. An absent value means the algorithm's default.
struct CodecParams {
  std::optional<int> level = std::nullopt;
  std::optional<int> window_bits = std::nullopt;  // deflate.winbits: see deflate.h.
  // Raw bytes; null or empty: there is none.
  std::shared_ptr<const std::string> dictionary = nullptr;
  std::size_t block_bytes = kPageBytes;  // The largest block that contexts will be given.
};

class Compressor {
 public:
  virtual ~Compressor() = default;
  // Packs `block` into the front of `out`. Returns the bytes used, or nullopt when it does not fit
  // into `out`. A fit with less than kFitSlackBytes to spare may be refused; one that does not fit
  // never succeeds. Every byte of `out` may be overwritten, whatever the outcome.
  // Requires: 0 < block.size() <= CodecParams::block_bytes. `out` may be smaller than `block`.
  [[nodiscard]] virtual std::optional<std::size_t> compress(ConstBytes block,
                                                            MutableBytes out) noexcept = 0;
};

// Encoders write in words: with this much room behind the packed bytes, none runs short.
inline constexpr std::size_t kFitSlackBytes = 32;

class Decompressor {
 public:
  virtual ~Decompressor() = default;
  // Inverse of compress: fills the whole of `block`. `packed` is untrusted: any byte string is safe
  // to pass.
  // Errors: EBADMSG when `packed` does not unpack to exactly block.size() bytes; the content of
  // `block` is then unspecified.
  [[nodiscard]] virtual Result<void> decompress(ConstBytes packed, MutableBytes block) noexcept = 0;

  // Fills at least the first `wanted_bytes` of `block`, and may leave out the work for the rest.
  // Returns: how many bytes at the front are there; the others are then unspecified, and what is
  // wrong behind the front may not be noticed.
  // Requires: 0 < wanted_bytes <= block.size().
  // Errors: EBADMSG when `packed` does not unpack to that much, or to more than block.size().
  [[nodiscard]] virtual Result<std::size_t> decompress_front(ConstBytes packed, MutableBytes block,
                                                             std::size_t wanted_bytes) noexcept;
};

// One algorithm with its parameters settled: shared by all threads.
class Codec {
 public:
  virtual ~Codec() = default;
  [[nodiscard]] virtual Result<std::unique_ptr<Compressor>> make_compressor() const = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<Decompressor>> make_decompressor() const = 0;
  // Working memory of one compressor and of one decompressor, for the report of total memory.
  [[nodiscard]] virtual std::size_t compressor_bytes() const = 0;
  [[nodiscard]] virtual std::size_t decompressor_bytes() const = 0;
};

struct LevelRange {
  int lowest = 0;
  int highest = 0;  // lowest == highest == 0: the algorithm takes no level.
  int standard = 0;
};

struct CodecInfo {
  CodecId id;
  std::string_view name;  // Spelled as comp_algorithm prints it.
  LevelRange level;
  bool takes_dictionary;
  bool takes_window_bits;
  Result<std::unique_ptr<Codec>> (*make)(const CodecParams&);
};

// Every algorithm, in the order in which comp_algorithm prints them.
[[nodiscard]] std::span<const CodecInfo> all_codecs();
// Returns: nullptr when no algorithm has this name or id.
[[nodiscard]] const CodecInfo* find_codec(std::string_view name);
[[nodiscard]] const CodecInfo* find_codec(CodecId id);

}  // namespace uzram
