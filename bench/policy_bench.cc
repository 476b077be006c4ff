// SPDX-License-Identifier: Apache-2.0
#include "bench/policy_bench.h"

#include <array>
#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "bench/demotion.h"
#include "bench/device_setup.h"
#include "bench/measure.h"

namespace uzram::bench {
namespace {

// Rounds over what is idle, from construction until nothing is left to do or the object ends.
class BackgroundRounds {
 public:
  BackgroundRounds(Device& device, std::uint64_t round_pages)
      : device_(device), round_pages_(round_pages), thread_([this] { work(); }) {}
  ~BackgroundRounds() {
    must_stop_.store(true, std::memory_order_relaxed);
    thread_.join();
  }
  BackgroundRounds(const BackgroundRounds&) = delete;
  BackgroundRounds& operator=(const BackgroundRounds&) = delete;

  [[nodiscard]] bool is_over() const { return is_over_.load(std::memory_order_relaxed); }
  // Once it is over.
  [[nodiscard]] std::uint64_t changed_pages() const {
    return changed_pages_.load(std::memory_order_relaxed);
  }

 private:
  void work() {
    // One kind of round after the other: each finds pages that are single still.
    for (int round = 0, idle_rounds = 0; idle_rounds < 3; ++round) {
      const std::uint64_t changed = run_round(round % 3);
      changed_pages_.fetch_add(changed, std::memory_order_relaxed);
      idle_rounds = changed == 0 ? idle_rounds + 1 : 0;
      if (must_stop_.load(std::memory_order_relaxed)) break;
    }
    is_over_.store(true, std::memory_order_relaxed);
  }

  std::uint64_t run_round(int kind) {
    if (kind == 0) {
      RecompressRequest request;
      request.pages.type = PageType::Idle;
      request.most_pages = round_pages_;
      const Result<BackgroundOutcome> outcome = device_.recompress(request);
      return outcome ? outcome->changed_pages : 0;
    }
    ClusterRequest request;
    request.pages.type = PageType::Idle;
    request.cluster_pages = kind == 1 ? 4 : 16;
    request.level = kind == 1 ? 1 : 3;
    request.most_pages = round_pages_;
    const Result<BackgroundOutcome> outcome = device_.make_clusters(request);
    return outcome ? outcome->changed_pages : 0;
  }

  Device& device_;
  const std::uint64_t round_pages_;
  // Relaxed: flags and a count that publish nothing else.
  std::atomic<bool> must_stop_{false};
  std::atomic<bool> is_over_{false};
  std::atomic<std::uint64_t> changed_pages_{0};
  std::thread thread_;  // Last: it uses everything above.
};

class ReadsBesidePolicy {
 public:
  ReadsBesidePolicy(const Corpus& corpus, const PolicyBenchPlan& plan)
      : corpus_(corpus), plan_(plan), half_(corpus.page_count() / 2), times_(kMostReads) {}

  Result<nlohmann::json> run() {
    auto made = make_device({.algorithm = "lz4", .recompression = "zstd"}, corpus_.page_count());
    if (!made) return fail(made.error().code);
    device_ = std::move(*made);
    if (const Result<void> done = fill(*device_, corpus_); !done) return fail(done.error().code);
    for (int round = -1; round < plan_.rounds; ++round) {
      if (const Result<void> done = run_round(round); !done) return fail(done.error().code);
    }
    return nlohmann::json{{"alone_p50", alone_p50_},   {"alone_p99", alone_p99_},
                          {"beside_p50", beside_p50_}, {"beside_p99", beside_p99_},
                          {"reads", reads_},           {"demoted_pages", demoted_pages_}};
  }

 private:
  static constexpr std::size_t kMostReads = std::size_t{1} << 22;
  // Too few for a p99 otherwise.
  static constexpr std::size_t kLeastReads = 1000;
  static constexpr double kMostSecondsToBegin = 20;
  // One page in so many may be demoted by mistake.
  static constexpr std::uint64_t kMostTouchedShare = 1000;

  // What was read while the background was at work, and what it did meanwhile.
  struct Beside {
    std::size_t reads = 0;
    std::uint64_t demoted_pages = 0;
  };

  Result<void> run_round(int round) {
    order_ = shuffled(corpus_.page_count() - half_, static_cast<std::uint64_t>(round) + 71);
    if (const Result<void> done = prepare(); !done) return done;
    const Result<Beside> beside =
        plan_.settings.empty() ? read_beside_rounds() : read_beside_policy();
    if (!beside) return fail(beside.error().code);
    if (beside->reads < kLeastReads || beside->demoted_pages == 0) return fail(ENODATA);
    if (round >= 0) {
      note(beside->reads, beside_p50_, beside_p99_);
      reads_.push_back(beside->reads);
      demoted_pages_.push_back(beside->demoted_pages);
    }
    // Both times the reads are of single pages, as they were written; a reader that was kept from
    // reading for a second may have lost a few.
    const Result<std::uint64_t> touched = demoted_pages(half_, corpus_.page_count());
    if (!touched) return fail(touched.error().code);
    if (*touched * kMostTouchedShare > half_) return fail(EBADMSG);
    wait_for_maintenance(*device_);
    std::size_t left = beside->reads;
    const Result<std::size_t> alone = read([&left] { return left-- == 0; });
    if (!alone) return fail(alone.error().code);
    if (round >= 0) note(*alone, alone_p50_, alone_p99_);
    return {};
  }

