// SPDX-License-Identifier: Apache-2.0
// backing/sparse_array.h: a large array of zeros in private memory, of which only touched pages
// cost anything.
//
// Owns:   the memory, for the life of the object.
// Errors: the constructor throws std::bad_alloc.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

namespace uzram {

template <typename T>
class SparseArray {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  explicit SparseArray(std::uint64_t count) : bytes_(count * sizeof(T)) {
    void* memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    items_ = static_cast<T*>(memory);
  }
  ~SparseArray() { ::munmap(items_, bytes_); }
  SparseArray(const SparseArray&) = delete;
  SparseArray& operator=(const SparseArray&) = delete;

  [[nodiscard]] T& operator[](std::uint64_t index) const { return items_[index]; }

 private:
  const std::uint64_t bytes_;
  T* items_ = nullptr;
};

}  // namespace uzram
