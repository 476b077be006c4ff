// SPDX-License-Identifier: Apache-2.0
// Counts every call of the allocator by this thread while pages are served: a swap device that asks
// for memory to give memory back would hang.
#include <gtest/gtest.h>

#include "base/counted_malloc.h"
#include "codec/codec_rows.h"
#include "store/background_fixture.h"
#include "store/store.h"
#include "store/store_fixture.h"

namespace uzram {
namespace {

class StoreAllocation : public testing::TestWithParam<CodecInfo> {
 protected:
  void SetUp() override {
    if (!UZ_COUNTS_ALLOCATIONS) GTEST_SKIP() << "a sanitizer owns malloc";
  }
};

constexpr std::uint64_t kPages = 2000;

// One of everything that serving is, on random pages.
void serve(Store& store, std::uint64_t round, Random& random, const std::vector<Page>& contents) {
  const PageIndex page{random.below(kPages)};
  const Page& content = contents[random.below(contents.size())];
  Page out;
  switch (round % 8) {
    case 5:
      static_cast<void>(store.write_part(page, 100, ConstBytes(content).first(999)));
      break;
    case 6:
      static_cast<void>(store.read_part(page, 7, MutableBytes(out).first(3000)));
      break;
    case 7:
      store.free(page, random.below(kPages - page.value) % 8);
      break;
    default:
      static_cast<void>(store.write(page, content));
      static_cast<void>(store.read({random.below(kPages)}, out));
  }
}

TEST_P(StoreAllocation, DoesNotHappenWhilePagesAreServed) {
  const auto store = make_store(config_of(GetParam().name, kPages), 2);
  std::vector<Page> contents = {filled_page(7), filled_page(0x0123456789abcdef)};
  for (std::uint64_t seed = 0; seed < 30; ++seed)
    contents.push_back(page_of(kPageKinds[seed % kPageKinds.size()], seed));
  Random random(1);
  // From the first request on: what a device needs is made with it.
  const std::size_t before = allocation_count;
  for (std::uint64_t round = 0; round < 10'000; ++round) {
    serve(*store, round, random, contents);
    ASSERT_EQ(allocation_count, before) << "round " << round;
  }
  store->pool().set_limit_pages(1);
  for (std::uint64_t round = 0; round < 500; ++round) serve(*store, round, random, contents);
  EXPECT_EQ(allocation_count, before) << "at the limit";
}

// Members of clusters are read, and leave them, without asking for memory; only the work in the
// background that made them has.
TEST_P(StoreAllocation, DoesNotHappenWhileMembersOfClustersAreServed) {
  const auto store = make_store(config_of(GetParam().name, "zstd", kPages), 2);
  const StopSignal stop{false};
  std::vector<Page> contents;
  for (std::uint64_t seed = 0; seed < 30; ++seed)
    contents.push_back(page_of(kPageKinds[2 + seed % (kPageKinds.size() - 2)], seed));
  Random random(1);
  for (const std::size_t size : {4, 32, 2}) {
    for (std::uint64_t page = 0; page < kPages; ++page)
      ASSERT_TRUE(store->write({page}, contents[random.below(contents.size())]));
    ClusterRequest request;
    request.cluster_pages = size;
    ASSERT_TRUE(make_clusters(*store, request, stop));
    ASSERT_GT(store->sums().member_pages, 100);
    const std::size_t before = allocation_count;
    for (std::uint64_t round = 0; round < 3000; ++round) {
      serve(*store, round, random, contents);
      ASSERT_EQ(allocation_count, before) << "round " << round << ", clusters of " << size;
    }
  }
}

TEST_P(StoreAllocation, IsSeenWhenAStoreIsMade) {
  const std::size_t before = allocation_count;
  const auto store = make_store(config_of(GetParam().name, kPages), 2);
  EXPECT_GT(allocation_count, before + 4);
}

INSTANTIATE_TEST_SUITE_P(Codecs, StoreAllocation, testing::ValuesIn(every_row()), row_name);

}  // namespace
}  // namespace uzram
