// SPDX-License-Identifier: Apache-2.0
#include "bench/demotion_bench.h"

#include <array>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "bench/device_setup.h"
#include "bench/measure.h"
#include "codec/cluster_codec.h"

namespace uzram::bench {
namespace {

std::uint64_t cpu_nanoseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

class DemotionMeasurement {
 public:
  DemotionMeasurement(const Corpus& corpus, const DemotionPlan& plan)
      : corpus_(corpus), plan_(plan), stages_(plan.stages.size()) {}

  Result<nlohmann::json> run() {
    for (int round = 0; round < plan_.rounds; ++round) {
      const bool is_last = round + 1 == plan_.rounds;
      if (const Result<void> done = run_round(is_last); !done) return fail(done.error().code);
    }
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      answer_["stages"].push_back({{"stage", plan_.stages[i].text()},
                                   {"cpu_per_page", stages_[i].cpu_per_page},
                                   {"maker_cpu_per_page", stages_[i].maker_cpu_per_page},
                                   {"tried_pages", stages_[i].outcome.tried_pages},
                                   {"changed_pages", stages_[i].outcome.changed_pages},
                                   {"account", stages_[i].account}});
    }
    answer_["pages"] = corpus_.page_count();
    return answer_;
  }

 private:
  struct Measured {
    std::vector<double> cpu_per_page;        // Of the whole process.
    std::vector<double> maker_cpu_per_page;  // Of the thread that asked.
    BackgroundOutcome outcome;               // Of the last round.
    nlohmann::json account;
  };

  Result<void> run_round(bool is_last) {
    const std::uint64_t anonymous_before = anonymous_bytes();
    auto made =
        make_device({.algorithm = plan_.algorithm, .uses_dedup = true}, corpus_.page_count());
    if (!made) return fail(made.error().code);
    Device& device = **made;
    if (const Result<void> done = fill(device, corpus_); !done) return done;
    wait_for_maintenance(device);
    answer_["after_fill"] = account(device);
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      const Result<void> done = run_stage(device, plan_.stages[i], stages_[i]);
      if (!done) return done;
    }
    if (!is_last) return {};
    answer_["arena_bytes"] = arena_bytes(device);
    answer_["process_bytes"] =
        arena_bytes(device) + anonymous_bytes() - std::min(anonymous_before, anonymous_bytes());
    if (const Result<void> same = verify(device, corpus_); !same) return same;
    device.check_invariants();
    return {};
  }

  static Result<void> run_stage(Device& device, Stage stage, Measured& measured) {
    const std::uint64_t process_before = cpu_nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    const std::uint64_t thread_before = cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID);
    const Result<BackgroundOutcome> outcome = demote(device, stage);
    const std::uint64_t thread_after = cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID);
    if (!outcome) return fail(outcome.error().code);
    wait_for_maintenance(device);
    const std::uint64_t process_after = cpu_nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    if (outcome->changed_pages == 0) return fail(ENODATA);
    const auto pages = static_cast<double>(outcome->changed_pages);
    measured.cpu_per_page.push_back(static_cast<double>(process_after - process_before) / pages);
    measured.maker_cpu_per_page.push_back(static_cast<double>(thread_after - thread_before) /
                                          pages);
    measured.outcome = *outcome;
    measured.account = account(device);
    return {};
  }

  const Corpus& corpus_;
  const DemotionPlan& plan_;
  std::vector<Measured> stages_;
  nlohmann::json answer_;
};

class ColdReadMeasurement {
 public:
  ColdReadMeasurement(const Corpus& corpus, const DemotionPlan& plan)
      : corpus_(corpus), plan_(plan) {}

  Result<nlohmann::json> run() {
    auto made = make_device({.algorithm = plan_.algorithm}, corpus_.page_count());
    if (!made) return fail(made.error().code);
    device_ = std::move(*made);
    if (const Result<void> done = fill(*device_, corpus_); !done) return fail(done.error().code);
    for (const Stage stage : plan_.stages) {
      const Result<BackgroundOutcome> outcome = demote(*device_, stage);
      if (!outcome) return fail(outcome.error().code);
    }
    wait_for_maintenance(*device_);
    if (const Result<void> found = find_clusters(); !found) return fail(found.error().code);
    if (const Result<void> same = verify(*device_, corpus_); !same) return fail(same.error().code);
    // Round -1 is not counted: before it, the pages that verify has read last are unpacked.
    for (int round = -1; round < plan_.rounds; ++round) {
      if (const Result<void> done = read_cold(round); !done) return fail(done.error().code);
    }
    for (int round = 0; round < plan_.rounds; ++round) {
      if (const Result<void> done = scan(); !done) return fail(done.error().code);
    }
    return nlohmann::json{{"clusters", clusters_.size()},
                          {"member_pages", members_.size()},
                          {"p50", p50_},
                          {"p99", p99_},
                          {"scan", scan_},
                          {"bare_p50", bare_p50_},
                          {"bare_p99", bare_p99_},
                          {"bare_scan", bare_scan_}};
  }

 private:
  // More than the clusters that a device keeps unpacked.
  static constexpr std::size_t kNotAgainSoon = 256;

  // Only full clusters count: small ones would flatter.
  Result<void> find_clusters() {
    const auto states = device_->page_states({0}, corpus_.page_count());
    if (!states) return fail(states.error().code);
    std::map<std::uint64_t, std::vector<std::uint64_t>> pages_of;
    for (const PageState& state : *states) {
      if (state.content.state() != SlotState::Member) continue;
      if (state.cluster_pages != plan_.stages.back().cluster_pages) continue;
      pages_of[state.content.slot().value].push_back(state.page.value);
      members_.push_back(state.page.value);
    }
    for (auto& [slot, pages] : pages_of) clusters_.push_back(std::move(pages));
    if (clusters_.empty()) return fail(ENODATA);
    return pack_bare();
  }

