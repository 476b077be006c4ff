// SPDX-License-Identifier: Apache-2.0
// mmap and its family: large private anonymous mappings for reading and writing are paged. A range
// that a program gives to one of these calls may lie half in paged memory: each half goes its way.
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>

#include "preload/interpose/runtime.h"

namespace uzram::exec {
namespace {

using MapFunction = void*(void*, std::size_t, int, int, int, off_t);

void* next_mmap(void* place, std::size_t bytes, int protection, int flags, int file, off_t offset) {
  return UZ_NEXT(MapFunction, "mmap")(place, bytes, protection, flags, file, offset);
}

// Wishes that change nothing that a program can see.
constexpr int kMayBePassedOver = MAP_NORESERVE | MAP_POPULATE;

// Whatever else is asked for (a stack, huge pages, locked pages), the kernel has to do itself.
bool is_for_us(std::size_t bytes, int protection, int flags) {
  constexpr int kWanted = MAP_PRIVATE | MAP_ANONYMOUS;
  return bytes >= settings()->mmap_threshold_bytes && protection == (PROT_READ | PROT_WRITE) &&
         (flags & ~kMayBePassedOver) == kWanted;
}

void* map_over(void* place, std::size_t bytes, int protection, int flags) {
  constexpr int kWanted = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  const InsideScope inside;
  const bool is_alike = (flags & ~kMayBePassedOver) == kWanted && is_paged(place) &&
                        is_paged(static_cast<std::byte*>(place) + bytes - 1);
  const int code =
      is_alike ? machinery()->mappings->map_over(static_cast<std::byte*>(place), bytes, protection)
               : ENOMEM;
  if (code == 0) return place;
  errno = code;
  return MAP_FAILED;
}

void* map(void* place, std::size_t bytes, int protection, int flags, int file, off_t offset) {
  if (is_inside() || settings() == nullptr)
    return next_mmap(place, bytes, protection, flags, file, offset);
  if ((flags & MAP_FIXED) != 0 && (flags & MAP_FIXED_NOREPLACE) != MAP_FIXED_NOREPLACE &&
      !is_child() && bytes != 0 && touches_paged(place, bytes))
    return map_over(place, bytes, protection, flags);
  if (is_for_us(bytes, protection, flags)) {
    if (Machinery* const all = machinery_for_new_memory()) {
      const InsideScope inside;
      if (std::byte* const mapped = all->mappings->map(bytes)) return mapped;
    }
  }
  return next_mmap(place, bytes, protection, flags, file, offset);
}

struct Parts {
  std::byte* paged = nullptr;
  std::uint64_t paged_bytes = 0;
  std::byte* before = nullptr;
  std::uint64_t before_bytes = 0;
  std::byte* behind = nullptr;
  std::uint64_t behind_bytes = 0;
};

Parts parts_of(void* start, std::uint64_t bytes) {
  auto* const low = static_cast<std::byte*>(start);
  std::byte* const high = low + round_up(bytes, kPageBytes);
  std::byte* const ours = machinery()->space->base();
  std::byte* const end = ours + machinery()->space->bytes();
  Parts parts;
  parts.before = low;
  if (low < ours) parts.before_bytes = static_cast<std::uint64_t>(ours - low);
  parts.paged = std::max(low, ours);
  parts.paged_bytes = static_cast<std::uint64_t>(std::min(high, end) - parts.paged);
  parts.behind = end;
  if (high > end) parts.behind_bytes = static_cast<std::uint64_t>(high - end);
  return parts;
}

// Whether a call is about paged memory, and ours to answer.
bool concerns_us(const void* start, std::uint64_t bytes) {
  return bytes != 0 && !is_inside() && !is_child() && touches_paged(start, bytes);
}

int answer(int code) {
  if (code == 0) return 0;
  errno = code;
  return -1;
}

// The whole call for the parts that are not paged, then for the one that is.
template <typename Next, typename Ours>
int in_parts(void* start, std::uint64_t bytes, Next next, Ours ours) {
  if (reinterpret_cast<std::uint64_t>(start) % kPageBytes != 0) return answer(EINVAL);
  const Parts parts = parts_of(start, bytes);
  if (parts.before_bytes != 0 && next(parts.before, parts.before_bytes) != 0) return -1;
  if (parts.behind_bytes != 0 && next(parts.behind, parts.behind_bytes) != 0) return -1;
  const InsideScope inside;
  return answer(ours(parts.paged, parts.paged_bytes));
}

void* remap(void* start, std::size_t old_bytes, std::size_t new_bytes, int flags) {
  if ((flags & ~MREMAP_MAYMOVE) != 0) {
    errno = EINVAL;  // To a place of the program's choice: paged memory cannot go there.
    return MAP_FAILED;
  }
  const InsideScope inside;
  int code = 0;
  std::byte* const moved = machinery()->mappings->remap(
      static_cast<std::byte*>(start), old_bytes, new_bytes, (flags & MREMAP_MAYMOVE) != 0, code);
  if (moved != nullptr) return moved;
  errno = code;
  return MAP_FAILED;
}

int lock_pages(const void* start, std::size_t bytes, bool is_locked) {
  const InsideScope inside;
  PagedSpace& space = *machinery()->space;
  if (is_locked) return space.keep(start, bytes, PagedSpace::Keep::Locked) ? 0 : answer(ENOMEM);
  space.release(start, bytes, PagedSpace::Keep::Locked);
  return 0;
}

}  // namespace
}  // namespace uzram::exec

