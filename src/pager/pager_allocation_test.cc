// SPDX-License-Identifier: Apache-2.0
// A fault, and all that it has to do, allocates nothing: malloc itself may be what has the fault.
#include "base/counted_malloc.h"
#include "pager/pager_file_fixture.h"

namespace uzram {
namespace {

class PagerAllocation : public EveryBackend {
 protected:
  void SetUp() override {
    if (!UZ_COUNTS_ALLOCATIONS) GTEST_SKIP() << "a sanitizer owns malloc";
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, PagerAllocation, backends_with_faults(), backend_name);

TEST_P(PagerAllocation, DoesNotHappenInFaults) {
  for (const unsigned cluster_pages : {0U, 8U}) {
    PagerConfig alone = config(cluster_pages == 0 ? 8 * kMebibyte : 12 * kMebibyte);
    alone.compressor_threads = 0;  // So that this thread does everything.
    if (cluster_pages != 0) alone.algorithm = "zstd";
    alone.cluster_pages = cluster_pages;
    UZ_MAKE_PAGER(*this, alone);
    constexpr std::uint64_t kPages = 5000;
    std::byte* const start = region(kPages * kPageBytes);
    const std::size_t before = all_allocation_count;
    fill(start, kPages);
    const std::uint64_t wrong = first_wrong(start, kPages);
    fill(start, kPages, 5);
    const std::size_t after = all_allocation_count;
    EXPECT_EQ(wrong, kPages);
    EXPECT_GT(pager().stats().assisted_pages, kPages);
    EXPECT_EQ(after, before);
    EXPECT_GT(before, 0U) << "this counts nothing";
    pager_.reset();
  }
}

// Nor when a file's clusters are unpacked, and those of a shared mapping leave memory: the file is
// written by another thread.
TEST_P(PagerAllocation, DoesNotHappenInFaultsOfAMappedFile) {
  constexpr std::uint64_t kPages = 3000;
  for (const MapSharing sharing : {MapSharing::Private, MapSharing::Shared}) {
    TestClusterFile mapped;
    mapped.fill(kPages, 0, 100);
    PagerConfig quiet = config();
    quiet.compressor_threads = 0;
    UZ_MAKE_PAGER(*this, quiet);
    const auto made = pager().map_cluster_file(mapped.file, 0, (kPages + 1) * kPageBytes, sharing);
    ASSERT_TRUE(made);
    // The one who writes a shared one may: then only this thread counts.
    const std::size_t all_before = all_allocation_count;
    const std::size_t before = allocation_count;
    const std::uint64_t wrong = first_wrong(*made, kPages);
    const bool has_end = (*made)[kPages * kPageBytes + 100] == std::byte{0};
    fill(*made, kPages, 7);
    const std::size_t after = allocation_count;
    const std::size_t all_after = all_allocation_count;
    EXPECT_EQ(wrong, kPages);
    EXPECT_TRUE(has_end);
    EXPECT_EQ(after, before);
    EXPECT_TRUE(sharing == MapSharing::Shared || all_after == all_before);
    EXPECT_GT(pager().stats().file_clusters_read, kPages / 4);
    pager_.reset();
  }
}

}  // namespace
}  // namespace uzram
