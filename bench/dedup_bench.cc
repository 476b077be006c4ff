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

  // Writes `sources` to `targets`. Returns: nanoseconds per page.
  Result<double> time_writes(Device& device, const std::vector<std::uint32_t>& sources,
                             const std::vector<std::uint32_t>& targets) {
    const PinnedThread pinned(plan_.processor);
    const std::uint64_t start = now_nanoseconds();
    for (std::size_t i = 0; i < sources.size(); ++i) {
      const Result<void> done =
          device.write(std::uint64_t{targets[i]} * kPageBytes, corpus_.page(sources[i]));
      if (!done) return fail(done.error().code);
    }
    return static_cast<double>(now_nanoseconds() - start) / static_cast<double>(sources.size());
  }

  // A time that was measured while deduplication found something is no answer.
  static Result<void> expect_nothing_found(const Device& device, std::size_t page_count) {
    const Result<std::uint64_t> saved = pages_saved(device, page_count);
    if (!saved) return fail(saved.error().code);
    return *saved == 0 ? Result<void>() : fail(EBADMSG);
  }

  // Onto empty devices; the sides take turns at going first.
  Result<void> fresh_round(int round) {
    std::vector<std::uint32_t> targets(unique_.size());
    std::iota(targets.begin(), targets.end(), 0U);
    std::array<double, 2> times{};
    for (const bool is_second : {false, true}) {
      const bool uses_dedup = is_second == (round % 2 == 0);
      auto device = device_for(unique_.size(), uses_dedup);
      if (!device) return fail(device.error().code);
      const Result<double> time = time_writes(**device, unique_, targets);
      if (!time) return fail(time.error().code);
      if (const auto none = expect_nothing_found(**device, unique_.size()); !none) return none;
      times[uses_dedup ? 1 : 0] = *time;
    }
    if (round >= 0) fresh_.add(times[1], times[0]);
    return {};
  }

  // Two halves of the contents take turns on the same pages, so that what a write brings is never
  // there already.
  Result<void> overwrite_rounds() {
    const std::size_t half = unique_.size() / 2;
    if (half == 0) return fail(ENODATA);
    std::array<std::unique_ptr<Device>, 2> devices;
    for (const bool uses_dedup : {false, true}) {
      auto device = device_for(half, uses_dedup);
      if (!device) return fail(device.error().code);
      devices[uses_dedup ? 1 : 0] = std::move(*device);
    }
    // The first two rounds fill, and bring the devices to the state where everything was replaced.
    for (int round = -2; round < plan_.rounds; ++round) {
      const auto seed = static_cast<std::uint64_t>(round) + 31;
      const std::vector<std::uint32_t> targets = shuffled(half, seed);
      std::vector<std::uint32_t> sources = shuffled(half, seed + 1000);
      for (std::uint32_t& source : sources) source = unique_[source + (round % 2 == 0 ? 0 : half)];
      std::array<double, 2> times{};
      for (const bool is_second : {false, true}) {
        const bool uses_dedup = is_second == (round / 2 % 2 == 0);
        const Result<double> time = time_writes(*devices[uses_dedup ? 1 : 0], sources, targets);
        if (!time) return fail(time.error().code);
        times[uses_dedup ? 1 : 0] = *time;
      }
      if (const auto none = expect_nothing_found(*devices[1], half); !none) return none;
      if (round >= 0) overwrite_.add(times[1], times[0]);
    }
    return {};
  }

  const Corpus& corpus_;
  const DedupPlan& plan_;
  const std::vector<std::uint32_t> unique_;
  Costs fresh_;
  Costs overwrite_;
  nlohmann::json answer_;
};

}  // namespace

Result<nlohmann::json> measure_dedup(const Corpus& corpus, const DedupPlan& plan) {
  return DedupMeasurement(corpus, plan).run();
}

}  // namespace uzram::bench
