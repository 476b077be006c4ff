// SPDX-License-Identifier: Apache-2.0
// malloc and its family: large blocks are paged, all others are of the allocator behind us (libc's,
// or the program's own).
#include <dlfcn.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "preload/interpose/runtime.h"

namespace uzram::exec {
namespace {

// dlsym may allocate before anything is known.
alignas(64) std::array<std::byte, 16384> early_memory;
std::atomic<std::size_t> early_used{0};

bool is_early(const void* block) {
  return block >= early_memory.data() && block < early_memory.data() + early_memory.size();
}
void* early_block(std::size_t bytes) {
  const std::size_t whole = round_up(bytes + 16, 16);
  const std::size_t place = early_used.fetch_add(whole, std::memory_order_relaxed);
  if (place + whole > early_memory.size()) give_up("no memory at the start for", "dlsym");
  std::memcpy(early_memory.data() + place, &bytes, sizeof bytes);
  return early_memory.data() + place + 16;
}
std::size_t early_bytes(const void* block) {
  std::size_t bytes = 0;
  std::memcpy(&bytes, static_cast<const std::byte*>(block) - 16, sizeof bytes);
  return bytes;
}

struct Allocator {
  void* (*malloc)(std::size_t);
  void (*free)(void*);
  void* (*calloc)(std::size_t, std::size_t);
  void* (*realloc)(void*, std::size_t);
  void* (*memalign)(std::size_t, std::size_t);
  std::size_t (*usable)(void*);
};
Allocator next;
// Release: `next` is whole.
std::atomic<bool> has_next{false};
thread_local bool is_finding __attribute__((tls_model("initial-exec"))) = false;

// Whether the allocator behind us is known. False: this call comes from looking for it.
bool find_allocator() {
  if (has_next.load(std::memory_order_acquire)) return true;
  if (is_finding) return false;
  is_finding = true;
  Allocator found{};
  found.malloc = reinterpret_cast<void* (*)(std::size_t)>(find_next("malloc"));
  found.free = reinterpret_cast<void (*)(void*)>(find_next("free"));
  found.calloc = reinterpret_cast<void* (*)(std::size_t, std::size_t)>(find_next("calloc"));
  found.realloc = reinterpret_cast<void* (*)(void*, std::size_t)>(find_next("realloc"));
  found.memalign = reinterpret_cast<void* (*)(std::size_t, std::size_t)>(find_next("memalign"));
  found.usable = reinterpret_cast<std::size_t (*)(void*)>(find_next("malloc_usable_size"));
  // Two threads would find the same.
  next = found;
  has_next.store(true, std::memory_order_release);
  is_finding = false;
  return true;
}

// A block of paged memory, or null: it is none of ours.
BlockHeap::Block paged_block(std::size_t bytes, std::size_t alignment, const void* caller) {
  if (is_inside()) return {};
  const ExecSettings* const wanted = settings();
  if (wanted == nullptr || bytes < wanted->threshold_bytes || is_libc_code(caller)) return {};
  Machinery* const all = machinery_for_new_memory();
  if (all == nullptr) return {};
  const InsideScope inside;
  return all->heap->allocate(bytes, alignment);
}

// Other allocators get their memory from mmap, so that their blocks may be paged as well.
bool is_our_block(const void* block) { return is_paged(block) && machinery()->heap->owns(block); }

void free_paged(void* block) {
  // In a child the records are the parent's, and its memory is given back as a whole.
  if (is_child()) return;
  const InsideScope inside;
  const int code = errno;
  machinery()->heap->free(static_cast<std::byte*>(block));
  errno = code;
}

std::size_t usable_bytes(void* block) {
  if (block == nullptr) return 0;
  if (is_early(block)) return early_bytes(block);
  if (is_our_block(block)) return machinery()->heap->usable_bytes(static_cast<std::byte*>(block));
  return find_allocator() ? next.usable(block) : 0;
}

void* allocate(std::size_t bytes, const void* caller) {
  if (const auto block = paged_block(bytes, 1, caller); block.start != nullptr) return block.start;
  return find_allocator() ? next.malloc(bytes) : early_block(bytes);
}

void release(void* block) {
  if (block == nullptr || is_early(block)) return;
  if (is_our_block(block))
    free_paged(block);
  else if (find_allocator())
    next.free(block);
}

void* allocate_aligned(std::size_t alignment, std::size_t bytes, const void* caller) {
  if (std::has_single_bit(alignment)) {
    if (const auto block = paged_block(bytes, alignment, caller); block.start != nullptr)
      return block.start;
  }
  if (!find_allocator()) give_up("an aligned block at the start for", "dlsym");
  return next.memalign(alignment, bytes);
}

void* reallocate(void* block, std::size_t bytes, const void* caller) {
  if (block == nullptr) return allocate(bytes, caller);
  const std::size_t least = settings() != nullptr ? settings()->threshold_bytes : ~std::size_t{0};
  const bool was_paged = is_our_block(block);
  if (was_paged && bytes == 0) {
    free_paged(block);
    return nullptr;
  }
  if (was_paged && bytes >= least && !is_child()) {
    const InsideScope inside;
    if (machinery()->heap->try_resize(static_cast<std::byte*>(block), bytes)) return block;
  }
  // Libc's own blocks grow where they are, as long as they are small.
  if (!was_paged && !is_early(block) && (bytes < least || is_inside() || is_libc_code(caller)))
    return find_allocator() ? next.realloc(block, bytes) : nullptr;
  void* const fresh = allocate(bytes, caller);
  if (fresh == nullptr) return nullptr;
  std::memcpy(fresh, block, std::min(bytes, usable_bytes(block)));
  release(block);
  return fresh;
}

}  // namespace
}  // namespace uzram::exec

