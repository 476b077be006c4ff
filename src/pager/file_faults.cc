// SPDX-License-Identifier: Apache-2.0
// A fault in a mapped cluster file: the whole cluster is unpacked once, and all of its pages come
// that are nowhere else. They are locked before it is read: a page that is changed, put away and
// written meanwhile would come with content of before.
#include <algorithm>

#include "base/check.h"
#include "pager/pager_core.h"

namespace uzram {
namespace {

// With AccessHint::Sequential: so many pages, in clusters of the file.
constexpr std::uint64_t kMostToldPages = 64;

// page_cluster counts pages: of large clusters one has more than it asks for.
ReadaheadRule in_clusters(ReadaheadRule rule, unsigned log_pages) {
  rule.page_cluster -= std::min(rule.page_cluster, log_pages);
  rule.most_told = std::max<std::uint64_t>(kMostToldPages >> log_pages, 1);
  return rule;
}

}  // namespace

// From `start` on and round, until `most` are held.
void PagerCore::lock_file_pages(const ClusterMapping& mapping, FilePages& pages,
                                std::uint64_t start, std::uint64_t most) {
  const std::uint64_t count = pages.part.count;
  const std::uint64_t file_end = mapping.file().size_bytes();
  std::uint64_t held = pages.held.count();
  for (std::uint64_t n = 0; n < count && held < most; ++n) {
    const std::uint64_t i = (start + n) % count;
    const std::uint64_t page = pages.part.first + i;
    // Nobody has asked for zeros behind the end.
    if (pages.held[i] || mapping.file_offset_of(page) >= file_end) continue;
    const PageWord seen = words_.look(page);
    if (seen.is_locked() || !is_only_in_file(seen)) continue;
    const auto word = words_.try_lock(page);
    if (!word) continue;
    if (!is_only_in_file(*word)) {
      words_.unlock(page, *word);
      continue;
    }
    pages.words[i] = *word;
    pages.held[i] = true;
    ++held;
  }
}

void PagerCore::unlock_file_pages(const FilePages& pages) {
  for (std::uint64_t i = 0; i < pages.part.count; ++i)
    if (pages.held[i]) words_.unlock(pages.part.first + i, pages.words[i]);
}

// Makes the held pages appear, and unlocks them: `page` as it was asked for, all others to be read.
// Errors: ENOMEM: the machine has no memory for `page`.
Result<void> PagerCore::install_file_pages(const FilePages& pages, const std::byte* cluster,
                                           std::optional<std::uint64_t> page, PageAccess access) {
  const auto access_of = [&](std::uint64_t i) {
    return pages.part.first + i == page ? access : PageAccess::Read;
  };
  Result<void> of_page;
  for (std::uint64_t i = 0; i < pages.part.count;) {
    if (!pages.held[i]) {
      ++i;
      continue;
    }
    const std::uint64_t begin = i;
    LockedRun run;
    run.first = pages.part.first + begin;
    const std::uint64_t room = kClusterPages - run.first % kClusterPages;
    const std::uint64_t end =
        std::min(pages.part.count, begin + std::min<std::uint64_t>(room, kMostFaultPages));
    for (; i < end && pages.held[i] && access_of(i) == access_of(begin); ++i)
      run.words[run.count++] = pages.words[i];
    const bool has_page = page && *page >= run.first && *page < run.first + run.count;
    const Result<void> installed =
        install_run(run, cluster + (pages.part.place + begin) * kPageBytes, access_of(begin),
                    has_page ? *page : run.first);
    if (has_page)
      of_page = installed;
    else if (installed)
      counters_.readahead_pages.fetch_add(1, std::memory_order_relaxed);
  }
  return of_page;
}

bool PagerCore::read_ahead_cluster(ClusterMapping& mapping, std::uint64_t cluster) {
  const std::int64_t free = budget_.free() - budget_.watermarks().min;
  FilePages pages;
  pages.part = mapping.part_of(cluster);
  if (pages.part.count == 0 || free < static_cast<std::int64_t>(pages.part.count)) return false;
  lock_file_pages(mapping, pages, 0, pages.part.count);
  if (pages.held.none()) return true;
  const MutexLock lock(mapping.reading_mutex());
  const auto content = mapping.read(cluster);
  if (!content) {
    unlock_file_pages(pages);  // Whoever needs it will hear of it.
    return false;
  }
  counters_.file_clusters_read.fetch_add(1, std::memory_order_relaxed);
  return install_file_pages(pages, *content, std::nullopt, PageAccess::Read).has_value();
}

Result<void> PagerCore::bring_in_cluster(Region& region, std::uint64_t page, PageWord word,
                                         bool is_write) {
  ClusterMapping& mapping = *region.mapping;
  const std::uint64_t cluster = mapping.cluster_of(page);
  const ReadaheadRule rule{page_cluster_.load(std::memory_order_relaxed), config_.has_vma_readahead,
                           region.hint.load(std::memory_order_relaxed)};
  const PageWindow window = region.readahead.plan(in_clusters(rule, mapping.log_pages()), cluster);
  {
    FilePages pages;
    pages.part = mapping.part_of(cluster);
    const std::uint64_t index = page - pages.part.first;
    pages.words[index] = word;
    pages.held[index] = true;
    lock_file_pages(mapping, pages, index,
                    static_cast<std::uint64_t>(std::max<std::int64_t>(budget_.free(), 1)));
    const MutexLock lock(mapping.reading_mutex());
    const auto content = mapping.read(cluster);
    if (!content) {
      pages.held[index] = false;
      unlock_file_pages(pages);
      lose(page, word);
      return fail(EIO);
    }
    counters_.file_clusters_read.fetch_add(1, std::memory_order_relaxed);
    const PageAccess access = is_write ? PageAccess::Write : PageAccess::Read;
    if (const auto installed = install_file_pages(pages, *content, page, access); !installed)
      return installed;
  }
  for (std::uint64_t next = window.first; next < window.first + window.count; ++next)
    if (next != cluster && !read_ahead_cluster(mapping, next)) break;
  return {};
}

}  // namespace uzram
