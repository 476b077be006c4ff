// SPDX-License-Identifier: Apache-2.0
#include "store/lanes.h"

#include <atomic>

#include "base/check.h"
#include "base/random.h"
#include "codec/dictionary_cost.h"

namespace uzram {

unsigned thread_number() {
  static std::atomic<unsigned> next{0};
  // Relaxed: only has to differ.
  thread_local const unsigned number = next.fetch_add(1, std::memory_order_relaxed);
  return number;
}

namespace {

// Packs and unpacks one page, so that a context's memory is there before the first request needs it
// (swap must not ask for memory), and so that a codec that does not return what it was given never
// gets a real page.
void warm_up(WriteLane& write, ReadLane& read) {
  Random random(kPageBytes);
  alignas(64) std::array<std::byte, kPageBytes> page;
  for (std::byte& byte : page) byte = static_cast<std::byte>('a' + random.below(8));
  const std::optional<std::size_t> packed_bytes = write.compressor->compress(page, write.packed);
  // lz4 at an acceleration of tens of thousands never packs a page, and never unpacks one.
  if (!packed_bytes) return;
  UZ_CHECK(read.decompressors[0]
               ->decompress(ConstBytes(write.packed).first(*packed_bytes), read.page)
               .has_value());
  UZ_CHECK(read.page == page);
}

Result<void> add_lane(const StoreConfig& config, const std::vector<std::unique_ptr<Codec>>& codecs,
                      Lanes& lanes) {
  auto write = std::make_unique<WriteLane>();
  auto read = std::make_unique<ReadLane>();
  lanes.bytes += sizeof(WriteLane) + sizeof(ReadLane);
  for (std::size_t i = 0; i < kAlgorithmCount; ++i) {
    if (config.codecs[i].info == nullptr) continue;
    auto decompressor = codecs[i]->make_decompressor();
    if (!decompressor) return tl::unexpected(decompressor.error());
    read->decompressors[i] = std::move(*decompressor);
    lanes.bytes += codecs[i]->decompressor_bytes();
  }
  auto compressor = codecs[0]->make_compressor();
  if (!compressor) return tl::unexpected(compressor.error());
  write->compressor = std::move(*compressor);
  lanes.bytes += codecs[0]->compressor_bytes();
  warm_up(*write, *read);
  lanes.write.push_back(std::move(write));
  lanes.read.push_back(std::move(read));
  return {};
}

}  // namespace

Result<Lanes> make_lanes(const StoreConfig& config, std::size_t lane_count,
                         std::vector<std::unique_ptr<Codec>>& codecs) {
  codecs.resize(kAlgorithmCount);
  Lanes lanes;
  for (std::size_t i = 0; i < kAlgorithmCount; ++i) {
    const CodecChoice& choice = config.codecs[i];
    if (choice.info == nullptr) continue;
    auto codec = choice.info->make(choice.params);
    if (!codec) return tl::unexpected(codec.error());
    codecs[i] = std::move(*codec);
    // Once for the contexts, and once in the arena's header, for who takes over.
    if (choice.params.dictionary != nullptr)
      lanes.bytes +=
          dictionary_bytes(*choice.info, choice.params) + choice.params.dictionary->size();
  }
  if (codecs[0] == nullptr) return fail(EINVAL);
  for (std::size_t i = 0; i < lane_count; ++i) {
    if (const Result<void> added = add_lane(config, codecs, lanes); !added)
      return tl::unexpected(added.error());
  }
  return lanes;
}

}  // namespace uzram
