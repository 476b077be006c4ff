// SPDX-License-Identifier: Apache-2.0
#include "preload/paged_space.h"

#include <sys/mman.h>

#include "preload/preload_fixture.h"

namespace uzram {
namespace {

constexpr std::uint64_t kGranule = PagedSpace::kGranuleBytes;

TEST(PagedSpace, GivesTheLowestRunThatFits) {
  const auto space = make_space();
  std::byte* const first = space->take(3);
  std::byte* const second = space->take(2);
  EXPECT_EQ(first + 3 * kGranule, second);
  space->give(space->granule_of(first), 3);
  EXPECT_EQ(second + 2 * kGranule, space->take(4));
  EXPECT_EQ(first, space->take(3));
  EXPECT_EQ(9 * kGranule, space->taken_bytes());
}

TEST(PagedSpace, AlignsUpToTwoMebibytes) {
  const auto space = make_space();
  static_cast<void>(space->take(1));
  std::byte* const aligned = space->take(1, PagedSpace::kMostAlignment);
  EXPECT_EQ(0U, reinterpret_cast<std::uint64_t>(aligned) % PagedSpace::kMostAlignment);
}

TEST(PagedSpace, ReachesOverManyRegionsAndEndsWithNull) {
  const auto space = make_space();
  const std::uint64_t granules = 3 * PagedSpace::kRegionBytes / kGranule;
  std::byte* const large = space->take(granules);
  ASSERT_NE(nullptr, large);
  large[granules * kGranule - 1] = std::byte{7};
  EXPECT_EQ(std::byte{7}, large[granules * kGranule - 1]);
  EXPECT_EQ(nullptr, space->take(space->granule_count()));
  while (space->take(64) != nullptr) {
  }
  EXPECT_EQ(nullptr, space->take(64));
}

TEST(PagedSpace, GrowsARunOnlyWhereNobodyIs) {
  const auto space = make_space();
  const std::uint64_t first = space->granule_of(space->take(1));
  EXPECT_TRUE(space->take_behind(first + 1, 2));
  static_cast<void>(space->take(1));
  EXPECT_FALSE(space->take_behind(first + 3, 1));
  EXPECT_FALSE(space->take_behind(space->granule_count(), 1));
}

TEST(PagedSpace, GivesZerosAgainAlsoFromPagesThatWerePinned) {
  const auto space = make_space();
  std::byte* const place = space->take(2);
  std::memset(place, 0xee, 2 * kGranule);
  ASSERT_TRUE(space->pager().pin(place + kPageBytes, kPageBytes));
  space->give(space->granule_of(place), 2);
  EXPECT_EQ(place, space->take(2));
  EXPECT_TRUE(is_all(place, 2 * kGranule, 0));
  ASSERT_TRUE(space->pager().unpin(place + kPageBytes, kPageBytes));
}

TEST(PagedSpace, KeepsPagesInMemoryUntilTheyAreReleased) {
  const auto space = make_space();
  std::byte* const place = space->take(1);
  std::memset(place, 1, kGranule);
  ASSERT_TRUE(space->keep(place + 5000, 1, PagedSpace::Keep::Locked));
  ASSERT_TRUE(space->keep(place + 4096, kPageBytes, PagedSpace::Keep::Locked));
  ASSERT_TRUE(space->pager().page_out(place, kGranule));
  const std::uint64_t faults = space->pager().stats().faults;
  EXPECT_EQ(std::byte{1}, place[5000]);
  EXPECT_EQ(faults, space->pager().stats().faults);
  EXPECT_TRUE(space->is_kept(place + 4096, PagedSpace::Keep::Locked));
  EXPECT_FALSE(space->is_protected(place + 4096));
  space->release(place, kGranule, PagedSpace::Keep::Locked);
  ASSERT_TRUE(space->pager().page_out(place, kGranule));
  EXPECT_EQ(std::byte{1}, place[5000]);
  EXPECT_GT(space->pager().stats().faults, faults);
}

TEST(PagedSpace, SaysWhenTheLimitHasNoRoomToKeepMore) {
  const auto space = make_space(std::uint64_t{8} << 20);
  std::byte* const place = space->take(64);
  const Result<void> kept = space->keep(place, 64 * kGranule, PagedSpace::Keep::Locked);
  ASSERT_FALSE(kept);
  EXPECT_EQ(ENOMEM, kept.error().code);
  space->give(space->granule_of(place), 64);
  std::byte* const again = space->take(1);
  std::memset(again, 3, kGranule);
  EXPECT_TRUE(is_all(again, kGranule, 3));
}

}  // namespace
}  // namespace uzram
