// SPDX-License-Identifier: Apache-2.0
// Reclaim: clusters into staging, and who does it when; pack.cc takes it from there. Pages are
// locked by trying only, so reclaim never waits for a fault; a fault waits for reclaim only when no
// free page is left.
#include <bit>

#include "base/check.h"
#include "pager/pager_core.h"

namespace uzram {

namespace {

// While the background falls behind, faulting threads pack for each fault two pages: many at once
// and seldom, so that most faults need not. What the background takes at once.
constexpr unsigned kAssistPages = 8;
constexpr unsigned kAssistPagesForAFault = 2;
constexpr unsigned kBatchPages = 16;
constexpr unsigned kMostVictimTries = 256;
// So often must a thread without room find nobody at work, and nothing to do, to give up.
constexpr unsigned kMostIdleLooks = 8;

}  // namespace

// The pages of a cluster that this thread has locked.
struct PagerCore::LockedCluster {
  std::uint64_t first_page = 0;
  std::uint64_t locked = 0;   // Bit i: page first_page + i.
  std::uint64_t present = 0;  // Of these, those in memory.
  std::array<PageWord, kClusterPages> words;

  LockedCluster(const PageWords& table, std::uint64_t cluster, PageRange wanted)
      : first_page(cluster * kClusterPages) {
    for (std::uint64_t i = wanted.first % kClusterPages; first_page + i < wanted.end; ++i) {
      const PageWord seen = table.look(first_page + i);
      if (seen.is_locked() || seen.pins() != 0 || seen.is_lost()) continue;
      const auto word = table.try_lock(first_page + i);
      if (!word) continue;
      if (word->pins() != 0 || word->is_lost()) {
        table.unlock(first_page + i, *word);
        continue;
      }
      words[i] = *word;
      locked |= std::uint64_t{1} << i;
      if (word->is_in_memory()) present |= std::uint64_t{1} << i;
    }
  }
};

std::uint16_t PagerCore::eviction_age() const {
  // 0 says "never evicted".
  const std::uint64_t age = evicted_total_.load(std::memory_order_relaxed) / kClusterPages;
  return static_cast<std::uint16_t>(age % 0xffff + 1);
}

void PagerCore::note_other_bytes() {
  const std::uint64_t words_bytes =
      round_up(regions_.cluster_end() * kClusterPages * sizeof(std::uint32_t), kPageBytes);
  table_bytes_.store(words_bytes + regions_.memory_bytes() + buffers_.memory_bytes() +
                         staging_.memory_bytes() + sizeof(PagerCore) +
                         mapping_bytes_.load(std::memory_order_relaxed),
                     std::memory_order_relaxed);
  packed_bytes_.store(device_.stats().total_bytes(), std::memory_order_relaxed);
  budget_.set_other_bytes(table_bytes_.load(std::memory_order_relaxed) +
                          packed_bytes_.load(std::memory_order_relaxed));
}

std::uint64_t PagerCore::take_runs(const LockedCluster& cluster, std::uint32_t slot) {
  std::uint64_t taken = 0;
  std::uint64_t left = cluster.locked;
  while (left != 0) {
    const auto start = static_cast<unsigned>(std::countr_zero(left));
    const auto length = static_cast<unsigned>(std::countr_one(left >> start));
    const std::uint64_t run =
        (length == kClusterPages ? ~std::uint64_t{0} : (std::uint64_t{1} << length) - 1) << start;
    left &= ~run;
    std::uint64_t present = cluster.present & run;
    while (present != 0) {
      const auto first = static_cast<unsigned>(std::countr_zero(present));
      const auto end = static_cast<unsigned>(std::bit_width(present));
      const std::uint64_t gone = memory_->take(cluster.first_page + first, end - first,
                                               present >> first, slot * kClusterPages + first);
      const std::uint64_t behind =
          first + gone >= kClusterPages ? 0 : ~std::uint64_t{0} << (first + gone);
      taken |= present & ~behind;
      present &= behind;
      present &= present - 1;  // The first that is left would not go.
    }
  }
  return taken;
}

std::optional<unsigned> PagerCore::take_cluster(std::uint64_t cluster, PageRange wanted) {
  const auto slot = staging_.take_slot();
  if (!slot) return std::nullopt;
  const LockedCluster locked(words_, cluster, wanted);
  const std::uint64_t taken = take_runs(locked, *slot);
  const auto count = static_cast<unsigned>(std::popcount(taken));
  // Before the pages are let go: whoever drops them then finds the counts right.
  ClusterState& state = regions_.cluster(cluster);
  state.in_memory.fetch_sub(static_cast<std::uint8_t>(count), std::memory_order_relaxed);
  for (std::uint64_t left = locked.locked; left != 0; left &= left - 1) {
    const auto i = static_cast<unsigned>(std::countr_zero(left));
    PageWord word = locked.words[i];
    if ((taken >> i & 1U) != 0) {
      word = word.with_unchanged(word.place() == PagePlace::Clean)
                 .at(PagePlace::Staged)
                 .with_number(static_cast<std::uint16_t>(*slot * kClusterPages + i));
    }
    words_.unlock(locked.first_page + i, word);
  }
  if (count == 0) {
    staging_.free_slot(*slot);
    counters_.fruitless_takes.fetch_add(1, std::memory_order_relaxed);
    return 0;
  }
  state.active.store(0, std::memory_order_relaxed);
  evicted_total_.fetch_add(count, std::memory_order_relaxed);
  counters_.evicted_pages.fetch_add(count, std::memory_order_relaxed);
  const Region* const region = regions_.region_of(locked.first_page);
  auto& of_kind = region != nullptr && region->kind == PageKindOf::File
                      ? counters_.file_evicted
                      : counters_.anonymous_evicted;
  of_kind.fetch_add(count, std::memory_order_relaxed);
  staging_.fill(*slot, locked.first_page, taken);
  return count;
}

bool PagerCore::is_victim(std::uint64_t cluster, PageKindOf kind, bool is_second_pass) {
  ClusterState& state = regions_.cluster(cluster);
  const unsigned in_memory = state.in_memory.load(std::memory_order_relaxed);
  // Where everything is pinned there is nothing to gain, and no use in trying each page.
  if (in_memory <= state.pinned.load(std::memory_order_relaxed)) return false;
  const Region* const region = regions_.region_of(cluster * kClusterPages);
  if (region == nullptr || region->kind != kind) return false;
  if (is_second_pass || state.active.load(std::memory_order_relaxed) * 2U <= in_memory) return true;
  // A second chance, once.
  state.active.store(0, std::memory_order_relaxed);
  return false;
}

std::optional<std::uint64_t> PagerCore::next_cold_victim() {
  const auto cluster = cold_clusters_.take();
  if (!cluster) return std::nullopt;
  const Region* const region = regions_.region_of(*cluster * kClusterPages);
  if (region == nullptr || region->hint.load(std::memory_order_relaxed) != AccessHint::Cold ||
      !is_victim(*cluster, region->kind, true))
    return std::nullopt;
  return cluster;
}

std::optional<std::uint64_t> PagerCore::next_victim(PageKindOf kind) {
  const std::uint64_t end = regions_.cluster_end();
  auto& hand = hands_[static_cast<std::size_t>(kind)];
  for (const bool is_second_pass : {false, true}) {
    for (std::uint64_t i = 0; i < end; ++i) {
      const std::uint64_t cluster = hand.fetch_add(1, std::memory_order_relaxed) % end;
      if (is_victim(cluster, kind, is_second_pass)) return cluster;
    }
  }
  return std::nullopt;
}

bool PagerCore::evict_next_cluster() {
  for (unsigned tries = 0; tries < kMostVictimTries; ++tries) {
    PageKindOf kind = PageKindOf::Anonymous;
    if (regions_.has_files()) kind = balance_.choose();
    auto victim = next_cold_victim();
    if (!victim) victim = next_victim(kind);
    if (!victim && regions_.has_files()) {
      kind = kind == PageKindOf::File ? PageKindOf::Anonymous : PageKindOf::File;
      victim = next_victim(kind);
    }
    if (!victim) return false;
    const std::uint64_t first = *victim * kClusterPages;
    const auto taken = take_cluster(*victim, {first, first + kClusterPages});
    if (!taken) return false;
    if (*taken != 0) return true;
  }
  return false;
}

PagerCore::Step PagerCore::reclaim_step(unsigned most, bool is_assist) {
  const ReclaimTicket ticket(*this);
  if (!ticket) return Step::Nothing;
  if (staging_.queued_pages() < staging_target_pages_ && evict_next_cluster()) return Step::Done;
  const Step packed = pack_oldest(most, is_assist);
  if (packed != Step::Nothing) return packed;
  return evict_next_cluster() ? Step::Done : Step::Nothing;
}

void PagerCore::assist() {
  const unsigned pages = config_.cluster_pages != 0 ? config_.cluster_pages : kAssistPages;
  const unsigned turn = assist_count_.fetch_add(1, std::memory_order_relaxed);
  if (turn % std::max(pages / kAssistPagesForAFault, 1U) == 0) reclaim_step(pages, true);
}

Result<void> PagerCore::make_room(std::int64_t pages) {
  const Watermarks marks = budget_.watermarks();
  const std::int64_t free = budget_.free();
  if (free >= marks.low) return {};
  wake_reclaimers();
  wait_for_write_back();
  if (free >= marks.min + pages) {
    // A little help from everyone keeps anyone from having to wait.
    if (threads_.empty() || free < (marks.min + marks.low) / 2) assist();
    return {};
  }
  for (unsigned idle_looks = 0; budget_.free() < pages;) {
    if (is_frozen_.load(std::memory_order_relaxed) != 0) return {};
    if (budget_.room() < Budget::kLeastPages && !try_wait_for_write_back()) return fail(ENOMEM);
    const std::uint32_t seen = released_count_.load(std::memory_order_acquire);
    const Step step = reclaim_step(kBatchPages, true);
    if (step == Step::Failed) return fail(ENOMEM);
    if (step == Step::Done) {
      idle_looks = 0;
      continue;
    }
    // Nothing to begin. As long as others are at work, they may be about to finish something.
    const bool is_idle =
        staging_.queued_pages() == 0 && reclaimers_inside_.load(std::memory_order_relaxed) == 0;
    if (is_idle && ++idle_looks == kMostIdleLooks) return fail(ENOMEM);
    futex_wait_briefly(released_count_, seen);
  }
  return {};
}

Result<void> PagerCore::shrink_for_machine(unsigned attempt) {
  constexpr unsigned kMostAttempts = 64;
  if (attempt >= kMostAttempts) return fail(ENOMEM);
  const std::uint32_t seen = released_count_.load(std::memory_order_acquire);
  const ReclaimTicket ticket(*this);
  if (!ticket) return fail(ENOMEM);
  evict_next_cluster();
  while (released_count_.load(std::memory_order_acquire) == seen) {
    if (pack_oldest(kBatchPages, true) != Step::Done) return fail(ENOMEM);
  }
  return {};
}

void PagerCore::wake_reclaimers() {
  if (sleeper_count_.load(std::memory_order_relaxed) == 0) return;
  if (is_wake_pending_.exchange(true, std::memory_order_relaxed)) return;
  wake_count_.fetch_add(1, std::memory_order_release);
  futex_wake_one(wake_count_);
}

void PagerCore::work() {
  while (!is_ending_.load(std::memory_order_relaxed)) {
    const std::uint32_t seen = wake_count_.load(std::memory_order_acquire);
    while (budget_.free() < budget_.watermarks().high &&
           !is_ending_.load(std::memory_order_relaxed) &&
           reclaim_step(kBatchPages, false) == Step::Done) {
    }
    // A wake-up that comes before the wait is not lost for long: the next fault below the mark
    // tries again.
    sleeper_count_.fetch_add(1, std::memory_order_relaxed);
    is_wake_pending_.store(false, std::memory_order_relaxed);
    futex_wait(wake_count_, seen);
    sleeper_count_.fetch_sub(1, std::memory_order_relaxed);
  }
}

void PagerCore::prepare_fork() {
  is_frozen_.fetch_add(1, std::memory_order_seq_cst);
  for (;;) {
    const std::uint32_t inside = reclaimers_inside_.load(std::memory_order_seq_cst);
    if (inside == 0) break;
    futex_wait(reclaimers_inside_, inside);
  }
  if (config_.fork_rule != ForkRule::Populate) return;
  populate();
  UZ_CHECK(memory_->inherit(true));
}

void PagerCore::finish_fork_in_parent() {
  if (config_.fork_rule == ForkRule::Populate) {
    UZ_CHECK(memory_->inherit(false));
    memory_->note_shared();
  }
  is_frozen_.fetch_sub(1, std::memory_order_seq_cst);
  // What was brought in for the child leaves again. If that cannot be, the next fault will say so.
  static_cast<void>(make_room(0));
}

}  // namespace uzram
