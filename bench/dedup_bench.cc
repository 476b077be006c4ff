// SPDX-License-Identifier: Apache-2.0
#include "bench/dedup_bench.h"

#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_set>

#include "bench/device_setup.h"
#include "bench/measure.h"

namespace uzram::bench {
namespace {

// The first page of each content.
std::vector<std::uint32_t> unique_pages(const Corpus& corpus) {
  std::unordered_set<std::string_view> seen;
  std::vector<std::uint32_t> unique;
  for (std::uint32_t index = 0; index < corpus.page_count(); ++index) {
    const PageView page = corpus.page(index);
    const std::string_view content(reinterpret_cast<const char*>(page.data()), kPageBytes);
    if (seen.insert(content).second) unique.push_back(index);
  }
  return unique;
}

// Pages that need nothing of their own, since another has their content.
Result<std::uint64_t> pages_saved(const Device& device, std::size_t page_count) {
  const auto states = device.page_states({0}, page_count);
  if (!states) return fail(states.error().code);
  std::uint64_t sharing = 0;
  std::unordered_set<std::uint64_t> contents;
  for (const PageState& state : *states) {
    if (state.word.state() != SlotState::Shared) continue;
    ++sharing;
    contents.insert(state.word.slot().value);
  }
  return sharing - contents.size();
}

class DedupMeasurement {
 public:
  DedupMeasurement(const Corpus& corpus, const DedupPlan& plan)
      : corpus_(corpus), plan_(plan), unique_(unique_pages(corpus)) {}

  Result<nlohmann::json> run() {
    if (const Result<void> done = count_found(); !done) return fail(done.error().code);
    // Round -1 warms up.
    for (int round = -1; round < plan_.rounds; ++round) {
      if (const Result<void> done = fresh_round(round); !done) return fail(done.error().code);
    }
    if (const Result<void> done = overwrite_rounds(); !done) return fail(done.error().code);
    answer_["fresh_write"] = fresh_.as_json();
    answer_["overwrite"] = overwrite_.as_json();
    return answer_;
  }

 private:
  // With deduplication and without, and what it adds in each round.
  struct Costs {
    std::vector<double> with;
    std::vector<double> without;
    void add(double one, double other) {
      with.push_back(one);
      without.push_back(other);
    }
    [[nodiscard]] nlohmann::json as_json() const {
      std::vector<double> added;
      for (std::size_t i = 0; i < with.size(); ++i) added.push_back(with[i] - without[i]);
      return {{"with", with}, {"without", without}, {"added", added}};
    }
  };

  Result<std::unique_ptr<Device>> device_for(std::size_t pages, bool uses_dedup) {
    return make_device({.algorithm = "lz4", .uses_dedup = uses_dedup}, pages);
  }

  Result<void> count_found() {
    auto device = device_for(corpus_.page_count(), true);
    if (!device) return fail(device.error().code);
    if (const Result<void> done = fill(**device, corpus_); !done) return done;
    const Result<std::uint64_t> saved = pages_saved(**device, corpus_.page_count());
    if (!saved) return fail(saved.error().code);
    if (const Result<void> same = verify(**device, corpus_); !same) return same;
    wait_for_maintenance(**device);
    const DeviceStats stats = (*device)->stats();
    answer_["pages"] = corpus_.page_count();
    answer_["unique_pages"] = unique_.size();
    answer_["duplicates"] = corpus_.page_count() - unique_.size();
    answer_["duplicates_found"] = *saved;
    answer_["saved_bytes"] = stats.dup_data_bytes;
    answer_["metadata_bytes"] = stats.meta_data_bytes;
    answer_["metadata_bytes_per_unique_page"] =
        static_cast<double>(stats.meta_data_bytes) / static_cast<double>(unique_.size());
    return {};
  }

  using Sides = std::array<std::unique_ptr<Device>, 2>;  // Without deduplication, with it.

  Result<Sides> make_sides(std::size_t pages) {
    Sides sides;
    for (const bool uses_dedup : {false, true}) {
      auto device = device_for(pages, uses_dedup);
      if (!device) return fail(device.error().code);
      sides[uses_dedup ? 1 : 0] = std::move(*device);
    }
    return sides;
  }

