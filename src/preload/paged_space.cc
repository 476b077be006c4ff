// SPDX-License-Identifier: Apache-2.0
#include "preload/paged_space.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "base/check.h"

namespace uzram {
namespace {

constexpr std::uint64_t kWordBits = 64;

// The kernel's own set, which has the signals that libc keeps to itself as well.
std::uint64_t exchange_mask(int how, std::uint64_t set) {
  std::uint64_t former = 0;
  UZ_CHECK(::syscall(SYS_rt_sigprocmask, how, &set, &former, sizeof set) == 0);
  return former;
}

constexpr std::uint64_t bit_of(int signal) { return std::uint64_t{1} << (signal - 1); }

}  // namespace

SignalShield::SignalShield() {
  constexpr std::uint64_t kOwnFaults = bit_of(SIGBUS) | bit_of(SIGSEGV) | bit_of(SIGFPE) |
                                       bit_of(SIGILL) | bit_of(SIGTRAP) | bit_of(SIGABRT);
  former_ = exchange_mask(SIG_SETMASK, ~kOwnFaults);
}

SignalShield::~SignalShield() { exchange_mask(SIG_SETMASK, former_); }

Result<std::unique_ptr<PagedSpace>> PagedSpace::create(const PagerConfig& config) {
  auto pager = Pager::create(config);
  if (!pager) return tl::unexpected(pager.error());
  const Result<std::byte*> first = (*pager)->make_region(kRegionBytes);
  if (!first) return tl::unexpected(first.error());
  const auto start = reinterpret_cast<std::uint64_t>(*first);
  const std::uint64_t lost = round_up(start, kMostAlignment) - start;
  const std::uint64_t bytes =
      (config.address_bytes / kRegionBytes * kRegionBytes - lost) / kGranuleBytes * kGranuleBytes;
  auto taken = SparseArray<std::uint64_t>::create(bytes / kGranuleBytes / kWordBits + 1);
  if (!taken) return tl::unexpected(taken.error());
  auto kept = SparseArray<std::uint8_t>::create(bytes / kPageBytes);
  if (!kept) return tl::unexpected(kept.error());
  return std::unique_ptr<PagedSpace>(new PagedSpace(std::move(*pager), config.memory_limit_bytes,
                                                    *first + lost, bytes, kRegionBytes - lost,
                                                    std::move(*taken), std::move(*kept)));
}

PagedSpace::PagedSpace(std::unique_ptr<Pager> pager, std::uint64_t limit_bytes, std::byte* base,
                       std::uint64_t bytes, std::uint64_t open_bytes,
                       SparseArray<std::uint64_t> taken, SparseArray<std::uint8_t> kept)
    : pager_(std::move(pager)),
      limit_bytes_(limit_bytes),
      base_(base),
      bytes_(bytes),
      kept_(std::move(kept)),
      taken_(std::move(taken)),
      open_bytes_(open_bytes) {}

bool PagedSpace::is_taken(std::uint64_t granule) const {
  return (taken_[granule / kWordBits] >> granule % kWordBits & 1U) != 0;
}

void PagedSpace::mark(std::uint64_t first, std::uint64_t granules, bool is) {
  for (std::uint64_t i = first; i < first + granules; ++i) {
    const std::uint64_t bit = std::uint64_t{1} << i % kWordBits;
    std::uint64_t& word = taken_[i / kWordBits];
    UZ_CHECK(((word & bit) != 0) != is);
    word ^= bit;
  }
  if (is)
    taken_count_.fetch_add(granules, std::memory_order_relaxed);
  else
    taken_count_.fetch_sub(granules, std::memory_order_relaxed);
  if (!is) search_from_ = std::min(search_from_, first);
}

// Makes regions until they reach that far. Regions lie behind each other, unless somebody else has
// put one there: then there are no more addresses.
bool PagedSpace::open_up_to(std::uint64_t granule_end) {
  while (open_bytes_ < granule_end * kGranuleBytes) {
    const Result<std::byte*> made = pager_->make_region(kRegionBytes);
    if (!made) return false;
    if (*made != base_ + open_bytes_) {
      static_cast<void>(pager_->close_region(*made));
      return false;
    }
    open_bytes_ += kRegionBytes;
  }
  return true;
}

std::byte* PagedSpace::take(std::uint64_t granules, std::uint64_t alignment) {
  UZ_CHECK(granules != 0 && alignment <= kMostAlignment);
  const std::uint64_t step = std::max<std::uint64_t>(alignment / kGranuleBytes, 1);
  const std::uint64_t end = granule_count();
  const MutexLock lock(mutex_);
  while (search_from_ < end && is_taken(search_from_)) ++search_from_;
  std::uint64_t first = round_up(search_from_, step);
  std::uint64_t length = 0;
  while (length < granules) {
    const std::uint64_t next = first + length;
    if (next >= end) return nullptr;
    if (next % kWordBits == 0 && taken_[next / kWordBits] == ~std::uint64_t{0}) {
      first = next + kWordBits;  // A multiple of every step.
      length = 0;
    } else if (is_taken(next)) {
      first = round_up(next + 1, step);
      length = 0;
    } else {
      ++length;
    }
  }
  if (!open_up_to(first + granules)) return nullptr;
  mark(first, granules, true);
  return address_of(first);
}

bool PagedSpace::take_behind(std::uint64_t first, std::uint64_t granules) {
  const MutexLock lock(mutex_);
  if (first + granules > granule_count()) return false;
  for (std::uint64_t i = first; i < first + granules; ++i)
    if (is_taken(i)) return false;
  if (!open_up_to(first + granules)) return false;
  mark(first, granules, true);
  return true;
}

void PagedSpace::give(std::uint64_t first, std::uint64_t granules) {
  forget(address_of(first), granules * kGranuleBytes);
  const MutexLock lock(mutex_);
  mark(first, granules, false);
}

void PagedSpace::forget(std::byte* start, std::uint64_t bytes) {
  const std::uint64_t first = bytes_to_pages(offset_of(start));
  const std::uint64_t end = (offset_of(start) + bytes) / kPageBytes;
  if (first >= end) return;
  release_pages(first, end, 0xff);
  std::byte* const place = base_ + first * kPageBytes;
  {
    const SignalShield shield;
    if (pager_->drop(place, (end - first) * kPageBytes)) return;
  }
  // Some of it is pinned by a call of another thread.
  for (std::uint64_t page = first; page < end; ++page) {
    std::byte* const each = base_ + page * kPageBytes;
    bool is_dropped = false;
    {
      const SignalShield shield;
      is_dropped = pager_->drop(each, kPageBytes).has_value();
    }
    if (!is_dropped) std::memset(each, 0, kPageBytes);
  }
}

Result<void> PagedSpace::keep(const void* start, std::uint64_t bytes, Keep reason) {
  if (bytes >= limit_bytes_) return fail(ENOMEM);
  const auto bit = static_cast<std::uint8_t>(reason);
  const std::uint64_t first = offset_of(start) / kPageBytes;
  const std::uint64_t end = bytes_to_pages(offset_of(start) + bytes);
  const SignalShield shield;
  const MutexLock lock(keep_mutex_);
  std::uint64_t page = first;
  Result<void> done;
  for (; page < end; ++page) {
    if ((kept_[page] & bit) != 0) continue;
    done = pager_->pin(base_ + page * kPageBytes, kPageBytes, true);
    if (!done) break;
    kept_[page] |= bit;
    kept_count_.fetch_add(1, std::memory_order_relaxed);
  }
  return done;
}

void PagedSpace::release(const void* start, std::uint64_t bytes, Keep reason) {
  release_pages(offset_of(start) / kPageBytes, bytes_to_pages(offset_of(start) + bytes),
                static_cast<unsigned>(reason));
}

void PagedSpace::release_pages(std::uint64_t first, std::uint64_t end, unsigned reasons) {
  if (kept_count_.load(std::memory_order_relaxed) == 0) return;
  const SignalShield shield;
  const MutexLock lock(keep_mutex_);
  for (std::uint64_t page = first; page < end; ++page) {
    const unsigned leaving = kept_[page] & reasons;
    if (leaving == 0) continue;
    std::byte* const place = base_ + page * kPageBytes;
    if ((leaving & static_cast<unsigned>(Keep::Protected)) != 0)
      UZ_CHECK(::mprotect(place, kPageBytes, PROT_READ | PROT_WRITE) == 0);
    for (const Keep each : {Keep::Protected, Keep::Locked}) {
      if ((leaving & static_cast<unsigned>(each)) == 0) continue;
      UZ_CHECK(pager_->unpin(place, kPageBytes).has_value());
      kept_count_.fetch_sub(1, std::memory_order_relaxed);
    }
    kept_[page] = static_cast<std::uint8_t>(kept_[page] & ~leaving);
  }
}

bool PagedSpace::is_kept(const void* address, Keep reason) const {
  return contains(address) &&
         (kept_[offset_of(address) / kPageBytes] & static_cast<unsigned>(reason)) != 0;
}

}  // namespace uzram
