// SPDX-License-Identifier: Apache-2.0
// What is written to idle and recompress, and what becomes of the pages. The errno values are those
// of kernel 6.12, but where docs/attributes.md says otherwise.
#include "control/background_attributes.h"

#include <gmock/gmock.h>

#include <random>

#include "control/attribute_fixture.h"
#include "control/block_state.h"

namespace uzram {
namespace {

using testing::HasSubstr;

class BackgroundAttributeTest : public AttributeTest {
 protected:
  // lz4, with zstd at priority 1; pages 0 to 31 hold text, 32 to 35 noise, 36 one pattern.
  void start(const std::vector<std::pair<const char*, const char*>>& settings = {}) {
    ASSERT_EQ(store("comp_algorithm", "lz4"), "ok");
    ASSERT_EQ(store("recomp_algorithm", "algo=zstd priority=1"), "ok");
    for (const auto& [name, value] : settings) ASSERT_EQ(store(name, value), "ok") << name;
    ASSERT_EQ(store("disksize", "1M"), "ok");
    write_pages(0, 32, std::byte{7});
    std::mt19937_64 noise(1);
    std::vector<std::uint64_t> words(4 * kPageBytes / sizeof(std::uint64_t));
    for (std::uint64_t& word : words) word = noise();
    ASSERT_TRUE(device_.write(32 * kPageBytes, std::as_bytes(std::span(words))));
    const std::vector<std::byte> pattern(kPageBytes, std::byte{0x55});
    ASSERT_TRUE(device_.write(36 * kPageBytes, pattern));
  }
  // The six flags of one page.
  std::string flags(std::uint64_t page) {
    const InputResult<TextPart> part = list_block_state(device_, {page}, 1);
    if (!part) return errno_name(part.error().code);
    return part->text.substr(part->text.size() - 7, 6);
  }
  std::uint64_t count_with(char flag) {
    const InputResult<TextPart> part = list_block_state(device_, {0}, 1000);
    const std::string& text = part->text;
    return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), flag));
  }
  std::vector<std::byte> content() {
    std::vector<std::byte> bytes(1U << 20);
    EXPECT_TRUE(device_.read(0, bytes));
    return bytes;
  }
};

// --- idle --------------------------------------------------------------------------------------

TEST_F(BackgroundAttributeTest, IdleMarksEveryStoredPageButSameFilledOnes) {
  start();
  EXPECT_EQ(store("idle", "all"), "ok");
  EXPECT_EQ(flags(0), "...i..");
  EXPECT_EQ(flags(32), "..hi..");
  EXPECT_EQ(flags(36), "s.....");
  EXPECT_EQ(count_with('i'), 36U);
  content();
  EXPECT_EQ(count_with('i'), 0U) << "an access clears the mark";
  EXPECT_EQ(store("idle", "all\n"), "ok");
  EXPECT_EQ(count_with('i'), 36U);
}

TEST_F(BackgroundAttributeTest, IdleTakesSecondsInAnyBaseWithoutFurtherSettings) {
  start();
  for (const auto text : {"0", "0x0\n", "00", "+0"}) {
    EXPECT_EQ(store("idle", text), "ok") << text;
    EXPECT_EQ(count_with('i'), 36U) << text;
    EXPECT_EQ(store("idle", "3600"), "ok");
    EXPECT_EQ(count_with('i'), 0U) << "younger ones lose their mark";
  }
  EXPECT_EQ(store("idle", "all"), "ok");
  EXPECT_EQ(store("idle", "18446744073709551615"), "ok");
  EXPECT_EQ(count_with('i'), 0U) << "nothing is as old as that";
}

TEST_F(BackgroundAttributeTest, IdleRefusesOtherWords) {
  EXPECT_EQ(store("idle", "all"), "EINVAL");
  EXPECT_THAT(words_, HasSubstr("disksize"));
  start();
  for (const auto text :
       {"", "\n", "ALL", "all ", "alles", "-1", "1h", "08", "0x", "1.5", "18446744073709551616"}) {
    EXPECT_EQ(store("idle", text), "EINVAL") << text;
    EXPECT_THAT(words_, HasSubstr("3600"));
  }
  EXPECT_EQ(count_with('i'), 0U);
}

