// SPDX-License-Identifier: Apache-2.0
#include "store/lanes.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <string>

#include "base/check.h"
#include "base/random.h"

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

Result<void> add_lane(const StoreConfig& config, const Codecs& codecs, Lanes& lanes) {
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

Result<std::shared_ptr<Lanes>> make_new_lanes(const StoreConfig& config, std::size_t lane_count,
                                              const Codecs& codecs) {
  auto lanes = std::make_shared<Lanes>();
  for (std::size_t i = 0; i < lane_count; ++i) {
    if (const Result<void> added = add_lane(config, codecs, *lanes); !added)
      return tl::unexpected(added.error());
  }
  return lanes;
}

// What lanes are made of, when they can be shared.
std::optional<std::string> key_of(const StoreConfig& config, std::size_t lane_count) {
  std::string key = std::to_string(lane_count);
  for (const CodecChoice& choice : config.codecs) {
    const CodecParams& params = choice.params;
    if (params.dictionary != nullptr) return std::nullopt;
    key += choice.info == nullptr ? ";" : ";" + std::string(choice.info->name);
    key += params.level ? "," + std::to_string(*params.level) : ",";
    key += params.window_bits ? "," + std::to_string(*params.window_bits) : ",";
    key += "," + std::to_string(params.block_bytes);
  }
  return key;
}

struct SharedLanes {
  Mutex mutex;
  std::map<std::string, std::weak_ptr<Lanes>> by_key UZ_GUARDED_BY(mutex);
};

// Never destroyed: a store may outlive static objects.
SharedLanes& shared_lanes() {
  static auto* const all = new SharedLanes;
  return *all;
}

}  // namespace

Result<Codecs> make_codecs(const StoreConfig& config) {
  Codecs codecs(kAlgorithmCount);
  for (std::size_t i = 0; i < kAlgorithmCount; ++i) {
    const CodecChoice& choice = config.codecs[i];
    if (choice.info == nullptr) continue;
    auto codec = choice.info->make(choice.params);
    if (!codec) return tl::unexpected(codec.error());
    codecs[i] = std::move(*codec);
  }
  if (codecs[0] == nullptr) return fail(EINVAL);
  return codecs;
}

Result<std::shared_ptr<Lanes>> make_lanes(const StoreConfig& config, std::size_t lane_count,
                                          const Codecs& codecs, LaneUse use) {
  const auto key = use == LaneUse::Shared ? key_of(config, lane_count) : std::nullopt;
  if (!key) return make_new_lanes(config, lane_count, codecs);
  SharedLanes& all = shared_lanes();
  MutexLock lock(all.mutex);
  if (const auto found = all.by_key.find(*key); found != all.by_key.end()) {
    if (std::shared_ptr<Lanes> lanes = found->second.lock()) return lanes;
    all.by_key.erase(found);
  }
  auto made = make_new_lanes(config, lane_count, codecs);
  if (made) all.by_key[*key] = *made;
  return made;
}

Result<void> StoreLanes::make_own(const StoreConfig& config, const Codecs& codecs) {
  MutexLock lock(mutex_);
  if (has_own_) return {};
  auto made = make_lanes(config, first_->write.size(), codecs, LaneUse::Own);
  if (!made) return tl::unexpected(made.error());
  own_ = std::move(*made);
  has_own_ = true;
  now_.store(own_.get(), std::memory_order_release);
  return {};
}

std::uint64_t StoreLanes::bytes() const {
  MutexLock lock(mutex_);
  const auto sharers = static_cast<std::uint64_t>(std::max(1L, first_.use_count()));
  return (first_->bytes + sharers - 1) / sharers + (own_ == nullptr ? 0 : own_->bytes);
}

}  // namespace uzram
