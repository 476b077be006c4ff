// SPDX-License-Identifier: Apache-2.0
#include "preload/paged_mappings.h"

#include <sys/mman.h>

#include <csetjmp>
#include <csignal>

#include "preload/preload_fixture.h"

namespace uzram {
namespace {

constexpr std::uint64_t kMebi = std::uint64_t{1} << 20;
constexpr int kReadWrite = PROT_READ | PROT_WRITE;

class PagedMappingsTest : public testing::Test {
 protected:
  const std::unique_ptr<PagedSpace> space = make_space();
  const std::unique_ptr<PagedMappings> mappings = *PagedMappings::create(*space);
};

TEST_F(PagedMappingsTest, MapsZerosAndGivesPartsBack) {
  std::byte* const place = mappings->map(kMebi);
  EXPECT_TRUE(is_all(place, kMebi, 0));
  std::memset(place, 1, kMebi);
  EXPECT_EQ(0, mappings->unmap(place + 100 * kPageBytes, 28 * kPageBytes));
  EXPECT_TRUE(is_all(place, 100 * kPageBytes, 1));
  EXPECT_TRUE(is_all(place + 128 * kPageBytes, kMebi - 128 * kPageBytes, 1));
  EXPECT_EQ(kMebi, space->taken_bytes());
  EXPECT_EQ(0, mappings->unmap(place + 64 * kPageBytes, 64 * kPageBytes));
  EXPECT_EQ(kMebi - PagedSpace::kGranuleBytes, space->taken_bytes());
  EXPECT_EQ(0, mappings->unmap(place, kMebi));
  EXPECT_EQ(0U, space->taken_bytes());
  EXPECT_EQ(place, mappings->map(kMebi));
  EXPECT_TRUE(is_all(place, kMebi, 0));
}

TEST_F(PagedMappingsTest, RemapsInPlaceOrMoves) {
  std::byte* const place = mappings->map(kMebi);
  std::memset(place, 2, kMebi);
  int code = 0;
  EXPECT_EQ(place, mappings->remap(place, kMebi, 3 * kMebi, false, code));
  EXPECT_TRUE(is_all(place, kMebi, 2));
  EXPECT_TRUE(is_all(place + kMebi, 2 * kMebi, 0));
  std::byte* const wall = mappings->map(kMebi);
  EXPECT_EQ(place + 3 * kMebi, wall);
  EXPECT_EQ(nullptr, mappings->remap(place, 3 * kMebi, 4 * kMebi, false, code));
  EXPECT_EQ(ENOMEM, code);
  std::byte* const moved = mappings->remap(place, 3 * kMebi, 4 * kMebi, true, code);
  EXPECT_EQ(wall + kMebi, moved);
  EXPECT_TRUE(is_all(moved, kMebi, 2));
  EXPECT_EQ(moved, mappings->remap(moved, 4 * kMebi, kPageBytes, true, code));
  EXPECT_TRUE(is_all(moved, kPageBytes, 2));
  EXPECT_EQ(nullptr, mappings->remap(place, kMebi, 2 * kMebi, true, code));
  EXPECT_EQ(EFAULT, code);
}

TEST_F(PagedMappingsTest, AdviceForgetsOrPutsAway) {
  std::byte* const place = mappings->map(kMebi);
  std::memset(place, 3, kMebi);
  EXPECT_EQ(0, mappings->advise(place, 4 * kPageBytes, MADV_DONTNEED));
  EXPECT_TRUE(is_all(place, 4 * kPageBytes, 0));
  EXPECT_EQ(0, mappings->advise(place, kMebi, MADV_PAGEOUT));
  EXPECT_TRUE(is_all(place + 4 * kPageBytes, kMebi - 4 * kPageBytes, 3));
  EXPECT_EQ(0, mappings->advise(place, kMebi, MADV_HUGEPAGE));
  EXPECT_EQ(0, mappings->advise(place, kMebi, MADV_PAGEOUT));
  EXPECT_EQ(0, mappings->advise(place, kMebi, MADV_POPULATE_READ));
  EXPECT_GE(space->pager().stats().resident_bytes, kMebi - 4 * kPageBytes);
  EXPECT_EQ(EINVAL, mappings->advise(place, kMebi, MADV_DONTFORK));
  EXPECT_EQ(EINVAL, mappings->advise(place + 1, kMebi, MADV_DONTNEED));
  EXPECT_EQ(ENOMEM, mappings->advise(place, 2 * kMebi, MADV_DONTNEED));
}

TEST_F(PagedMappingsTest, PagesOfAHeapCanBeProtectedAndForgotten) {
  std::byte* const block = space->take(2);
  std::memset(block, 8, kPageBytes);
  EXPECT_EQ(0, mappings->protect(block, kPageBytes, PROT_READ));
  EXPECT_TRUE(is_all(block, kPageBytes, 8));
  EXPECT_EQ(0, mappings->protect(block, kPageBytes, kReadWrite));
  EXPECT_EQ(0, mappings->advise(block, kPageBytes, MADV_DONTNEED));
  EXPECT_TRUE(is_all(block, kPageBytes, 0));
}

sigjmp_buf after_fault;

TEST_F(PagedMappingsTest, ProtectedPagesKeepTheirContentAndTheirRule) {
  std::byte* const place = mappings->map(kMebi);
  std::memset(place, 4, kMebi);
  EXPECT_EQ(0, mappings->protect(place + kPageBytes, 2 * kPageBytes, PROT_READ));
  EXPECT_TRUE(space->is_protected(place + kPageBytes));
  EXPECT_EQ(0, mappings->advise(place, kMebi, MADV_PAGEOUT));
  EXPECT_TRUE(is_all(place, kMebi, 4));
  struct sigaction fault {};
  struct sigaction former {};
  fault.sa_handler = [](int) { siglongjmp(after_fault, 1); };
  ASSERT_EQ(0, ::sigaction(SIGSEGV, &fault, &former));
  volatile bool was_written = false;
  if (sigsetjmp(after_fault, 1) == 0) {
    place[kPageBytes] = std::byte{9};
    was_written = true;
  }
  ASSERT_EQ(0, ::sigaction(SIGSEGV, &former, nullptr));
  EXPECT_FALSE(was_written);
  EXPECT_EQ(0, mappings->protect(place, kMebi, kReadWrite));
  EXPECT_FALSE(space->is_protected(place + kPageBytes));
  std::memset(place, 5, kMebi);
  EXPECT_TRUE(is_all(place, kMebi, 5));
  EXPECT_EQ(ENOMEM, mappings->protect(place, 2 * kMebi, PROT_READ));
}

TEST_F(PagedMappingsTest, UnmappingProtectedPagesMakesThemOrdinaryAgain) {
  std::byte* const place = mappings->map(kMebi);
  std::memset(place, 6, kMebi);
  EXPECT_EQ(0, mappings->map_over(place, 4 * kPageBytes, PROT_NONE));
  EXPECT_EQ(0, mappings->unmap(place, kMebi));
  EXPECT_EQ(place, mappings->map(kMebi));
  EXPECT_TRUE(is_all(place, kMebi, 0));
  std::memset(place, 7, kMebi);
  EXPECT_EQ(0, mappings->map_over(place, 4 * kPageBytes, kReadWrite));
  EXPECT_TRUE(is_all(place, 4 * kPageBytes, 0));
  EXPECT_TRUE(is_all(place + 4 * kPageBytes, kPageBytes, 7));
}

}  // namespace
}  // namespace uzram
