// SPDX-License-Identifier: Apache-2.0
#include "bench/library_bench.h"

#include <lz4.h>
#include <zstd.h>

#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "bench/measure.h"
#include "device/device.h"

namespace uzram::bench {
namespace {

const char* chars(ConstBytes bytes) { return reinterpret_cast<const char*>(bytes.data()); }
char* chars(MutableBytes bytes) { return reinterpret_cast<char*>(bytes.data()); }

class BareLz4 {
 public:
  static constexpr std::size_t kBoundBytes = LZ4_COMPRESSBOUND(kPageBytes);
  std::size_t compress(PageView page, MutableBytes out) {
    const int packed =
        LZ4_compress_fast_extState(state_.data(), chars(ConstBytes(page)), chars(out), kPageBytes,
                                   static_cast<int>(out.size()), 1);
    UZ_CHECK(packed > 0);
    return static_cast<std::size_t>(packed);
  }
  void decompress(ConstBytes packed, PageBuffer page) {
    const int bytes = LZ4_decompress_safe(chars(packed), chars(MutableBytes(page)),
                                          static_cast<int>(packed.size()), kPageBytes);
    UZ_CHECK(bytes == static_cast<int>(kPageBytes));
  }

 private:
  alignas(64) std::array<char, sizeof(LZ4_stream_t)> state_{};
};

class BareZstd {
 public:
  static constexpr std::size_t kBoundBytes = ZSTD_COMPRESSBOUND(kPageBytes);
  static constexpr int kLevel = ZSTD_CLEVEL_DEFAULT;
  BareZstd() : packer_(ZSTD_createCCtx()), unpacker_(ZSTD_createDCtx()) {}
  ~BareZstd() {
    ZSTD_freeCCtx(packer_);
    ZSTD_freeDCtx(unpacker_);
  }
  BareZstd(const BareZstd&) = delete;
  BareZstd& operator=(const BareZstd&) = delete;
  std::size_t compress(PageView page, MutableBytes out) {
    const std::size_t packed =
        ZSTD_compressCCtx(packer_, out.data(), out.size(), page.data(), kPageBytes, kLevel);
    UZ_CHECK(!ZSTD_isError(packed));
    return packed;
  }
  void decompress(ConstBytes packed, PageBuffer page) {
    const std::size_t bytes =
        ZSTD_decompressDCtx(unpacker_, page.data(), kPageBytes, packed.data(), packed.size());
    UZ_CHECK(bytes == kPageBytes);
  }

 private:
  ZSTD_CCtx* const packer_;
  ZSTD_DCtx* const unpacker_;
};

using Order = std::vector<std::uint32_t>;

// All pages packed by the library, in memory in another order than they will be read in.
class PackedPages {
 public:
  template <typename Bare>
  PackedPages(Bare& bare, const Corpus& corpus) : places_(corpus.page_count()) {
    std::array<std::byte, Bare::kBoundBytes> out;
    for (const std::uint32_t index : shuffled(corpus.page_count(), 101)) {
      const std::size_t bytes = bare.compress(corpus.page(index), out);
      places_[index] = {bytes_.size(), bytes};
      bytes_.insert(bytes_.end(), out.begin(), out.begin() + static_cast<std::ptrdiff_t>(bytes));
    }
  }
  [[nodiscard]] ConstBytes operator[](std::size_t index) const {
    return {bytes_.data() + places_[index].start, places_[index].bytes};
  }
  [[nodiscard]] std::size_t total_bytes() const { return bytes_.size(); }

 private:
  struct Place {
    std::size_t start = 0;
    std::size_t bytes = 0;
  };
  std::vector<std::byte> bytes_;
  std::vector<Place> places_;
};

template <typename Work>
double nanoseconds_per_page(const Order& order, Work work) {
  const std::uint64_t start = now_nanoseconds();
  for (const std::uint32_t index : order) work(index);
  return static_cast<double>(now_nanoseconds() - start) / static_cast<double>(order.size());
}

// What both sides took, round by round. Round -1 warms up and is left out.
class Pair {
 public:
  // `ours` and `theirs` return nanoseconds per page; they take turns at going first.
  template <typename Ours, typename Theirs>
  void measure(int round, Ours ours, Theirs theirs) {
    double our_value = 0;
    double their_value = 0;
    if (round % 2 == 0) {
      our_value = ours();
      their_value = theirs();
    } else {
      their_value = theirs();
      our_value = ours();
    }
    if (round < 0) return;
    ours_.push_back(our_value);
    theirs_.push_back(their_value);
  }
  [[nodiscard]] nlohmann::json as_json() const { return {{"ours", ours_}, {"theirs", theirs_}}; }

 private:
  std::vector<double> ours_;
  std::vector<double> theirs_;
};

template <typename Bare>
class LibraryMeasurement {
 public:
  LibraryMeasurement(const Corpus& corpus, const LibraryPlan& plan)
      : corpus_(corpus), plan_(plan), packed_(bare_, corpus) {}

