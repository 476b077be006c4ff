// SPDX-License-Identifier: Apache-2.0
// What was written to shared mappings of cluster files goes into the files. A fault never writes to
// a file: it would allocate. Pages that leave memory go where all others go, and a thread of its
// own writes them a little later, by whole clusters, from wherever they are then.
#include <algorithm>
#include <cstring>
#include <system_error>

#include "base/check.h"
#include "pager/die.h"
#include "pager/pager_core.h"
#include "pager/quiet_thread.h"

namespace uzram {
namespace {

// So many pages begin to be written; fewer wait for as many seconds for others of their clusters.
constexpr std::int64_t kPagesToBegin = 256;
constexpr timespec kMostDelay{1, 0};
// The part of the limit that pages may have which the file has not taken yet.
constexpr std::uint64_t kMostUnwrittenPart = 4;

}  // namespace

ClusterMapping* PagerCore::shared_mapping_of(std::uint64_t page) const {
  if (!regions_.has_files()) return nullptr;
  const Region* const region = regions_.region_of(page);
  if (region == nullptr || region->mapping == nullptr) return nullptr;
  return region->mapping->is_shared() ? region->mapping : nullptr;
}

void PagerCore::note_unwritten(std::uint64_t page) {
  ClusterMapping* const mapping = shared_mapping_of(page);
  if (mapping == nullptr) return;
  mapping->note_unwritten(mapping->cluster_of(page));
  const std::int64_t before = unwritten_pages_.fetch_add(1, std::memory_order_relaxed);
  if (before == 0 || before + 1 == kPagesToBegin) wake_write_back();
}

void PagerCore::note_written(std::uint64_t page) {
  if (shared_mapping_of(page) != nullptr) unwritten_pages_.fetch_sub(1, std::memory_order_relaxed);
}

Result<void> PagerCore::copy_unwritten(std::uint64_t page, PageWord word, std::byte* out) {
  if (word.place() == PagePlace::Away)
    return device_.read(page * kPageBytes, PageBuffer(out, kPageBytes));
  const std::byte* const source = word.place() == PagePlace::Staged
                                      ? memory_->staging() + word.number() * kPageBytes
                                      : memory_->span() + page * kPageBytes;
  std::memcpy(out, source, kPageBytes);
  return {};
}

// Locks what is to be written, and copies it. Errors: EIO: a page of it is damaged; the others are
// there.
Result<void> PagerCore::gather_unwritten(ClusterMapping& mapping, FilePages& pages,
                                         bool with_resident) {
  const auto is_wanted = [with_resident](PageWord word) {
    return differs_from_file(word) && !word.is_lost() &&
           (with_resident || word.place() != PagePlace::Resident);
  };
  Result<void> result;
  for (std::uint64_t i = 0; i < pages.part.count; ++i) {
    const std::uint64_t page = pages.part.first + i;
    const PageWord seen = words_.look(page);
    if (!seen.is_locked() && !is_wanted(seen)) continue;
    // Waits while it holds others, in rising order.
    const PageWord word = words_.lock(page);
    if (!is_wanted(word)) {
      words_.unlock(page, word);
      continue;
    }
    // A page that is pinned may be written by a device at any moment: it stays as it is.
    if (word.place() == PagePlace::Resident && word.pins() == 0)
      pages.is_protected[i] = memory_->forbid_write(page);
    const std::uint64_t place = pages.part.place + i;
    if (!copy_unwritten(page, word, mapping.write_buffer() + place * kPageBytes)) {
      lose(page, word);
      result = fail(EIO);
      continue;
    }
    pages.words[i] = word;
    pages.held[i] = true;
  }
  return result;
}

// The file has the page. Unlocks it.
void PagerCore::settle_written(std::uint64_t page, PageWord word, bool is_protected) {
  counters_.written_back_pages.fetch_add(1, std::memory_order_relaxed);
  forget_stored(page, word);
  word = word.with_stored(false);
  if (word.place() == PagePlace::Staged) return put_away(page, word, false);
  words_.unlock(page, is_protected ? word.at(PagePlace::Clean) : word);
}

Result<void> PagerCore::write_back_cluster(ClusterMapping& mapping, PageRange range,
                                           bool with_resident) {
  FilePages pages;
  pages.part = mapping.part_of(mapping.cluster_of(range.first));
  pages.part.place += range.first - pages.part.first;
  pages.part.first = range.first;
  pages.part.count = range.end - range.first;
  Result<void> result = gather_unwritten(mapping, pages, with_resident);
  for (std::uint64_t i = 0; i < pages.part.count;) {
    std::uint64_t end = i;
    while (end < pages.part.count && pages.held[end]) ++end;
    const Result<void> done =
        mapping.write(pages.part.first + i, end - i,
                      mapping.write_buffer() + (pages.part.place + i) * kPageBytes);
    if (!done) {
      counters_.failed_write_backs.fetch_add(1, std::memory_order_relaxed);
      if (result) result = done;
    }
    for (; i < end; ++i) {
      const std::uint64_t page = pages.part.first + i;
      if (done) {
        settle_written(page, pages.words[i], pages.is_protected[i]);
        continue;
      }
      if (pages.is_protected[i]) memory_->allow_write(page);
      words_.unlock(page, pages.words[i]);
    }
    while (i < pages.part.count && !pages.held[i]) ++i;
  }
  return result;
}

Result<void> PagerCore::write_back_part(ClusterMapping& mapping, PageRange range) {
  Result<void> result;
  for (std::uint64_t page = range.first; page < range.end;) {
    const ClusterMapping::Part part = mapping.part_of(mapping.cluster_of(page));
    const std::uint64_t end = std::min(range.end, part.first + part.count);
    const MutexLock lock(write_back_mutex_);
    const Result<void> done = write_back_cluster(mapping, {page, end}, true);
    if (!done && result) result = done;
    page = end;
  }
  return result;
}

Result<void> PagerCore::write_back(PageRange range, bool is_synced) {
  Result<void> result;
  for (std::uint64_t page = range.first; page < range.end;) {
    const Region* const region = regions_.region_of(page);
    UZ_CHECK(region != nullptr);
    const std::uint64_t end = std::min(range.end, region->first_page + region->page_count);
    if (ClusterMapping* const mapping = shared_mapping_of(page)) {
      const Result<void> written = write_back_part(*mapping, {page, end});
      const Result<void> synced = is_synced ? mapping->file().sync() : Result<void>();
      if (result) result = written ? synced : written;
    }
    page = round_up(end, kClusterPages);
  }
  return result;
}

// What is written by whole clusters, in the background.

Result<void> PagerCore::start_write_back() {
  if (write_back_thread_.joinable()) return {};
  try {
    write_back_thread_ = start_quiet_thread(
        "uzram-writeback", [this] { write_back_in_background(); }, Turn::LikeAnyOther);
  } catch (const std::system_error& error) {
    return fail(error.code().value());
  }
  return {};
}

void PagerCore::wake_write_back() {
  // Release: what is to be written comes before.
  write_back_wake_.fetch_add(1, std::memory_order_release);
  futex_wake_one(write_back_wake_);
}

bool PagerCore::try_wait_for_write_back() {
  if (unwritten_pages_.load(std::memory_order_relaxed) <= 0 ||
      is_write_back_failing_.load(std::memory_order_relaxed) ||
      is_frozen_.load(std::memory_order_relaxed) != 0)
    return false;
  const std::uint32_t seen = written_count_.load(std::memory_order_acquire);
  is_write_back_urgent_.store(true, std::memory_order_relaxed);
  wake_write_back();
  futex_wait_briefly(written_count_, seen);
  return true;
}

void PagerCore::wait_for_write_back() {
  const auto most =
      static_cast<std::int64_t>(budget_.limit_bytes() / kPageBytes / kMostUnwrittenPart);
  while (unwritten_pages_.load(std::memory_order_relaxed) > most && try_wait_for_write_back()) {
  }
}

PagerCore::Step PagerCore::write_back_next(std::size_t mapping_index, std::uint64_t& cluster) {
  const MutexLock lock(write_back_mutex_);
  if (mapping_index >= mappings_.size()) return Step::Nothing;
  ClusterMapping& mapping = *mappings_[mapping_index];
  const auto next = mapping.take_unwritten(cluster);
  if (!next) return Step::Nothing;
  const ClusterMapping::Part part = mapping.part_of(*next);
  cluster = *next + 1;
  if (write_back_cluster(mapping, {part.first, part.first + part.count}, false)) return Step::Done;
  mapping.note_unwritten(*next);
  return Step::Failed;
}

bool PagerCore::write_back_put_away() {
  bool has_done = false;
  bool has_failed = false;
  for (std::size_t i = 0; i < mapping_count(); ++i) {
    std::uint64_t cluster = 0;
    Step step = Step::Done;
    while (step == Step::Done && !is_ending_.load(std::memory_order_relaxed)) {
      const ReclaimTicket ticket(*this);
      if (!ticket) return true;  // Somebody forks; later.
      step = write_back_next(i, cluster);
      if (step != Step::Done) continue;
      has_done = true;
      note_other_bytes();
      written_count_.fetch_add(1, std::memory_order_release);
      futex_wake_all(written_count_);
    }
    has_failed = has_failed || step == Step::Failed;
  }
  return has_done && !has_failed;
}

std::size_t PagerCore::mapping_count() {
  const MutexLock lock(write_back_mutex_);
  return mappings_.size();
}

void PagerCore::write_back_in_background() {
  while (!is_ending_.load(std::memory_order_relaxed)) {
    if (const std::uint32_t frozen = is_frozen_.load(std::memory_order_relaxed); frozen != 0) {
      futex_wait_briefly(is_frozen_, frozen);
      continue;
    }
    const std::uint32_t seen = write_back_wake_.load(std::memory_order_acquire);
    const std::int64_t pages = unwritten_pages_.load(std::memory_order_relaxed);
    if (pages <= 0) {
      futex_wait(write_back_wake_, seen);
      continue;
    }
    const bool is_urgent = is_write_back_urgent_.exchange(false, std::memory_order_relaxed);
    const bool is_failing = is_write_back_failing_.load(std::memory_order_relaxed);
    if (is_failing || (pages < kPagesToBegin && !is_urgent))
      futex_wait_at_most(write_back_wake_, seen, kMostDelay);
    if (is_ending_.load(std::memory_order_relaxed)) return;
    is_write_back_failing_.store(!write_back_put_away(), std::memory_order_relaxed);
  }
}

// What cannot be written now is lost: there is nobody left to keep it.
void PagerCore::end_write_back() {
  std::vector<ClusterMapping*> left;
  std::thread thread;
  {
    const MutexLock lock(write_back_mutex_);
    thread = std::move(write_back_thread_);
    for (const auto& each : mappings_) left.push_back(each.get());
  }
  if (thread.joinable()) {
    wake_write_back();
    thread.join();
  }
  for (const ClusterMapping* const each : left) {
    const std::uint64_t first = each->first_page();
    if (const Result<void> synced = sync({first, first + each->page_count()}); !synced)
      warn("what was written to a mapped cluster file is lost with its pager: errno ",
           static_cast<unsigned>(synced.error().code), "");
  }
}

}  // namespace uzram
