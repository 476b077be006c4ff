// SPDX-License-Identifier: Apache-2.0
// What a quiet moment can show of a pager's laws.
#include "base/check.h"
#include "pager/pager_core.h"

namespace uzram {

void PagerCore::check_page(std::uint64_t page, std::uint64_t& in_memory,
                           std::int64_t& unwritten) const {
  const PageWord word = words_.look(page);
  UZ_CHECK(!word.is_locked());
  UZ_CHECK(word.place() != PagePlace::Resident || !word.is_stored());
  UZ_CHECK(!word.is_unchanged() || word.place() == PagePlace::Staged);
  UZ_CHECK(word.pins() == 0 || word.is_in_memory());
  if (word.place() == PagePlace::Staged && !word.is_unchanged()) UZ_CHECK(!word.is_stored());
  const ClusterMapping* const shared = shared_mapping_of(page);
  if (shared != nullptr && word.is_stored() && !word.is_lost()) {
    ++unwritten;
    UZ_CHECK(shared->is_unwritten(shared->cluster_of(page)));
  }
  if (!word.is_in_memory()) return;
  ++in_memory;
  UZ_CHECK(memory_->is_present(page));
}

void PagerCore::check_invariants() {
  if (fault_threads_ != nullptr) fault_threads_->wait_until_idle();
  // Until the background rests: it holds pages while it works.
  is_frozen_.fetch_add(1, std::memory_order_seq_cst);
  while (const std::uint32_t inside = reclaimers_inside_.load(std::memory_order_seq_cst))
    futex_wait(reclaimers_inside_, inside);
  std::uint64_t in_memory = 0;
  std::int64_t unwritten = 0;
  const std::uint64_t end = regions_.cluster_end();
  for (std::uint64_t cluster = 0; cluster < end; ++cluster) {
    std::uint64_t in_cluster = 0;
    for (std::uint64_t i = 0; i < kClusterPages; ++i)
      check_page(cluster * kClusterPages + i, in_cluster, unwritten);
    UZ_CHECK(regions_.cluster(cluster).in_memory.load(std::memory_order_relaxed) == in_cluster);
    std::uint64_t pinned = 0;
    for (std::uint64_t i = 0; i < kClusterPages; ++i)
      if (words_.look(cluster * kClusterPages + i).pins() != 0) ++pinned;
    UZ_CHECK(regions_.cluster(cluster).pinned.load(std::memory_order_relaxed) == pinned);
    in_memory += in_cluster;
  }
  UZ_CHECK(unwritten_pages_.load(std::memory_order_relaxed) == unwritten);
  staging_.check_invariants();
  UZ_CHECK(budget_.charged() == static_cast<std::int64_t>(in_memory + staging_.queued_pages()));
  device_.check_invariants();
  is_frozen_.fetch_sub(1, std::memory_order_seq_cst);
  wake_reclaimers();
}

}  // namespace uzram
