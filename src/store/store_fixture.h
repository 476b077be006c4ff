// SPDX-License-Identifier: Apache-2.0
// store/store_fixture.h: a store in tests: pages to put in, and a second look at the arena's bytes.
//
// What: page makers, a store of a given algorithm, reopening as after a crash, and ArenaView, which
//       finds slot words and objects through the memfd alone, as recovery does.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "base/file_descriptor.h"
#include "codec/page_kinds.h"
#include "store/arena_header.h"
#include "store/store.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UZ_UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UZ_UNDER_SANITIZER 1
#endif
#endif
#ifndef UZ_UNDER_SANITIZER
#define UZ_UNDER_SANITIZER 0
#endif

namespace uzram {

using Page = std::array<std::byte, kPageBytes>;

inline Page page_of(PageKind kind, std::uint64_t seed) {
  Page page;
  PageMaker(seed).fill(kind, page);
  return page;
}

inline Page filled_page(std::uint64_t pattern) {
  Page page;
  for (std::size_t i = 0; i < kPageBytes; i += sizeof pattern)
    std::memcpy(page.data() + i, &pattern, sizeof pattern);
  return page;
}

// Random bytes, then zeros: packs to little more than random_bytes with every codec.
inline Page page_with_random_bytes(std::size_t random_bytes, std::uint64_t seed) {
  Page page{};
  Random random(seed);
  for (std::size_t i = 0; i < random_bytes; ++i) page[i] = static_cast<std::byte>(random.next());
  return page;
}

inline StoreConfig config_of(std::string_view algorithm, std::uint64_t disk_pages) {
  StoreConfig config;
  config.disk_pages = disk_pages;
  config.codecs[0].info = find_codec(algorithm);
  EXPECT_NE(config.codecs[0].info, nullptr) << algorithm;
  return config;
}

inline std::unique_ptr<Store> make_store(const StoreConfig& config, std::size_t lane_count = 4) {
  auto store = Store::create(config, lane_count);
  EXPECT_TRUE(store.has_value()) << std::strerror(store ? 0 : store.error().code);
  return store ? std::move(*store) : nullptr;
}

inline FileDescriptor duplicate(int descriptor) { return FileDescriptor(::dup(descriptor)); }

// The arena through new eyes. The store that it belongs to must not be used afterwards.
inline std::unique_ptr<Store> reopen(const Store& store, std::size_t lane_count = 4) {
  auto opened = Store::open(duplicate(store.arena_descriptor()), lane_count);
  EXPECT_TRUE(opened.has_value()) << std::strerror(opened ? 0 : opened.error().code);
  return opened ? std::move(*opened) : nullptr;
}

inline std::uint64_t resident_bytes_of(int memfd) {
  struct stat status {};
  EXPECT_EQ(::fstat(memfd, &status), 0);
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

// The words of the store's errors are errno values; 0 says success.
template <typename T>
int code_of(const Result<T>& result) {
  return result ? 0 : result.error().code;
}

inline Page read_page_of(Store& store, std::uint64_t page) {
  Page out;
  out.fill(std::byte{0xee});
  EXPECT_EQ(code_of(store.read({page}, out)), 0) << "page " << page;
  return out;
}

class ArenaView {
 public:
  ArenaView(const StoreConfig& config, int memfd)
      : layout_(make_layout(config).value()),
        base_(static_cast<std::byte*>(::mmap(nullptr, layout_.arena_bytes, PROT_READ | PROT_WRITE,
                                             MAP_SHARED | MAP_NORESERVE, memfd, 0))) {
    EXPECT_NE(static_cast<void*>(base_), MAP_FAILED);
  }
  explicit ArenaView(const Store& store) : ArenaView(store.config(), store.arena_descriptor()) {}
  ~ArenaView() { ::munmap(base_, layout_.arena_bytes); }
  ArenaView(const ArenaView&) = delete;
  ArenaView& operator=(const ArenaView&) = delete;

  [[nodiscard]] const ArenaLayout& layout() const { return layout_; }
  [[nodiscard]] std::byte* base() const { return base_; }
  [[nodiscard]] SlotWord word(std::uint64_t page) const {
    std::uint64_t bits = 0;
    std::memcpy(&bits, slot(page), sizeof bits);
    return SlotWord(bits);
  }
  void set_word(std::uint64_t page, SlotWord word) const {
    const std::uint64_t bits = word.bits();
    std::memcpy(slot(page), &bits, sizeof bits);
  }
  // The first byte of the page's object.
  [[nodiscard]] std::byte* object(std::uint64_t page) const {
    return base_ + layout_.pool_offset + word(page).handle().value * kClassStepBytes;
  }

 private:
  [[nodiscard]] std::byte* slot(std::uint64_t page) const {
    return base_ + layout_.table_offset + page * sizeof(std::uint64_t);
  }
  const ArenaLayout layout_;
  std::byte* const base_;
};

}  // namespace uzram