  // Writes `sources` to `targets` on both sides, which take turns after a few pages, so that what
  // else the machine does meets both. Each page comes from a buffer that it was just copied to, as
  // front ends do: they have received it there. Returns: nanoseconds per page, with the copy.
  Result<std::array<double, 2>> time_writes(const Sides& sides,
                                            const std::vector<std::uint32_t>& sources,
                                            const std::vector<std::uint32_t>& targets) {
    constexpr std::size_t kTurnPages = 64;
    const PinnedThread pinned(plan_.processor);
    std::array<std::uint64_t, 2> nanoseconds{};
    for (std::size_t begin = 0; begin < sources.size(); begin += kTurnPages) {
      const std::size_t end = std::min(sources.size(), begin + kTurnPages);
      for (const std::size_t turn : {0, 1}) {
        const std::size_t side = (turn + begin / kTurnPages) % 2;
        const std::uint64_t start = now_nanoseconds();
        for (std::size_t i = begin; i < end; ++i) {
          const PageView page = corpus_.page(sources[i]);
          std::copy(page.begin(), page.end(), request_.begin());
          const Result<void> done =
              sides[side]->write(std::uint64_t{targets[i]} * kPageBytes, request_);
          if (!done) return fail(done.error().code);
        }
        nanoseconds[side] += now_nanoseconds() - start;
      }
    }
    const auto pages = static_cast<double>(sources.size());
    return std::array{static_cast<double>(nanoseconds[0]) / pages,
                      static_cast<double>(nanoseconds[1]) / pages};
  }

  // A time that was measured while deduplication found something is no answer.
  static Result<void> expect_nothing_found(const Device& device, std::size_t page_count) {
    const Result<std::uint64_t> saved = pages_saved(device, page_count);
    if (!saved) return fail(saved.error().code);
    return *saved == 0 ? Result<void>() : fail(EBADMSG);
  }

  // Onto empty devices.
  Result<void> fresh_round(int round) {
    std::vector<std::uint32_t> targets(unique_.size());
    std::iota(targets.begin(), targets.end(), 0U);
    const Result<Sides> sides = make_sides(unique_.size());
    if (!sides) return fail(sides.error().code);
    const auto times = time_writes(*sides, unique_, targets);
    if (!times) return fail(times.error().code);
    if (round >= 0) fresh_.add((*times)[1], (*times)[0]);
    return expect_nothing_found(*(*sides)[1], unique_.size());
  }

  // Two halves of the contents take turns on the same pages, so that what a write brings is never
  // there already.
  Result<void> overwrite_rounds() {
    const std::size_t half = unique_.size() / 2;
    if (half == 0) return fail(ENODATA);
    const Result<Sides> sides = make_sides(half);
    if (!sides) return fail(sides.error().code);
    // The first two rounds fill, and bring the devices to the state where everything was replaced.
    for (int round = -2; round < plan_.rounds; ++round) {
      const auto seed = static_cast<std::uint64_t>(round) + 31;
      const std::vector<std::uint32_t> targets = shuffled(half, seed);
      std::vector<std::uint32_t> sources = shuffled(half, seed + 1000);
      for (std::uint32_t& source : sources) source = unique_[source + (round % 2 == 0 ? 0 : half)];
      const auto times = time_writes(*sides, sources, targets);
      if (!times) return fail(times.error().code);
      if (const auto none = expect_nothing_found(*(*sides)[1], half); !none) return none;
      if (round >= 0) overwrite_.add((*times)[1], (*times)[0]);
    }
    return {};
  }

  const Corpus& corpus_;
  const DedupPlan& plan_;
  const std::vector<std::uint32_t> unique_;
  alignas(kPageBytes) std::array<std::byte, kPageBytes> request_{};
  Costs fresh_;
  Costs overwrite_;
  nlohmann::json answer_;
};

}  // namespace

Result<nlohmann::json> measure_dedup(const Corpus& corpus, const DedupPlan& plan) {
  return DedupMeasurement(corpus, plan).run();
}

}  // namespace uzram::bench