  Result<nlohmann::json> run() {
    Pair fresh;
    // Rounds -1 warm up, and bring the device to the state in which every page has been replaced.
    for (int round = -1; round < plan_.rounds; ++round) {
      const Result<void> done = fresh_round(round, fresh);
      if (!done) return fail(done.error().code);
    }
    // The device of the last fresh round stays, for overwriting and reading.
    Pair overwrite;
    Pair read;
    for (int round = -1; round < plan_.rounds; ++round) overwrite_round(round, overwrite);
    const Result<void> refilled = refill();
    if (!refilled) return fail(refilled.error().code);
    for (int round = -1; round < plan_.rounds; ++round) read_round(round, read);
    return nlohmann::json{{"algorithm", plan_.algorithm},
                          {"pages", corpus_.page_count()},
                          {"packed_bytes_per_page", packed_.total_bytes() / corpus_.page_count()},
                          {"page_checks", plan_.has_page_checks},
                          {"fresh_write", fresh.as_json()},
                          {"overwrite", overwrite.as_json()},
                          {"read", read.as_json()}};
  }

 private:
  Order in_order() const {
    Order order(corpus_.page_count());
    std::iota(order.begin(), order.end(), 0U);
    return order;
  }

  Result<void> make_device() {
    device_.reset();  // Its memory goes back first.
    device_ = std::make_unique<Device>(0);
    if (const auto set = device_->set_algorithm(plan_.algorithm); !set) return set;
    if (const auto set = device_->set_page_checks(plan_.has_page_checks); !set) return set;
    return device_->set_disksize(corpus_.page_count() * kPageBytes);
  }

  void write_page(std::uint64_t target, std::size_t source) {
    const Result<void> done = device_->write(target * kPageBytes, corpus_.page(source));
    UZ_CHECK(done.has_value());
  }

  double time_bare_compress(const Order& sources) {
    std::array<std::byte, Bare::kBoundBytes> out;
    return nanoseconds_per_page(
        sources, [&](std::uint32_t index) { bare_.compress(corpus_.page(index), out); });
  }

  Result<void> fresh_round(int round, Pair& pair) {
    if (const Result<void> made = make_device(); !made) return made;
    const PinnedThread pinned(plan_.processor);
    const Order order = in_order();
    pair.measure(
        round,
        [&] {
          return nanoseconds_per_page(order,
                                      [&](std::uint32_t index) { write_page(index, index); });
        },
        [&] { return time_bare_compress(order); });
    return {};
  }

  void overwrite_round(int round, Pair& pair) {
    const PinnedThread pinned(plan_.processor);
    const auto seed = static_cast<std::uint64_t>(round) + 2;
    const Order sources = shuffled(corpus_.page_count(), seed);
    const Order targets = shuffled(corpus_.page_count(), seed + 1000);
    pair.measure(
        round,
        [&] {
          std::size_t at = 0;
          return nanoseconds_per_page(
              sources, [&](std::uint32_t index) { write_page(targets[at++], index); });
        },
        [&] { return time_bare_compress(sources); });
  }

  // Page n holds the corpus's page n again, as both sides of the reads expect it.
  Result<void> refill() {
    for (const std::uint32_t index : shuffled(corpus_.page_count(), 77)) write_page(index, index);
    std::array<std::byte, kPageBytes> page;
    for (std::size_t index = 0; index < corpus_.page_count(); index += 97) {
      if (const auto read = device_->read(index * kPageBytes, page); !read) return read;
      UZ_CHECK(std::memcmp(page.data(), corpus_.page(index).data(), kPageBytes) == 0);
    }
    return {};
  }

  void read_round(int round, Pair& pair) {
    const PinnedThread pinned(plan_.processor);
    const Order order = shuffled(corpus_.page_count(), static_cast<std::uint64_t>(round) + 500);
    alignas(64) std::array<std::byte, kPageBytes> page;
    const auto ours = [&] {
      return nanoseconds_per_page(order, [&](std::uint32_t index) {
        const Result<void> done = device_->read(std::uint64_t{index} * kPageBytes, page);
        UZ_CHECK(done.has_value());
      });
    };
    const auto theirs = [&] {
      return nanoseconds_per_page(
          order, [&](std::uint32_t index) { bare_.decompress(packed_[index], PageBuffer(page)); });
    };
    pair.measure(round, ours, theirs);
  }

  const Corpus& corpus_;
  const LibraryPlan& plan_;
  Bare bare_;
  PackedPages packed_;
  std::unique_ptr<Device> device_;
};

}  // namespace

Result<nlohmann::json> measure_library(const Corpus& corpus, const LibraryPlan& plan) {
  if (plan.algorithm == "lz4") return LibraryMeasurement<BareLz4>(corpus, plan).run();
  if (plan.algorithm == "zstd") return LibraryMeasurement<BareZstd>(corpus, plan).run();
  return fail(EINVAL);
}

}  // namespace uzram::bench
