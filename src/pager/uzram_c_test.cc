// SPDX-License-Identifier: Apache-2.0
// The pager as C sees it.
#include <climits>
#include <cstring>

#include "pager/pager_fixture.h"
#include "pager/uzram.h"

namespace uzram {
namespace {

uzram_pager* open_small(void (*change)(uzram_pager_options&) = nullptr) {
  uzram_pager_options options;
  uzram_pager_options_init(&options, 8 * kMebibyte);
  options.address_bytes = 64 * kMebibyte;
  if (change != nullptr) change(options);
  return uzram_pager_open(&options);
}

TEST(UzramC, KeepsMoreThanItsLimit) {
  uzram_pager* const pager = open_small();
  ASSERT_NE(pager, nullptr) << std::strerror(errno);
  constexpr std::uint64_t kPages = 3000;
  auto* const start =
      static_cast<std::byte*>(uzram_region_make(pager, kPages * kPageBytes, UZRAM_HINT_NORMAL));
  ASSERT_NE(start, nullptr);
  PagerFixture::fill(start, kPages);
  EXPECT_EQ(PagerFixture::first_wrong(start, kPages), kPages);
  uzram_pager_stats stats{};
  stats.struct_bytes = sizeof stats;
  ASSERT_EQ(uzram_pager_get_stats(pager, &stats), 0);
  EXPECT_GT(stats.packed_pages, 0U);
  EXPECT_EQ(stats.limit_bytes, 8 * kMebibyte);
  EXPECT_EQ(stats.total_bytes,
            stats.resident_bytes + stats.staged_bytes + stats.packed_bytes + stats.table_bytes);
  EXPECT_EQ(uzram_region_close(pager, start), 0);
  uzram_pager_close(pager);
}

TEST(UzramC, SaysErrnoAndChangesNothingElse) {
  EXPECT_EQ(open_small([](uzram_pager_options& o) { o.struct_bytes = 8; }), nullptr);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(open_small([](uzram_pager_options& o) { o.algorithm = nullptr; }), nullptr);
  EXPECT_EQ(open_small([](uzram_pager_options& o) { o.backend = 99; }), nullptr);
  EXPECT_EQ(open_small([](uzram_pager_options& o) { o.fork_rule = 2; }), nullptr);
  EXPECT_EQ(open_small([](uzram_pager_options& o) {
              o.level = 12345;
              o.algorithm = "zstd";
            }),
            nullptr);
  EXPECT_EQ(open_small([](uzram_pager_options& o) { o.cluster_pages = 8; }), nullptr)
      << "lz4 makes no clusters";
  uzram_pager* const pager = open_small();
  ASSERT_NE(pager, nullptr);
  void* const start = uzram_region_make(pager, kPageBytes, UZRAM_HINT_RANDOM);
  EXPECT_EQ(uzram_region_make(pager, 0, UZRAM_HINT_NORMAL), nullptr);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(uzram_region_make(pager, 1000 * kMebibyte, UZRAM_HINT_NORMAL), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_EQ(uzram_region_map(pager, -1, 0, 1, UZRAM_HINT_NORMAL), nullptr);
  EXPECT_EQ(errno, EBADF);
  uzram_pager_stats stats{};
  EXPECT_EQ(uzram_pager_get_stats(pager, &stats), -1);
  EXPECT_EQ(errno, EINVAL);
  errno = EXDEV;
  EXPECT_EQ(uzram_pin(pager, start, 1, 1), 0);
  EXPECT_EQ(uzram_page_out(pager, start, 1), 0);
  EXPECT_EQ(uzram_unpin(pager, start, 1), 0);
  EXPECT_EQ(uzram_prefetch(pager, start, 1), 0);
  EXPECT_EQ(uzram_advise(pager, start, UZRAM_HINT_SEQUENTIAL), 0);
  EXPECT_EQ(uzram_advise(pager, start, UZRAM_HINT_COLD), 0);
  EXPECT_EQ(uzram_drop(pager, start, kPageBytes), 0);
  EXPECT_EQ(uzram_set_memory_limit(pager, 9 * kMebibyte), 0);
  EXPECT_EQ(uzram_set_page_cluster(pager, 0), 0);
  EXPECT_EQ(uzram_set_swappiness(pager, 200), 0);
  EXPECT_EQ(errno, EXDEV);
  EXPECT_EQ(uzram_set_swappiness(pager, 201), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(uzram_unpin(pager, start, 1), -1);
  EXPECT_NE(uzram_pager_backend(pager), UZRAM_BACKEND_AUTOMATIC);
  uzram_pager_close(pager);
  uzram_pager_close(nullptr);
}

}  // namespace
}  // namespace uzram
