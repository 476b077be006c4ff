// SPDX-License-Identifier: Apache-2.0
#include "preload/paged_mappings.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace uzram {
namespace {

constexpr int kReadWrite = PROT_READ | PROT_WRITE;
constexpr std::uint64_t kPages = PagedSpace::kGranulePages;

}  // namespace

Result<std::unique_ptr<PagedMappings>> PagedMappings::create(PagedSpace& space) {
  auto mapped = SparseArray<std::uint64_t>::create(space.granule_count());
  if (!mapped) return tl::unexpected(mapped.error());
  return std::unique_ptr<PagedMappings>(new PagedMappings(space, std::move(*mapped)));
}

std::uint64_t PagedMappings::bits_in(std::uint64_t granule, std::uint64_t first,
                                     std::uint64_t end) {
  const std::uint64_t low = std::max(first, granule * kPages) - granule * kPages;
  const std::uint64_t high = std::min(end, (granule + 1) * kPages) - granule * kPages;
  const std::uint64_t count = high - low;
  return (count == kPages ? kAllPages : (std::uint64_t{1} << count) - 1) << low;
}

bool PagedMappings::is_mapped(std::uint64_t first, std::uint64_t end) {
  const MutexLock lock(mutex_);
  for (std::uint64_t granule = first / kPages; granule * kPages < end; ++granule) {
    const std::uint64_t bits = bits_in(granule, first, end);
    if ((mapped_[granule] & bits) != bits) return false;
  }
  return true;
}

bool PagedMappings::is_usable(std::uint64_t first, std::uint64_t end) {
  const MutexLock lock(mutex_);
  for (std::uint64_t granule = first / kPages; granule * kPages < end; ++granule) {
    const std::uint64_t bits = bits_in(granule, first, end);
    if ((mapped_[granule] & bits) == bits) continue;
    if (mapped_[granule] != 0 || !space_.is_granule_taken(granule)) return false;
  }
  return true;
}

void PagedMappings::set_mapped(std::uint64_t first, std::uint64_t end) {
  const MutexLock lock(mutex_);
  for (std::uint64_t granule = first / kPages; granule * kPages < end; ++granule)
    mapped_[granule] |= bits_in(granule, first, end);
}

void PagedMappings::clear_mapped(std::uint64_t first, std::uint64_t end) {
  for (std::uint64_t granule = first / kPages; granule * kPages < end; ++granule) {
    bool is_empty = false;
    {
      const MutexLock lock(mutex_);
      const std::uint64_t before = mapped_[granule];
      mapped_[granule] &= ~bits_in(granule, first, end);
      is_empty = before != 0 && mapped_[granule] == 0;
    }
    if (is_empty) space_.give(granule, 1);
  }
}

std::byte* PagedMappings::map(std::uint64_t bytes) {
  if (bytes == 0 || bytes > space_.bytes()) return nullptr;
  const std::uint64_t granules =
      round_up(bytes, PagedSpace::kGranuleBytes) / PagedSpace::kGranuleBytes;
  std::byte* const start = space_.take(granules);
  if (start == nullptr) return nullptr;
  set_mapped(page_of(start), page_of(start) + bytes_to_pages(bytes));
  return start;
}

int PagedMappings::unmap(std::byte* start, std::uint64_t bytes) {
  const std::uint64_t first = page_of(start);
  const std::uint64_t end = first + bytes_to_pages(bytes);
  // Page by page only where the range's ends cut a mapping: nobody else's pages are forgotten.
  for (std::uint64_t granule = first / kPages; granule * kPages < end; ++granule) {
    const std::uint64_t from = std::max(first, granule * kPages);
    const std::uint64_t to = std::min(end, (granule + 1) * kPages);
    if (is_mapped(from, to)) {
      space_.forget(space_.base() + from * kPageBytes, (to - from) * kPageBytes);
      continue;
    }
    for (std::uint64_t page = from; page < to; ++page)
      if (is_mapped(page, page + 1)) space_.forget(space_.base() + page * kPageBytes, kPageBytes);
  }
  clear_mapped(first, end);
  return 0;
}

