// SPDX-License-Identifier: Apache-2.0
// base/sparse_array.h: a large zeroed array that costs memory only where it is written.
//
// What:    private anonymous pages, made when first touched, never swapped for huge ones. Not in
//          core dumps. Not here: what must outlive a crash (pool/arena.h).
// Shapes:  T for which all-zero bytes are a valid value.
// Errors:  create -> ENOMEM for addresses; memory itself is taken on first touch.
// Threads: elements are synchronized by their owners.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <memory>
#include <type_traits>

#include "base/check.h"
#include "base/result.h"
#include "base/units.h"

namespace uzram {

template <typename T>
class SparseArray {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  static Result<SparseArray> create(std::uint64_t count) {
    const std::size_t bytes = round_up(count * sizeof(T) + 1, kPageBytes);
    void* place = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED) return fail_errno();
    ::madvise(place, bytes, MADV_NOHUGEPAGE);
    ::madvise(place, bytes, MADV_DONTDUMP);
    return SparseArray(static_cast<T*>(place), count, bytes);
  }

  [[nodiscard]] T& operator[](std::uint64_t index) const {
    UZ_DCHECK(index < count_);
    return elements_.get()[index];
  }
  [[nodiscard]] T* data() const { return elements_.get(); }
  [[nodiscard]] std::uint64_t size() const { return count_; }

 private:
  struct Unmap {
    std::size_t bytes;
    void operator()(T* place) const { ::munmap(place, bytes); }
  };
  SparseArray(T* place, std::uint64_t count, std::size_t bytes)
      : elements_(place, Unmap{bytes}), count_(count) {}

  std::unique_ptr<T[], Unmap> elements_;
  std::uint64_t count_;
};

}  // namespace uzram