  // The first half is single pages again, and only they are idle.
  Result<void> prepare() {
    for (std::size_t page = 0; page < half_; ++page) {
      const Result<void> done = device_->write(page * kPageBytes, corpus_.page(page));
      if (!done) return done;
    }
    wait_for_maintenance(*device_);
    if (const Result<void> marked = device_->mark_idle(std::nullopt); !marked) return marked;
    for (std::size_t page = half_; page < corpus_.page_count(); ++page) {
      if (const Result<void> done = read_page(page); !done) return done;
    }
    return {};
  }

  Result<Beside> read_beside_rounds() {
    const BackgroundRounds background(*device_, plan_.round_pages);
    const Result<std::size_t> reads = read([&background] { return background.is_over(); });
    if (!reads) return fail(reads.error().code);
    return Beside{*reads, background.changed_pages()};
  }

  // The reader's half stays young: every page of it is read several times a second.
  Result<Beside> read_beside_policy() {
    if (!device_->set_policy(plan_.settings)) return fail(EINVAL);
    const Result<Beside> beside = read_while_policy_works();
    if (!device_->set_policy("off")) return fail(EINVAL);
    return beside;
  }

  Result<Beside> read_while_policy_works() {
    Result<std::uint64_t> before = 0;
    for (double waited = 0; before && *before == 0; waited += kLook) {
      if (waited > kMostSecondsToBegin) return fail(ENODATA);
      if (const auto done = read_for(kLook); !done) return fail(done.error().code);
      before = demoted_pages(0, half_);
    }
    if (!before) return fail(before.error().code);
    const Result<std::size_t> reads = read_for(plan_.seconds);
    if (!reads) return fail(reads.error().code);
    const Result<std::uint64_t> after = demoted_pages(0, half_);
    if (!after) return fail(after.error().code);
    return Beside{*reads, *after - *before};
  }
  static constexpr double kLook = 0.2;  // Seconds.

  Result<std::size_t> read_for(double seconds) {
    const std::uint64_t end = now_nanoseconds() + static_cast<std::uint64_t>(seconds * 1e9);
    return read([end] { return now_nanoseconds() >= end; });
  }

  // Pages of the second half in random order, again and again until `is_over`. Returns: how many.
  template <typename IsOver>
  Result<std::size_t> read(IsOver is_over) {
    const PinnedThread pinned(plan_.processor);
    std::size_t reads = 0;
    while (reads < kMostReads && !is_over()) {
      const std::size_t page = half_ + order_[next_++ % order_.size()];
      const std::uint64_t start = now_nanoseconds();
      if (const Result<void> done = read_page(page); !done) return fail(done.error().code);
      times_[reads++] = static_cast<std::uint32_t>(now_nanoseconds() - start);
    }
    return reads;
  }

  Result<void> read_page(std::size_t page) {
    return device_->read(page * kPageBytes, MutableBytes(buffer_));
  }

  void note(std::size_t reads, std::vector<double>& p50, std::vector<double>& p99) const {
    const std::vector<std::uint32_t> times(times_.begin(),
                                           times_.begin() + static_cast<std::ptrdiff_t>(reads));
    p50.push_back(quantile(times, 0.5));
    p99.push_back(quantile(times, 0.99));
  }

  // Pages in [first, end) that are no longer as they were written.
  [[nodiscard]] Result<std::uint64_t> demoted_pages(std::size_t first, std::size_t end) const {
    const auto states = device_->page_states({first}, end - first);
    if (!states) return fail(states.error().code);
    std::uint64_t count = 0;
    for (const PageState& state : *states) {
      if (state.page.value < end && state.is_recompressed()) ++count;
    }
    return count;
  }

  const Corpus& corpus_;
  const PolicyBenchPlan& plan_;
  const std::size_t half_;
  std::vector<std::uint32_t> order_;  // Of the reader's half, by its number in it.
  std::size_t next_ = 0;
  std::vector<std::uint32_t> times_;  // Of the last reads.
  std::unique_ptr<Device> device_;
  std::vector<double> alone_p50_, alone_p99_, beside_p50_, beside_p99_;
  std::vector<std::uint64_t> reads_, demoted_pages_;
  alignas(kPageBytes) std::array<std::byte, kPageBytes> buffer_{};
};

}  // namespace

Result<nlohmann::json> measure_reads_beside_policy(const Corpus& corpus,
                                                   const PolicyBenchPlan& plan) {
  return ReadsBesidePolicy(corpus, plan).run();
}

}  // namespace uzram::bench