int PagedMappings::protect(std::byte* start, std::uint64_t bytes, int protection) {
  const std::uint64_t length = round_up(bytes, kPageBytes);
  const std::uint64_t first = page_of(start);
  if (!is_usable(first, first + length / kPageBytes)) return ENOMEM;
  if (protection == kReadWrite) {
    space_.release(start, length, PagedSpace::Keep::Protected);
    return 0;
  }
  if (const Result<void> kept = space_.keep(start, length, PagedSpace::Keep::Protected); !kept) {
    space_.release(start, length, PagedSpace::Keep::Protected);
    return ENOMEM;
  }
  if (::mprotect(start, length, protection) == 0) return 0;
  const int code = errno;
  space_.release(start, length, PagedSpace::Keep::Protected);
  return code;
}

int PagedMappings::advise(std::byte* start, std::uint64_t bytes, int advice) {
  if (reinterpret_cast<std::uint64_t>(start) % kPageBytes != 0) return EINVAL;
  const std::uint64_t length = round_up(bytes, kPageBytes);
  if (length == 0) return 0;
  const std::uint64_t first = page_of(start);
  if (!is_usable(first, first + length / kPageBytes)) return ENOMEM;
  switch (advice) {
    case MADV_DONTNEED:
    case MADV_FREE:
      space_.forget(start, length);
      return 0;
    case MADV_WILLNEED:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE: {
      // As much as the limit has room for: the rest comes when it is touched.
      const SignalShield shield;
      static_cast<void>(space_.pager().prefetch(start, length));
      return 0;
    }
    case MADV_COLD:
    case MADV_PAGEOUT: {
      const SignalShield shield;
      static_cast<void>(space_.pager().page_out(start, length));
      return 0;
    }
    // Wishes that change nothing that a program can see.
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_DOFORK:
      return 0;
    default:
      return EINVAL;
  }
}

// The pages behind a mapping, where nobody has any.
bool PagedMappings::grow(std::byte* start, std::uint64_t old_bytes, std::uint64_t new_bytes) {
  const std::uint64_t first = page_of(start);
  const std::uint64_t old_end = first + bytes_to_pages(old_bytes);
  const std::uint64_t new_end = first + bytes_to_pages(new_bytes);
  const std::uint64_t old_granules = (old_end + kPages - 1) / kPages;
  const std::uint64_t new_granules = (new_end + kPages - 1) / kPages;
  const std::uint64_t rest_end = std::min(new_end, old_granules * kPages);
  {
    const MutexLock lock(mutex_);
    if (rest_end > old_end &&
        (mapped_[old_granules - 1] & bits_in(old_granules - 1, old_end, rest_end)) != 0)
      return false;
  }
  if (new_granules > old_granules && !space_.take_behind(old_granules, new_granules - old_granules))
    return false;
  set_mapped(old_end, new_end);
  return true;
}

std::byte* PagedMappings::remap(std::byte* start, std::uint64_t old_bytes, std::uint64_t new_bytes,
                                bool may_move, int& code) {
  old_bytes = round_up(old_bytes, kPageBytes);
  new_bytes = round_up(new_bytes, kPageBytes);
  code = EINVAL;
  if (reinterpret_cast<std::uint64_t>(start) % kPageBytes != 0 || old_bytes == 0 || new_bytes == 0)
    return nullptr;
  code = EFAULT;
  if (!is_mapped(page_of(start), page_of(start) + old_bytes / kPageBytes)) return nullptr;
  if (new_bytes <= old_bytes) {
    if (new_bytes < old_bytes) unmap(start + new_bytes, old_bytes - new_bytes);
    return start;
  }
  if (grow(start, old_bytes, new_bytes)) return start;
  code = ENOMEM;
  if (!may_move) return nullptr;
  std::byte* const moved = map(new_bytes);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, start, old_bytes);
  unmap(start, old_bytes);
  return moved;
}

int PagedMappings::map_over(std::byte* start, std::uint64_t bytes, int protection) {
  const std::uint64_t first = page_of(start);
  if (!is_mapped(first, first + bytes_to_pages(bytes))) return ENOMEM;
  space_.forget(start, round_up(bytes, kPageBytes));
  return protect(start, bytes, protection);
}

}  // namespace uzram
