// SPDX-License-Identifier: Apache-2.0
// pager/pager_fixture.h: a pager in tests, one for each backend that this machine allows.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/units.h"
#include "pager/pager.h"
#include "pager/probe.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UZ_PAGER_UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UZ_PAGER_UNDER_SANITIZER 1
#endif
#endif
#ifndef UZ_PAGER_UNDER_SANITIZER
#define UZ_PAGER_UNDER_SANITIZER 0
#endif

namespace uzram {

inline constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20;

template <typename T>
int errno_of(const Result<T>& result) {
  return result ? 0 : result.error().code;
}

inline std::string name_of(PagerBackend backend) {
  switch (backend) {
    case PagerBackend::Automatic:
      return "Automatic";
    case PagerBackend::Move:
      return "Move";
    case PagerBackend::Protect:
      return "Protect";
    case PagerBackend::Signal:
      return "Signal";
    case PagerBackend::Explicit:
      return "Explicit";
    case PagerBackend::Strict:
      return "Strict";
  }
  return "";
}

// The same content for the same page and seed: packs to about a fifth.
inline void fill_test_page(std::byte* page, std::uint64_t seed) {
  Random random(seed);
  for (std::size_t i = 0; i < kPageBytes; i += sizeof(std::uint64_t)) {
    const std::uint64_t word = i % 64 == 0 ? random.next() : seed;
    std::memcpy(page + i, &word, sizeof word);
  }
}
[[nodiscard]] inline bool is_test_page(const std::byte* page, std::uint64_t seed) {
  std::array<std::byte, kPageBytes> wanted;
  fill_test_page(wanted.data(), seed);
  return std::memcmp(page, wanted.data(), kPageBytes) == 0;
}
[[nodiscard]] inline bool is_zero_page(const std::byte* page) {
  for (std::size_t i = 0; i < kPageBytes; ++i)
    if (page[i] != std::byte{0}) return false;
  return true;
}

class PagerFixture {
 public:
  static PagerConfig config_of(PagerBackend backend, std::uint64_t limit_bytes = 8 * kMebibyte) {
    PagerConfig config;
    config.backend = backend;
    config.memory_limit_bytes = limit_bytes;
    config.address_bytes = 256 * kMebibyte;
    return config;
  }
  // Returns: whether there is one now; false after a skip, by name, where this machine allows none.
  bool make(const PagerConfig& config) {
    auto made = Pager::create(config);
    const bool is_strict = config.backend == PagerBackend::Strict;
    if (!made && made.error().code == (is_strict ? strict_refusal() : ENOSYS)) return false;
    EXPECT_TRUE(made.has_value()) << std::strerror(errno_of(made));
    if (made) pager_ = std::move(*made);
    return pager_ != nullptr;
  }
  std::byte* region(std::uint64_t bytes, AccessHint hint = AccessHint::Normal) {
    auto made = pager_->make_region(bytes, hint);
    EXPECT_TRUE(made.has_value()) << std::strerror(errno_of(made));
    return made ? *made : nullptr;
  }
  static void fill(std::byte* start, std::uint64_t pages, std::uint64_t seed = 0) {
    for (std::uint64_t page = 0; page < pages; ++page)
      fill_test_page(start + page * kPageBytes, seed + page);
  }
  // Returns: the first page that is not as fill() has left it; `pages` when all are.
  static std::uint64_t first_wrong(const std::byte* start, std::uint64_t pages,
                                   std::uint64_t seed = 0) {
    for (std::uint64_t page = 0; page < pages; ++page)
      if (!is_test_page(start + page * kPageBytes, seed + page)) return page;
    return pages;
  }
  Pager& pager() { return *pager_; }
  std::unique_ptr<Pager> pager_;
};

// Skips by name what this machine does not allow.
#define UZ_MAKE_PAGER(fixture, config)                                                      \
  if (!(fixture).make(config))                                                              \
  GTEST_SKIP() << "this machine, or user, has no userfaultfd that could serve the backend " \
               << name_of((config).backend)

// Those that bring a page when it is touched.
inline auto backends_with_faults() {
  return ::testing::Values(PagerBackend::Move, PagerBackend::Protect, PagerBackend::Signal,
                           PagerBackend::Strict);
}

class EveryBackend : public ::testing::TestWithParam<PagerBackend>, public PagerFixture {
 protected:
  static PagerConfig config(std::uint64_t limit_bytes = 8 * kMebibyte) {
    return config_of(GetParam(), limit_bytes);
  }
};

inline std::string backend_name(const ::testing::TestParamInfo<PagerBackend>& info) {
  return name_of(info.param);
}

}  // namespace uzram
