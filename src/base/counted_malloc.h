// SPDX-License-Identifier: Apache-2.0
// base/counted_malloc.h: for tests, a malloc that counts its calls, also those from libraries.
//
// What:    defines malloc and its relatives for the whole program (operator new calls it too), so
//          one file of a test program includes this. With a sanitizer, or without glibc, it defines
//          none, and UZ_COUNTS_ALLOCATIONS is 0: such a test skips itself.
// Threads: allocation_count and allocations_to_failure are each thread's own; all_allocation_count
//          is of all of them.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define UZ_COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UZ_COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef UZ_COUNTS_ALLOCATIONS
#define UZ_COUNTS_ALLOCATIONS 1
#endif

namespace uzram {

inline constinit thread_local std::size_t allocation_count = 0;  // By this thread.
// Counts down to the one allocation of this thread that fails; zero: none will.
inline constinit thread_local std::size_t allocations_to_failure = 0;
inline std::atomic<std::size_t> all_allocation_count{0};  // A number alone: it publishes nothing.

// Called by every allocation. Returns: whether this one is to fail.
inline bool count_allocation() {
  ++allocation_count;
  all_allocation_count.fetch_add(1, std::memory_order_relaxed);
  return allocations_to_failure > 0 && --allocations_to_failure == 0;
}

}  // namespace uzram

#if UZ_COUNTS_ALLOCATIONS
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* old, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);
void __libc_free(void* memory);

void* malloc(std::size_t bytes) {
  if (uzram::count_allocation()) return nullptr;
  return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) {
  if (uzram::count_allocation()) return nullptr;
  return __libc_calloc(count, bytes);
}
void* realloc(void* old, std::size_t bytes) {
  if (uzram::count_allocation()) return nullptr;
  return __libc_realloc(old, bytes);
}
void* memalign(std::size_t alignment, std::size_t bytes) {
  if (uzram::count_allocation()) return nullptr;
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  if (uzram::count_allocation()) return nullptr;
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  if (uzram::count_allocation()) return ENOMEM;
  *memory = __libc_memalign(alignment, bytes);
  return *memory == nullptr ? ENOMEM : 0;
}
void free(void* memory) { __libc_free(memory); }
}
#endif