namespace exec = uzram::exec;

UZ_EXPORT void* malloc(std::size_t bytes) {
  return exec::allocate(bytes, __builtin_return_address(0));
}

UZ_EXPORT void free(void* block) { exec::release(block); }

UZ_EXPORT void* calloc(std::size_t count, std::size_t bytes) {
  std::size_t whole = 0;
  if (__builtin_mul_overflow(count, bytes, &whole)) {
    errno = ENOMEM;
    return nullptr;
  }
  const auto block = exec::paged_block(whole, 1, __builtin_return_address(0));
  if (block.start != nullptr) {
    if (!block.is_zero) std::memset(block.start, 0, whole);
    return block.start;
  }
  return exec::find_allocator() ? exec::next.calloc(count, bytes) : exec::early_block(whole);
}

UZ_EXPORT void* realloc(void* block, std::size_t bytes) {
  return exec::reallocate(block, bytes, __builtin_return_address(0));
}

UZ_EXPORT void* reallocarray(void* block, std::size_t count, std::size_t bytes) {
  std::size_t whole = 0;
  if (__builtin_mul_overflow(count, bytes, &whole)) {
    errno = ENOMEM;
    return nullptr;
  }
  return exec::reallocate(block, whole, __builtin_return_address(0));
}

UZ_EXPORT int posix_memalign(void** place, std::size_t alignment, std::size_t bytes) {
  if (!std::has_single_bit(alignment) || alignment % sizeof(void*) != 0) return EINVAL;
  void* const block = exec::allocate_aligned(alignment, bytes, __builtin_return_address(0));
  if (block == nullptr) return ENOMEM;
  *place = block;
  return 0;
}

UZ_EXPORT void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return exec::allocate_aligned(alignment, bytes, __builtin_return_address(0));
}

UZ_EXPORT void* memalign(std::size_t alignment, std::size_t bytes) {
  return exec::allocate_aligned(alignment, bytes, __builtin_return_address(0));
}

UZ_EXPORT void* valloc(std::size_t bytes) {
  return exec::allocate_aligned(uzram::kPageBytes, bytes, __builtin_return_address(0));
}

UZ_EXPORT void* pvalloc(std::size_t bytes) {
  return exec::allocate_aligned(uzram::kPageBytes, uzram::round_up(bytes, uzram::kPageBytes),
                                __builtin_return_address(0));
}

UZ_EXPORT std::size_t malloc_usable_size(void* block) { return exec::usable_bytes(block); }
