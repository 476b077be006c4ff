// SPDX-License-Identifier: Apache-2.0
// A fault, in the thread that has it: room, the page's lock, its content, one call that makes it
// appear. Nothing here allocates, and nothing touches memory of a region.
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "pager/die.h"
#include "pager/pager_core.h"

namespace uzram {
namespace {

// What the file holds; zeros behind its end.
Result<void> read_file(const Region& region, std::uint64_t page, MutableBytes out) {
  const std::uint64_t place = (page - region.first_page) * kPageBytes;
  const std::uint64_t available = region.file_bytes > place ? region.file_bytes - place : 0;
  const std::uint64_t wanted = std::min<std::uint64_t>(available, out.size());
  std::uint64_t done = 0;
  while (done < wanted) {
    const ssize_t got = ::pread(region.file, out.data() + done, wanted - done,
                                static_cast<off_t>(region.file_offset + place + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(EIO);
    if (got == 0) break;  // It was cut meanwhile.
    done += static_cast<std::uint64_t>(got);
  }
  std::memset(out.data() + done, 0, out.size() - done);
  return {};
}

}  // namespace

bool PagerCore::prefers_clean(Region& region, PageWord word) const {
  if (!word.is_stored()) return region.kind == PageKindOf::File;
  // What is thrown away of a cluster frees nothing, and has to be packed again.
  return config_.cluster_pages != 0 || region.clean_pages.pay();
}

void PagerCore::forget_stored(std::uint64_t page, PageWord word) {
  if (!word.is_stored()) return;
  UZ_CHECK(device_.discard(page * kPageBytes, kPageBytes).has_value());
  if (!word.is_lost()) note_written(page);
}

void PagerCore::allow_write(Region& region, std::uint64_t page, PageWord word) {
  UZ_DCHECK(word.place() == PagePlace::Clean);
  memory_->allow_write(page);
  forget_stored(page, word);
  words_.unlock(page, word.at(PagePlace::Resident).with_stored(false));
  counters_.write_upgrades.fetch_add(1, std::memory_order_relaxed);
  region.clean_pages.note_upgrade();
}

void PagerCore::lose(std::uint64_t page, PageWord word) {
  const auto address = reinterpret_cast<std::uint64_t>(memory_->span() + page * kPageBytes);
  warn_of_address("the page at ", address,
                  " cannot be read any more: its packed bytes, or its file, are damaged");
  memory_->poison(page);
  if (word.is_stored()) note_written(page);  // It never will be.
  words_.unlock(page, word.with_lost(true));
}

// A page that is back: was it needed again within the time in which everything resident is
// replaced? Then more memory would have kept it.
void PagerCore::note_return(const Region& region, std::uint64_t page, PageWord word) {
  ClusterState& cluster = regions_.cluster(page / kClusterPages);
  if (word.place() == PagePlace::Staged) {
    counters_.staging_hits.fetch_add(1, std::memory_order_relaxed);
    cluster.active.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  if (word.is_stored() || region.kind == PageKindOf::File)
    counters_.major_faults.fetch_add(1, std::memory_order_relaxed);
  if (!word.is_stored() && region.kind == PageKindOf::File)
    counters_.file_faults.fetch_add(1, std::memory_order_relaxed);
  if (word.number() == 0) return;
  const auto age = static_cast<std::uint16_t>(eviction_age() - word.number());
  const auto resident = static_cast<std::uint64_t>(std::max<std::int64_t>(budget_.charged(), 0));
  if (age * kClusterPages > resident) return;
  counters_.refaults.fetch_add(1, std::memory_order_relaxed);
  cluster.active.fetch_add(1, std::memory_order_relaxed);
  balance_.note_refault(region.kind, resident);
}

namespace {

// Whether a neighbour `distance` pages further can come along with a page: from the same kind of
// place, and, out of staging, from next to it.
bool joins(PageWord word, PageWord neighbour, std::int64_t distance) {
  if (neighbour.place() != word.place() || neighbour.is_lost()) return false;
  if (word.place() == PagePlace::Away) return true;
  return neighbour.is_unchanged() == word.is_unchanged() &&
         static_cast<std::int64_t>(neighbour.number()) == word.number() + distance;
}

}  // namespace

PagerCore::LockedRun PagerCore::lock_window(Region& region, std::uint64_t page, PageWord word) {
  const ReadaheadRule rule{page_cluster_.load(std::memory_order_relaxed), config_.has_vma_readahead,
                           region.hint.load(std::memory_order_relaxed)};
  const PageWindow window = region.readahead.plan(rule, page);
  const std::uint64_t region_end = region.first_page + region.page_count;
  const std::uint64_t end = std::min(window.first + window.count, region_end);
  const auto room = static_cast<std::uint64_t>(std::max<std::int64_t>(budget_.free(), 1));
  const std::uint64_t most = std::min<std::uint64_t>(room, kMostFaultPages);
  // A block that nobody asked for brings back what has been there, and makes nothing new.
  const auto is_wanted = [&](PageWord neighbour) {
    // What only a cluster file has comes by its clusters.
    if (region.mapping != nullptr && is_only_in_file(neighbour)) return false;
    return config_.has_vma_readahead || neighbour.is_stored() ||
           neighbour.place() == PagePlace::Staged || region.kind == PageKindOf::File;
  };
  const auto try_join = [&](std::uint64_t other) -> std::optional<PageWord> {
    const auto neighbour = words_.try_lock(other);
    if (!neighbour) return std::nullopt;
    const auto distance = static_cast<std::int64_t>(other - page);
    if (joins(word, *neighbour, distance) && is_wanted(*neighbour)) return neighbour;
    words_.unlock(other, *neighbour);
    return std::nullopt;
  };
  LockedRun run;
  run.first = page;
  run.words[0] = word;
  run.count = 1;
  while (run.count < most && run.first + run.count < end) {
    const auto neighbour = try_join(run.first + run.count);
    if (!neighbour) break;
    run.words[run.count++] = *neighbour;
  }
  while (run.count < most && run.first > window.first) {
    const auto neighbour = try_join(run.first - 1);
    if (!neighbour) break;
    std::copy_backward(run.words.begin(), run.words.begin() + run.count,
                       run.words.begin() + run.count + 1);
    run.words[0] = *neighbour;
    --run.first;
    ++run.count;
  }
  return run;
}

Result<void> PagerCore::read_content(const Region& region, std::uint64_t page, PageWord word,
                                     PageBuffer out) {
  if (region.kind == PageKindOf::File && !word.is_stored()) return read_file(region, page, out);
  return device_.read(page * kPageBytes, out);
}

// Unpacks the run, or when that fails the page alone. Errors: EIO.
Result<void> PagerCore::read_run(Region& region, LockedRun& run, std::byte* buffer,
                                 std::uint64_t page) {
  const MutableBytes whole(buffer, run.count * kPageBytes);
  const auto words_end = run.words.begin() + run.count;
  const auto is_stored = [](PageWord word) { return word.is_stored(); };
  Result<void> done;
  if (region.kind == PageKindOf::Anonymous || std::all_of(run.words.begin(), words_end, is_stored))
    done = device_.read(run.first * kPageBytes, whole);
  else if (std::none_of(run.words.begin(), words_end, is_stored))
    done = read_file(region, run.first, whole);
  else
    done = fail(EIO);  // Of both: one by one.
  if (done) return done;
  const PageWord word = run.words[page - run.first];
  for (std::uint64_t i = 0; i < run.count; ++i)
    if (run.first + i != page) words_.unlock(run.first + i, run.words[i]);
  run.first = page;
  run.count = 1;
  run.words[0] = word;
  return read_content(region, page, word, PageBuffer(buffer, kPageBytes));
}

// Makes a run appear, whose content is at `source`. Unlocks all of it.
Result<void> PagerCore::install_run(const LockedRun& run, const std::byte* source,
                                    PageAccess access, std::uint64_t page) {
  budget_.charge(static_cast<std::int64_t>(run.count));
  const Result<std::uint64_t> installed = memory_->install(run.first, run.count, source, access);
  const std::uint64_t count = installed ? *installed : 0;
  budget_.charge(static_cast<std::int64_t>(count) - static_cast<std::int64_t>(run.count));
  const auto is_stored = [](PageWord word) { return word.is_stored(); };
  if (access == PageAccess::Write && count != 0 &&
      std::any_of(run.words.begin(), run.words.begin() + count, is_stored)) {
    UZ_CHECK(device_.discard(run.first * kPageBytes, count * kPageBytes).has_value());
    for (std::uint64_t i = 0; i < count; ++i)
      if (is_stored(run.words[i])) note_written(run.first + i);
  }
  ClusterState& cluster = regions_.cluster(run.first / kClusterPages);
  cluster.in_memory.fetch_add(static_cast<std::uint8_t>(count), std::memory_order_relaxed);
  for (std::uint64_t i = 0; i < run.count; ++i) {
    PageWord word = run.words[i];
    if (i < count) {
      word = word.with_number(0).with_unchanged(false);
      word = access == PageAccess::Write ? word.at(PagePlace::Resident).with_stored(false)
                                         : word.at(PagePlace::Clean);
    }
    words_.unlock(run.first + i, word);
  }
  if (run.first + count <= page) return fail(ENOMEM);
  counters_.readahead_pages.fetch_add(count - 1, std::memory_order_relaxed);
  return {};
}

Result<void> PagerCore::bring_in(Region& region, std::uint64_t page, PageWord word, bool is_write) {
  if (region.hint.load(std::memory_order_relaxed) == AccessHint::Cold)
    cold_clusters_.add(page / kClusterPages);
  note_return(region, page, word);
  if (region.mapping != nullptr && is_only_in_file(word))
    return bring_in_cluster(region, page, word, is_write);
  LockedRun run = lock_window(region, page, word);
  const bool is_clean = word.place() == PagePlace::Away || word.is_unchanged();
  const PageAccess access =
      !is_write && is_clean && prefers_clean(region, word) ? PageAccess::Read : PageAccess::Write;
  if (word.place() == PagePlace::Staged) {
    const std::byte* const source = memory_->staging() + run.words[0].number() * kPageBytes;
    return install_run(run, source, access, page);
  }
  const FaultBuffers::Holder buffer(buffers_);
  if (!read_run(region, run, buffer.data(), page)) {
    lose(page, word);
    return fail(EIO);
  }
  return install_run(run, buffer.data(), access, page);
}

PagerCore::Touch PagerCore::touch_page(Region& region, std::uint64_t page, bool is_write) {
  const PageWord word = words_.lock(page);
  if (word.place() == PagePlace::Clean && is_write) {
    allow_write(region, page, word);
    return Touch::Done;
  }
  if (word.is_in_memory()) {
    // Another thread was faster. Or the program has dropped it behind our back. A page that could
    // not be taken after all may still be protected.
    if (is_write) memory_->allow_write(page);
    const bool is_present = memory_->is_present(page);
    words_.unlock(page, word);
    if (!is_present)
      die("a resident page is gone: the program has dropped or remapped a pager's memory itself");
    return Touch::Done;
  }
  if (word.is_lost()) {
    words_.unlock(page, word);
    return Touch::Lost;
  }
  const Result<void> done = bring_in(region, page, word, is_write);
  if (done) return Touch::Done;
  return done.error().code == ENOMEM ? Touch::NoMemory : Touch::Lost;
}

bool PagerCore::handle_fault(std::uint64_t page, bool is_write) {
  Region* const region = regions_.region_of(page);
  if (region == nullptr || page >= region->first_page + region->page_count) return false;
  const std::uint64_t began = monotonic_nanoseconds();
  counters_.faults.fetch_add(1, std::memory_order_relaxed);
  if (!make_room(1))
    die("the memory limit of ", budget_.limit_bytes(),
        " bytes is used up: what is pinned, and what is packed, leave no room for a page");
  Touch touch = touch_page(*region, page, is_write);
  for (unsigned attempt = 0; touch == Touch::NoMemory; ++attempt) {
    if (!shrink_for_machine(attempt))
      die("the machine, or its cgroup, has no memory for a page; the pager holds ",
          static_cast<std::uint64_t>(std::max<std::int64_t>(budget_.charged(), 0)),
          " pages and can give up none");
    touch = touch_page(*region, page, is_write);
  }
  stall_.add(monotonic_nanoseconds() - began);
  return touch == Touch::Done;
}

}  // namespace uzram