  // The same clusters, packed by the codec alone.
  Result<void> pack_bare() {
    const Stage stage = plan_.stages.back();
    auto compressor = ClusterCompressor::make(stage.level, stage.cluster_pages);
    if (!compressor) return fail(compressor.error().code);
    auto decompressor = ClusterDecompressor::make();
    if (!decompressor) return fail(decompressor.error().code);
    decompressor_ = std::move(*decompressor);
    std::vector<std::byte> packed(cluster_room_bytes(stage.cluster_pages));
    unpacked_.resize(stage.cluster_pages * kPageBytes);
    for (const std::vector<std::uint64_t>& pages : clusters_) {
      for (std::size_t i = 0; i < pages.size(); ++i) {
        const PageView page = corpus_.page(static_cast<std::uint32_t>(pages[i]));
        std::copy(page.begin(), page.end(), unpacked_.begin() + i * kPageBytes);
      }
      const auto bytes = (*compressor)->compress(unpacked_, packed);
      if (!bytes) return fail(ENODATA);
      bare_.emplace_back(packed.begin(), packed.begin() + *bytes);
    }
    return {};
  }

  // What the codec alone needs for that page of the cluster. Returns: nanoseconds.
  Result<std::uint64_t> unpack_bare(std::size_t cluster, std::size_t number) {
    const std::uint64_t start = now_nanoseconds();
    const Result<std::size_t> begun = decompressor_->start(bare_[cluster], unpacked_);
    if (!begun) return fail(begun.error().code);
    const Result<std::size_t> done = decompressor_->unpack_through(number);
    if (!done) return fail(done.error().code);
    return now_nanoseconds() - start;
  }

  Result<void> read_page(std::uint64_t page) {
    return device_->read(page * kPageBytes, MutableBytes(buffer_));
  }

  // Every cluster once, a random page of it. What the last round has read in the end is still
  // unpacked, so it does not come first in this one.
  Result<void> read_cold(int round) {
    const auto seed = static_cast<std::uint64_t>(round) + 11;
    std::vector<std::uint32_t> order = shuffled(clusters_.size(), seed);
    std::stable_partition(order.begin(), order.end(),
                          [this](std::uint32_t cluster) { return recent_.count(cluster) == 0; });
    Random random(seed);
    std::vector<std::uint32_t> times;
    std::vector<std::uint32_t> bare_times;
    times.reserve(order.size());
    bare_times.reserve(order.size());
    const PinnedThread pinned(plan_.processor);
    for (const std::uint32_t cluster : order) {
      const std::vector<std::uint64_t>& pages = clusters_[cluster];
      const std::size_t number = random.below(pages.size());
      const std::uint64_t start = now_nanoseconds();
      if (const Result<void> done = read_page(pages[number]); !done) return done;
      times.push_back(static_cast<std::uint32_t>(now_nanoseconds() - start));
      const Result<std::uint64_t> bare = unpack_bare(cluster, number);
      if (!bare) return fail(bare.error().code);
      bare_times.push_back(static_cast<std::uint32_t>(*bare));
    }
    if (round >= 0) {
      p50_.push_back(quantile(times, 0.5));
      p99_.push_back(quantile(times, 0.99));
      bare_p50_.push_back(quantile(bare_times, 0.5));
      bare_p99_.push_back(quantile(bare_times, 0.99));
    }
    const std::size_t last = std::min(kNotAgainSoon, order.size() / 2);
    recent_ = {order.end() - static_cast<std::ptrdiff_t>(last), order.end()};
    return {};
  }

  Result<void> scan() {
    const PinnedThread pinned(plan_.processor);
    const std::uint64_t start = now_nanoseconds();
    for (const std::uint64_t page : members_) {
      if (const Result<void> done = read_page(page); !done) return done;
    }
    scan_.push_back(static_cast<double>(now_nanoseconds() - start) /
                    static_cast<double>(members_.size()));
    std::uint64_t bare_nanoseconds = 0;
    for (std::size_t cluster = 0; cluster < clusters_.size(); ++cluster) {
      const Result<std::uint64_t> bare = unpack_bare(cluster, clusters_[cluster].size() - 1);
      if (!bare) return fail(bare.error().code);
      bare_nanoseconds += *bare;
    }
    bare_scan_.push_back(static_cast<double>(bare_nanoseconds) /
                         static_cast<double>(members_.size()));
    return {};
  }

  const Corpus& corpus_;
  const DemotionPlan& plan_;
  std::unique_ptr<Device> device_;
  std::vector<std::vector<std::uint64_t>> clusters_;  // Their pages.
  std::vector<std::uint64_t> members_;                // All of them, ascending.
  std::unordered_set<std::uint32_t> recent_;
  std::vector<double> p50_;
  std::vector<double> p99_;
  std::vector<double> scan_;
  std::vector<std::vector<std::byte>> bare_;  // By cluster.
  std::unique_ptr<ClusterDecompressor> decompressor_;
  std::vector<std::byte> unpacked_;
  std::vector<double> bare_p50_;
  std::vector<double> bare_p99_;
  std::vector<double> bare_scan_;
  alignas(kPageBytes) std::array<std::byte, kPageBytes> buffer_{};
};

}  // namespace

Result<nlohmann::json> measure_demotion(const Corpus& corpus, const DemotionPlan& plan) {
  return DemotionMeasurement(corpus, plan).run();
}

Result<nlohmann::json> measure_cold_reads(const Corpus& corpus, const DemotionPlan& plan) {
  return ColdReadMeasurement(corpus, plan).run();
}

}  // namespace uzram::bench