namespace exec = uzram::exec;

UZ_EXPORT void* mmap(void* place, std::size_t bytes, int protection, int flags, int file,
                     off_t offset) noexcept {
  return exec::map(place, bytes, protection, flags, file, offset);
}
UZ_EXPORT void* mmap64(void* place, std::size_t bytes, int protection, int flags, int file,
                       off_t offset) noexcept {
  return exec::map(place, bytes, protection, flags, file, offset);
}

UZ_EXPORT int munmap(void* start, std::size_t bytes) noexcept {
  auto* const next = UZ_NEXT(int(void*, std::size_t), "munmap");
  if (!exec::concerns_us(start, bytes)) return next(start, bytes);
  return exec::in_parts(start, bytes, next, [](std::byte* part, std::uint64_t length) {
    return exec::machinery()->mappings->unmap(part, length);
  });
}

UZ_EXPORT int mprotect(void* start, std::size_t bytes, int protection) noexcept {
  auto* const next = UZ_NEXT(int(void*, std::size_t, int), "mprotect");
  if (!exec::concerns_us(start, bytes)) return next(start, bytes, protection);
  return exec::in_parts(
      start, bytes,
      [&](std::byte* part, std::uint64_t length) { return next(part, length, protection); },
      [&](std::byte* part, std::uint64_t length) {
        return exec::machinery()->mappings->protect(part, length, protection);
      });
}

UZ_EXPORT int madvise(void* start, std::size_t bytes, int advice) noexcept {
  auto* const next = UZ_NEXT(int(void*, std::size_t, int), "madvise");
  if (!exec::concerns_us(start, bytes)) return next(start, bytes, advice);
  return exec::in_parts(
      start, bytes,
      [&](std::byte* part, std::uint64_t length) { return next(part, length, advice); },
      [&](std::byte* part, std::uint64_t length) {
        return exec::machinery()->mappings->advise(part, length, advice);
      });
}

UZ_EXPORT int posix_madvise(void* start, std::size_t bytes, int advice) noexcept {
  auto* const next = UZ_NEXT(int(void*, std::size_t, int), "posix_madvise");
  // Advice, and never a change: paged memory needs none.
  return exec::concerns_us(start, bytes) ? 0 : next(start, bytes, advice);
}

UZ_EXPORT void* mremap(void* start, std::size_t old_bytes, std::size_t new_bytes, int flags,
                       ...) noexcept {
  auto* const next = UZ_NEXT(void*(void*, std::size_t, std::size_t, int, void*), "mremap");
  va_list rest;
  va_start(rest, flags);
  void* const wanted = (flags & MREMAP_FIXED) != 0 ? va_arg(rest, void*) : nullptr;
  va_end(rest);
  if (exec::concerns_us(start, old_bytes)) return exec::remap(start, old_bytes, new_bytes, flags);
  if (wanted != nullptr && exec::concerns_us(wanted, new_bytes)) {
    errno = EINVAL;
    return MAP_FAILED;
  }
  return next(start, old_bytes, new_bytes, flags, wanted);
}

UZ_EXPORT int mlock(const void* start, std::size_t bytes) noexcept {
  if (exec::concerns_us(start, bytes)) return exec::lock_pages(start, bytes, true);
  return UZ_NEXT(int(const void*, std::size_t), "mlock")(start, bytes);
}
UZ_EXPORT int mlock2(const void* start, std::size_t bytes, unsigned flags) noexcept {
  if (exec::concerns_us(start, bytes)) return exec::lock_pages(start, bytes, true);
  return UZ_NEXT(int(const void*, std::size_t, unsigned), "mlock2")(start, bytes, flags);
}
UZ_EXPORT int munlock(const void* start, std::size_t bytes) noexcept {
  if (exec::concerns_us(start, bytes)) return exec::lock_pages(start, bytes, false);
  return UZ_NEXT(int(const void*, std::size_t), "munlock")(start, bytes);
}

// All of a program's memory in memory is what a limit is there to prevent.
UZ_EXPORT int mlockall(int flags) noexcept {
  if (exec::settings() == nullptr) return UZ_NEXT(int(int), "mlockall")(flags);
  errno = EPERM;
  return -1;
}
