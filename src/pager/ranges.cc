// SPDX-License-Identifier: Apache-2.0
// What a program asks for ranges: prefetch, drop, pin, page out. Ordinary calls: they may wait.
#include <algorithm>
#include <bit>

#include "base/check.h"
#include "pager/die.h"
#include "pager/pager_core.h"

namespace uzram {

Result<PagerCore::PageRange> PagerCore::range_of(const void* start, std::uint64_t bytes,
                                                 bool whole_pages_only) const {
  if (!contains(start) || bytes == 0) return fail(EINVAL);
  const auto offset =
      static_cast<std::uint64_t>(static_cast<const std::byte*>(start) - memory_->span());
  const std::uint64_t span_bytes = memory_->shape().span_pages * kPageBytes;
  if (bytes > span_bytes - offset) return fail(EINVAL);
  PageRange range{offset / kPageBytes, bytes_to_pages(offset + bytes)};
  for (std::uint64_t page = range.first; page < range.end;) {
    const Region* const region = regions_.region_of(page);
    if (region == nullptr || page >= region->first_page + region->page_count) return fail(EINVAL);
    page = region->first_page + region->page_count;
    // The rest of the last cluster is nobody's.
    if (page < range.end && page % kClusterPages != 0) return fail(EINVAL);
  }
  if (!whole_pages_only) return range;
  range.first = bytes_to_pages(offset);
  range.end = std::max(range.first, (offset + bytes) / kPageBytes);
  return range;
}

Result<void> PagerCore::prefetch(PageRange range) {
  // More would push out what has just come.
  const std::int64_t most = std::max<std::int64_t>(budget_.room() / 2, 1);
  const auto end = std::min(range.end, range.first + static_cast<std::uint64_t>(most));
  for (std::uint64_t page = range.first; page < end; ++page) {
    if (words_.look(page).is_in_memory()) continue;
    if (const Result<void> room = make_room(1); !room) return room;
    const PageWord word = words_.lock(page);
    if (word.is_in_memory() || word.is_lost()) {
      words_.unlock(page, word);
      if (word.is_lost()) return fail(EIO);
      continue;
    }
    if (const Result<void> done = bring_in(*regions_.region_of(page), page, word, false); !done)
      return done;
  }
  return {};
}

// Returns: whether no page had to stay.
bool PagerCore::drop_in_cluster(std::uint64_t first, std::uint64_t count, bool keeps_unwritten) {
  const bool has_kept = keeps_unwritten && shared_mapping_of(first) != nullptr;
  std::array<PageWord, kClusterPages> words;
  std::uint64_t present = 0;
  std::uint64_t lost = 0;
  std::uint64_t dropped = 0;
  // In rising order: the only place that waits for a page while it holds others.
  for (std::uint64_t i = 0; i < count; ++i) {
    words[i] = words_.lock(first + i);
    const std::uint64_t bit = std::uint64_t{1} << i;
    if (words[i].pins() != 0) continue;
    // Somebody has written to it since it was written back.
    if (has_kept && !words[i].is_lost() && differs_from_file(words[i])) continue;
    dropped |= bit;
    if (words[i].is_in_memory()) present |= bit;
    if (words[i].is_lost()) lost |= bit;
  }
  for (std::uint64_t left = present | lost; left != 0;) {
    const auto start = static_cast<unsigned>(std::countr_zero(left));
    const auto length = static_cast<unsigned>(std::countr_one(left >> start));
    memory_->forget(first + start, length);
    left = start + length >= kClusterPages ? 0 : left >> (start + length) << (start + length);
  }
  const auto present_count = static_cast<std::uint8_t>(std::popcount(present));
  budget_.charge(-static_cast<std::int64_t>(present_count));
  regions_.cluster(first / kClusterPages)
      .in_memory.fetch_sub(present_count, std::memory_order_relaxed);
  for (std::uint64_t i = 0; i < count; ++i) {
    const bool is_dropped = (dropped >> i & 1U) != 0;
    if (is_dropped) forget_stored(first + i, words[i]);
    words_.unlock(first + i, is_dropped ? PageWord() : words[i]);
  }
  return std::popcount(dropped) == static_cast<int>(count);
}

Result<void> PagerCore::drop(PageRange range) {
  if (const Result<void> written = write_back(range, false); !written) return written;
  return forget(range, true);
}

Result<void> PagerCore::forget(PageRange range, bool keeps_unwritten) {
  bool is_all = true;
  for (std::uint64_t page = range.first; page < range.end;) {
    const std::uint64_t cluster_end = (page / kClusterPages + 1) * kClusterPages;
    const std::uint64_t end = std::min(range.end, cluster_end);
    if (!drop_in_cluster(page, end - page, keeps_unwritten)) is_all = false;
    page = end;
  }
  if (!is_all) return fail(EBUSY);
  return {};
}

// A page that is brought in is pinned as it appears: otherwise it could go again at once.
Result<void> PagerCore::pin_page(std::uint64_t page, bool for_write) {
  Region& region = *regions_.region_of(page);
  for (unsigned attempt = 0;;) {
    if (!words_.look(page).is_in_memory()) {
      if (const Result<void> room = make_room(1); !room) return room;
    }
    const PageWord word = words_.lock(page);
    if (word.is_lost() || word.pins() == PageWord::kMostPins) {
      words_.unlock(page, word);
      return fail(word.is_lost() ? EIO : EAGAIN);
    }
    const PageWord pinned = word.with_pins(word.pins() + 1);
    if (word.pins() == 0) note_pinned(page, true);
    if (word.place() == PagePlace::Clean && for_write) {
      allow_write(region, page, pinned);
      return {};
    }
    if (word.is_in_memory()) {
      words_.unlock(page, pinned);
      return {};
    }
    const Result<void> done = bring_in(region, page, pinned, for_write);
    if (done) return {};
    unpin_page(page);
    if (done.error().code != ENOMEM) return done;
    if (const Result<void> shrunk = shrink_for_machine(attempt++); !shrunk) return shrunk;
  }
}

void PagerCore::note_pinned(std::uint64_t page, bool is_pinned) {
  auto& pinned = regions_.cluster(page / kClusterPages).pinned;
  pinned.fetch_add(static_cast<std::uint8_t>(is_pinned ? 1 : -1), std::memory_order_relaxed);
}

void PagerCore::unpin_page(std::uint64_t page) {
  const PageWord word = words_.lock(page);
  UZ_CHECK(word.pins() != 0);
  if (word.pins() == 1) note_pinned(page, false);
  words_.unlock(page, word.with_pins(word.pins() - 1));
}

Result<void> PagerCore::pin(PageRange range, bool for_write) {
  for (std::uint64_t page = range.first; page < range.end; ++page) {
    const Result<void> pinned = pin_page(page, for_write);
    if (pinned) continue;
    while (page-- > range.first) unpin_page(page);
    return pinned;
  }
  return {};
}

Result<void> PagerCore::unpin(PageRange range) {
  for (std::uint64_t page = range.first; page < range.end; ++page)
    if (words_.look(page).pins() == 0) return fail(EINVAL);
  for (std::uint64_t page = range.first; page < range.end; ++page) unpin_page(page);
  return {};
}

Result<void> PagerCore::page_out(PageRange range) {
  constexpr unsigned kBatchPages = kClusterPages;
  // What the file does not take now goes where all other pages go, and is tried again later.
  static_cast<void>(write_back(range, false));
  const ReclaimTicket ticket(*this);
  if (!ticket) return {};
  const std::uint64_t end = (range.end + kClusterPages - 1) / kClusterPages;
  for (std::uint64_t cluster = range.first / kClusterPages; cluster < end; ++cluster) {
    if (regions_.cluster(cluster).in_memory.load(std::memory_order_relaxed) == 0) continue;
    const PageRange wanted{std::max(range.first, cluster * kClusterPages),
                           std::min(range.end, (cluster + 1) * kClusterPages)};
    while (!take_cluster(cluster, wanted)) {
      const Step step = pack_oldest(kBatchPages, true);
      if (step == Step::Failed) return fail(ENOMEM);
      if (step == Step::Nothing) break;  // Others have all of staging in hand.
    }
  }
  while (staging_.queued_pages() != 0) {
    const Step step = pack_oldest(kBatchPages, true);
    if (step == Step::Failed) return fail(ENOMEM);
    if (step == Step::Nothing) break;
  }
  return {};
}

// Everything that has content, in memory, whatever the limit. Only during a fork.
void PagerCore::populate() {
  const std::uint64_t end = regions_.cluster_end() * kClusterPages;
  for (std::uint64_t page = 0; page < end; ++page) {
    Region* const region = regions_.region_of(page);
    if (region == nullptr || page >= region->first_page + region->page_count) {
      page = (page / kClusterPages + 1) * kClusterPages - 1;
      continue;
    }
    const PageWord seen = words_.look(page);
    const bool has_content = seen.is_stored() || region->kind == PageKindOf::File ||
                             seen.place() == PagePlace::Staged || seen.is_locked();
    if (seen.is_in_memory() || !has_content) continue;
    const PageWord word = words_.lock(page);
    if (word.is_in_memory() || word.is_lost()) {
      words_.unlock(page, word);
      continue;
    }
    const Result<void> done = bring_in(*region, page, word, region->mapping == nullptr);
    if (!done && done.error().code == ENOMEM)
      die("fork(): the machine has no memory for all pages of the pager at once");
  }
}

}  // namespace uzram