TEST_F(BackgroundAttributeTest, IdleKnowsNoAgesWithoutAccessTracking) {
  start({{"access_tracking", "0"}});
  EXPECT_EQ(store("idle", "3600"), "EINVAL");
  EXPECT_THAT(words_, HasSubstr("access_tracking"));
  EXPECT_EQ(store("idle", "all"), "ok");
}

// --- recompress --------------------------------------------------------------------------------

TEST_F(BackgroundAttributeTest, RecompressPacksEveryPageThatGetsSmaller) {
  start();
  const std::vector<std::byte> before = content();
  const std::uint64_t packed = mm_stat(2);
  EXPECT_EQ(store("recompress", "priority=1\n"), "ok");
  EXPECT_EQ(flags(0), "....r.");
  EXPECT_EQ(flags(32), "..h..n") << "no algorithm is left that could do better";
  EXPECT_EQ(flags(36), "s.....");
  EXPECT_LT(mm_stat(2), packed);
  EXPECT_EQ(mm_stat(8), 4U);
  EXPECT_EQ(content(), before);
  device_.check_invariants();
}

TEST_F(BackgroundAttributeTest, RecompressTakesThePagesOfItsType) {
  start();
  EXPECT_EQ(store("recompress", "type=idle priority=1"), "ok");
  EXPECT_EQ(count_with('r') + count_with('n'), 0U);
  EXPECT_EQ(store("recompress", "type=huge priority=1"), "ok");
  EXPECT_EQ(count_with('r'), 0U);
  EXPECT_EQ(count_with('n'), 4U);
  ASSERT_EQ(store("idle", "all"), "ok");
  std::vector<std::byte> page(kPageBytes);
  ASSERT_TRUE(device_.read(0, page));
  EXPECT_EQ(store("recompress", "type=idle algo=zstd"), "ok");
  EXPECT_EQ(flags(0), "......") << "it was read since";
  EXPECT_EQ(count_with('r'), 31U);
}

TEST_F(BackgroundAttributeTest, RecompressOfHugeIdlePagesWantsBoth) {
  start();
  EXPECT_EQ(store("recompress", "type=huge_idle"), "ok");
  EXPECT_EQ(count_with('n'), 0U);
  ASSERT_EQ(store("idle", "all"), "ok");
  EXPECT_EQ(store("recompress", "type=huge_idle"), "ok");
  EXPECT_EQ(count_with('n'), 4U);
  EXPECT_EQ(count_with('r'), 0U);
}

TEST_F(BackgroundAttributeTest, RecompressCountsAttemptsAndTakesTheLargestFirst) {
  start();
  EXPECT_EQ(store("recompress", "max_pages=4 priority=1"), "ok");
  EXPECT_EQ(count_with('n'), 4U) << "the four that are raw";
  EXPECT_EQ(count_with('r'), 0U);
  EXPECT_EQ(store("recompress", "max_pages=5 priority=1"), "ok");
  EXPECT_EQ(count_with('r'), 5U);
  EXPECT_EQ(store("recompress", "max_pages=0 priority=1"), "ok");
  EXPECT_EQ(count_with('r'), 5U);
}

TEST_F(BackgroundAttributeTest, RecompressLeavesPagesBelowTheThreshold) {
  start();
  EXPECT_EQ(store("recompress", "threshold=4095 priority=1"), "ok");
  EXPECT_EQ(count_with('r'), 0U);
  EXPECT_EQ(store("recompress", "threshold=1"), "ok");
  EXPECT_EQ(count_with('r'), 0U) << "what it packs to has to be below the threshold as well";
}

TEST_F(BackgroundAttributeTest, RecompressPacksNeighboursTogether) {
  start();
  const std::vector<std::byte> before = content();
  ASSERT_EQ(store("idle", "all"), "ok");
  const std::uint64_t packed = mm_stat(2);
  EXPECT_EQ(store("recompress", "type=idle cluster=16 level=5 algo=zstd max_pages=1000"), "ok");
  EXPECT_GE(count_with('r'), 32U);
  EXPECT_LT(mm_stat(2), packed);
  EXPECT_EQ(content(), before);
  device_.check_invariants();
}

TEST_F(BackgroundAttributeTest, ClustersNeedNoRecompressionAlgorithm) {
  ASSERT_EQ(store("disksize", "1M"), "ok");
  write_pages(0, 32, std::byte{7});
  EXPECT_EQ(store("recompress", "cluster=4"), "ok");
  EXPECT_EQ(count_with('r'), 32U);
  EXPECT_EQ(store("recompress", "type=idle"), "EINVAL");
  EXPECT_THAT(words_, HasSubstr("recomp_algorithm"));
}

TEST_F(BackgroundAttributeTest, RecompressRefusesWrongWords) {
  EXPECT_EQ(store("recompress", "priority=1"), "EINVAL");
  EXPECT_THAT(words_, HasSubstr("disksize"));
  start({{"recomp_algorithm", "algo=lz4hc priority=3"}});
  struct Wrong {
    const char* text;
    const char* hint;
  };
  for (const Wrong& wrong : {Wrong{"idle", "has no value"},
                             {"type", "has no value"},
                             {"type=", "has no value"},
                             {"type=all", "without type"},
                             {"type=incompressible", "without type"},
                             {"type=Idle", "huge_idle"},
                             {"priority=0", "1, 2 or 3"},
                             {"priority=4", "1, 2 or 3"},
                             {"priority=-1", "not a number"},
                             {"priority=x", "not a number"},
                             {"priority=2", "no algorithm at priority 2"},
                             {"algo=lz4", "lz4, #1 zstd, #3 lz4hc"},
                             {"algo=zip", "lz4, #1 zstd, #3 lz4hc"},
                             {"algo=lz4hc priority=1", "which is zstd"},
                             {"algo=zstd priority=2", "no algorithm at priority 2"},
                             {"threshold=4096", "less than 4096"},
                             {"threshold=2K", "not a number"},
                             {"threshold=-5", "not a number"},
                             {"max_pages=x", "not a number"},
                             {"max_pages=0x10", "not a number"},
                             {"level=3", "algorithm_params"},
                             {"cluster=1", "2 to 32"},
                             {"cluster=33", "2 to 32"},
                             {"cluster=0", "2 to 32"},
                             {"cluster=x", "not a number"},
                             {"cluster=16 level=0", "level"},
                             {"cluster=16 level=23", "22"},
                             {"cluster=16 level=x", "not a number"},
                             {"cluster=16 threshold=100", "threshold"},
                             {"cluster=16 algo=lz4", "zstd"},
                             {"cluster=16 priority=3", "zstd"},
                             {"cluster=16 priority=0", "1, 2 or 3"},
                             {"cluster=16 algo=lz4hc priority=1", "which is zstd"}}) {
    EXPECT_EQ(store("recompress", wrong.text), "EINVAL") << wrong.text;
    EXPECT_THAT(words_, HasSubstr(wrong.hint)) << wrong.text;
  }
  EXPECT_EQ(store("recompress", "threshold=4294967296"), "ERANGE");
  EXPECT_EQ(store("recompress", "priority=4294967296"), "ERANGE");
  EXPECT_EQ(store("recompress", "max_pages=18446744073709551616"), "ERANGE");
  EXPECT_EQ(store("recompress", "cluster=16 level=99999999999"), "ERANGE");
  EXPECT_EQ(count_with('r'), 0U);
}

TEST_F(BackgroundAttributeTest, RecompressTakesAnyOrderAndPassesOverUnknownKeys) {
  start({{"recomp_algorithm", "algo=zstd priority=2"}});
  for (const auto text : {"", "\n", "foo=bar", "algo=zstd", "algo=zstd priority=2",
                          "max_pages=1\ttype=huge\npriority=1", "type=huge type=idle",
                          "priority=1 cluster=2 level=-5", "cluster=2 cluster=32"}) {
    EXPECT_EQ(store("recompress", text), "ok") << text;
  }
}

}  // namespace
}  // namespace uzram
