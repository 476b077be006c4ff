// SPDX-License-Identifier: Apache-2.0
#include "control/attribute_table.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "control/attribute_fixture.h"
#include "device/device_set.h"

namespace uzram {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kEmptyMmStat =
    "       0        0        0        0        0        0        0        0        0\n";

class DictionaryFile {
 public:
  explicit DictionaryFile(std::string_view content) {
    const int descriptor = ::mkstemp(path_.data());
    EXPECT_GE(descriptor, 0);
    EXPECT_EQ(::write(descriptor, content.data(), content.size()),
              static_cast<ssize_t>(content.size()));
    ::close(descriptor);
  }
  ~DictionaryFile() { ::unlink(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = testing::TempDir() + "uzram-dictionary-XXXXXX";
};

TEST(AttributeTable, HasAModeForEachDirectionThatItServes) {
  for (const Attribute& attribute : device_attributes()) {
    const bool is_readable = attribute.show != nullptr || attribute.list != nullptr;
    EXPECT_EQ((attribute.mode & 0444) != 0, is_readable) << attribute.name;
    EXPECT_EQ((attribute.mode & 0200) != 0, attribute.store != nullptr) << attribute.name;
    EXPECT_EQ(attribute.line_bytes != 0, attribute.list != nullptr) << attribute.name;
    EXPECT_FALSE(attribute.summary.empty()) << attribute.name;
  }
  for (const ClassAttribute& attribute : class_attributes()) {
    EXPECT_EQ((attribute.mode & 0400) != 0, attribute.show != nullptr) << attribute.name;
    EXPECT_EQ((attribute.mode & 0200) != 0, attribute.store != nullptr) << attribute.name;
  }
}

TEST(AttributeTable, FindsEveryRowByNameAndNoOther) {
  for (const Attribute& attribute : device_attributes()) {
    EXPECT_EQ(find_attribute(attribute.name), &attribute);
  }
  EXPECT_EQ(find_attribute("no_such"), nullptr);
  EXPECT_EQ(find_attribute(""), nullptr);
  EXPECT_NE(find_class_attribute("hot_add"), nullptr);
  EXPECT_EQ(find_class_attribute("disksize"), nullptr);
}

TEST_F(AttributeTest, OfANewDeviceReadAsInTheKernel) {
  EXPECT_EQ(show("disksize"), "0\n");
  EXPECT_EQ(show("initstate"), "0\n");
  EXPECT_EQ(show("mm_stat"), kEmptyMmStat);
  EXPECT_EQ(show("io_stat"), "       0        0 0        0\n");
  EXPECT_EQ(show("debug_stat"), "version: 1\n0        0\n");
  EXPECT_THAT(show("comp_algorithm"), HasSubstr("[lzo-rle] lzo lz4 lz4hc zstd deflate 842 \n"));
  EXPECT_EQ(show("max_comp_streams"), std::to_string(::sysconf(_SC_NPROCESSORS_ONLN)) + "\n");
  EXPECT_EQ(show("mem_reserve"), "0\n");
  EXPECT_EQ(show("page_checks"), "1\n");
  EXPECT_EQ(show("access_tracking"), "1\n");
  EXPECT_EQ(show("use_dedup"), "0\n");
  EXPECT_EQ(show("recomp_algorithm"), "");
  EXPECT_THAT(show("total_stat"), HasSubstr("orig_data_size 0\n"));
}

TEST_F(AttributeTest, ThatAreWriteOnlyCannotBeReadAndTheOtherWayRound) {
  for (const auto name : {"reset", "mem_limit", "mem_used_max", "algorithm_params", "compact",
                          "idle", "recompress"}) {
    EXPECT_EQ(show(name), "EACCES") << name;
  }
  for (const auto name :
       {"initstate", "mm_stat", "io_stat", "debug_stat", "stat", "total_stat", "block_state"}) {
    EXPECT_EQ(store(name, "1"), "EACCES") << name;
  }
  EXPECT_EQ(show("block_state"), "EFBIG") << "it comes in parts";
  EXPECT_EQ(show("no_such"), "ENOENT");
  EXPECT_EQ(store("no_such", "1"), "ENOENT");
}

TEST_F(AttributeTest, DisksizeIsRoundedUpToPagesAndBringsTheDeviceToLife) {
  EXPECT_EQ(store("disksize", "4097\n"), "ok");
  EXPECT_EQ(show("disksize"), "8192\n");
  EXPECT_EQ(show("initstate"), "1\n");
  EXPECT_EQ(show("mm_stat"), kEmptyMmStat);
}

TEST_F(AttributeTest, DisksizeTakesTheKernelsSizes) {
  const std::pair<const char*, const char*> sizes[] = {{"1", "4096\n"},
                                                       {"010K", "8192\n"},
                                                       {"1kb", "4096\n"},
                                                       {"1M", "1048576\n"},
                                                       {"0x100000", "1048576\n"},
                                                       {"4GiB", "4294967296\n"},
                                                       {"100G\n", "107374182400\n"}};
  for (const auto& [text, shown] : sizes) {
    EXPECT_EQ(store("disksize", text), "ok") << text;
    EXPECT_EQ(show("disksize"), shown) << text;
    EXPECT_EQ(store("reset", "1"), "ok");
  }
}

TEST_F(AttributeTest, CompAlgorithmPutsTheChosenOneInBrackets) {
  EXPECT_EQ(store("comp_algorithm", "zstd\n"), "ok");
  EXPECT_EQ(show("comp_algorithm"), "lzo-rle lzo lz4 lz4hc [zstd] deflate 842 \n");
  EXPECT_EQ(store("comp_algorithm", "lz4"), "ok");
  EXPECT_EQ(show("comp_algorithm"), "lzo-rle lzo [lz4] lz4hc zstd deflate 842 \n");
}

TEST_F(AttributeTest, RecompAlgorithmHasALineForEachPriority) {
  EXPECT_EQ(store("recomp_algorithm", "algo=zstd\n"), "ok");
  EXPECT_EQ(show("recomp_algorithm"), "#1: lzo-rle lzo lz4 lz4hc [zstd] deflate 842 \n");
  EXPECT_EQ(store("recomp_algorithm", "priority=3 algo=deflate"), "ok");
  EXPECT_EQ(store("recomp_algorithm", "algo=lz4hc priority=1"), "ok");
  EXPECT_EQ(show("recomp_algorithm"),
            "#1: lzo-rle lzo lz4 [lz4hc] zstd deflate 842 \n"
            "#3: lzo-rle lzo lz4 lz4hc zstd [deflate] 842 \n");
  EXPECT_THAT(show("comp_algorithm"), HasSubstr("[lzo-rle]"));
  EXPECT_EQ(store("disksize", "1M"), "ok");
  EXPECT_THAT(show("recomp_algorithm"), HasSubstr("#1: lzo-rle lzo lz4 [lz4hc]"));
  EXPECT_EQ(store("reset", "1"), "ok");
  EXPECT_EQ(show("recomp_algorithm"), "");
}

TEST_F(AttributeTest, AlgorithmParamsFindARecompressionAlgorithmByNameOrPriority) {
  ASSERT_EQ(store("recomp_algorithm", "algo=zstd priority=2"), "ok");
  EXPECT_EQ(store("algorithm_params", "algo=zstd level=10000"), "ok");
  EXPECT_EQ(store("disksize", "1M"), "EINVAL") << "the level is refused when it is used";
  EXPECT_EQ(store("algorithm_params", "priority=2 level=9"), "ok");
  EXPECT_EQ(store("algorithm_params", "algo=lz4 level=1"), "EINVAL");
  EXPECT_THAT(words_, HasSubstr("lzo-rle, #2 zstd"));
  EXPECT_EQ(store("disksize", "1M"), "ok");
}

TEST_F(AttributeTest, SwitchesAreShownAsNumbersAndClearedByReset) {
  ASSERT_EQ(store("use_dedup", "1\n"), "ok");
  ASSERT_EQ(store("access_tracking", "n"), "ok");
  EXPECT_EQ(show("use_dedup"), "1\n");
  EXPECT_EQ(show("access_tracking"), "0\n");
  ASSERT_EQ(store("disksize", "1M"), "ok");
  EXPECT_EQ(show("use_dedup"), "1\n");
  EXPECT_EQ(show("access_tracking"), "0\n");
  ASSERT_EQ(store("reset", "1"), "ok");
  EXPECT_EQ(show("use_dedup"), "0\n");
  EXPECT_EQ(show("access_tracking"), "1\n");
}

TEST_F(AttributeTest, MmStatHasTwoMoreColumnsWithDeduplicationOnly) {
  ASSERT_EQ(store("disksize", "1M"), "ok");
  EXPECT_EQ(show("mm_stat"), kEmptyMmStat);
  ASSERT_EQ(store("reset", "1"), "ok");
  ASSERT_EQ(store("use_dedup", "1"), "ok");
  ASSERT_EQ(store("disksize", "1M"), "ok");
  EXPECT_EQ(mm_stat(10), 0U) << "nothing is shared yet";
  EXPECT_EQ(show("mm_stat").size(), kEmptyMmStat.size() + 18);
}

TEST_F(AttributeTest, MemLimitIsShownByMmStatInWholePages) {
  const std::pair<const char*, std::uint64_t> limits[] = {
      {"1", 4096},        {"10K", 12288},
      {"0x10k", 16384},   {"1Kjunk", 4096},
      {"1T", 1ULL << 40}, {"K", 0},
      {"1e", 1ULL << 60}, {"0", 0},
      {"16E", 0},         {"18446744073709551615", 0},
      {"25M", 25U << 20}};
  for (const auto& [text, bytes] : limits) {
    EXPECT_EQ(store("mem_limit", text), "ok") << text;
    EXPECT_EQ(mm_stat(4), bytes) << text;
  }
}

TEST_F(AttributeTest, StatisticsFollowTheData) {
  ASSERT_EQ(store("comp_algorithm", "lz4"), "ok");
  ASSERT_EQ(store("disksize", "16M"), "ok");
  write_pages(0, 8, std::byte{7});
  const std::vector<std::byte> zeros(2 * kPageBytes);
  ASSERT_TRUE(device_.write(8 * kPageBytes, zeros));
  EXPECT_EQ(mm_stat(1), 10 * kPageBytes);
  EXPECT_GT(mm_stat(2), 0U);
  EXPECT_GT(mm_stat(3), 0U);
  EXPECT_EQ(mm_stat(6), 2U);
  ASSERT_TRUE(device_.discard(0, 4 * kPageBytes));
  EXPECT_EQ(mm_stat(1), 6 * kPageBytes);
  EXPECT_EQ(show("io_stat"), "       0        0 0        4\n");
  device_.check_invariants();
}

TEST_F(AttributeTest, MemUsedMaxStartsAgainAtWhatIsUsed) {
  ASSERT_EQ(store("disksize", "16M"), "ok");
  write_pages(0, 1024, std::byte{1});
  ASSERT_TRUE(device_.discard(0, 16U << 20));
  ASSERT_EQ(store("compact", "1"), "ok");
  const std::uint64_t used = mm_stat(3);
  ASSERT_GT(mm_stat(5), used);
  EXPECT_EQ(store("mem_used_max", "0\n"), "ok");
  EXPECT_EQ(mm_stat(5), mm_stat(3));
}

TEST_F(AttributeTest, ResetDropsPagesSettingsAndStatistics) {
  ASSERT_EQ(store("comp_algorithm", "zstd"), "ok");
  ASSERT_EQ(store("mem_limit", "1G"), "ok");
  ASSERT_EQ(store("page_checks", "0"), "ok");
  ASSERT_EQ(store("disksize", "16M"), "ok");
  write_pages(0, 8, std::byte{7});
  EXPECT_EQ(store("reset", "1"), "ok");
  EXPECT_EQ(show("disksize"), "0\n");
  EXPECT_EQ(show("initstate"), "0\n");
  EXPECT_EQ(show("mm_stat"), kEmptyMmStat);
  EXPECT_THAT(show("comp_algorithm"), HasSubstr("[lzo-rle]"));
  EXPECT_EQ(show("page_checks"), "1\n");
}

TEST_F(AttributeTest, AlgorithmParamsReachTheCodec) {
  const DictionaryFile dictionary("a dictionary of words that pages have in common");
  ASSERT_EQ(store("comp_algorithm", "zstd"), "ok");
  EXPECT_EQ(store("algorithm_params", "priority=0 level=5 dict=" + dictionary.path() + "\n"), "ok");
  EXPECT_EQ(store("algorithm_params", "algo=zstd level=-3 dict=\"" + dictionary.path() + "\""),
            "ok");
  EXPECT_EQ(store("disksize", "1M"), "ok");
}

TEST_F(AttributeTest, AlgorithmParamsAreReplacedAsAWholeByEachWrite) {
  ASSERT_EQ(store("comp_algorithm", "zstd"), "ok");
  ASSERT_EQ(store("algorithm_params", "level=10000"), "ok");
  EXPECT_EQ(store("disksize", "1M"), "EINVAL") << "the level is refused when it is used";
  EXPECT_EQ(store("algorithm_params", "\n"), "ok");
  EXPECT_EQ(store("disksize", "1M"), "ok");
}

TEST_F(AttributeTest, AlgorithmParamsAreEmptyAfterADictionaryThatCannotBeRead) {
  ASSERT_EQ(store("comp_algorithm", "zstd"), "ok");
  ASSERT_EQ(store("algorithm_params", "level=10000"), "ok");
  EXPECT_EQ(store("algorithm_params", "level=10000 dict=/nonexistent"), "EINVAL");
  EXPECT_EQ(store("disksize", "1M"), "ok");
}

TEST_F(AttributeTest, MaxCompStreamsTakesAnythingAndChangesNothing) {
  EXPECT_EQ(store("max_comp_streams", "17"), "ok");
  EXPECT_EQ(show("max_comp_streams"), std::to_string(::sysconf(_SC_NPROCESSORS_ONLN)) + "\n");
}

TEST_F(AttributeTest, MemReserveKeepsMemoryUntilItIsGivenBack) {
  ASSERT_EQ(store("disksize", "16M"), "ok");
  EXPECT_EQ(store("mem_reserve", "1M"), "ok");
  EXPECT_GE(std::stoull(show("mem_reserve")), 1U << 20);
  EXPECT_EQ(store("mem_reserve", "0"), "ok");
  EXPECT_EQ(show("mem_reserve"), "0\n");
}

TEST(ClassAttributes, AddAndRemoveDevicesByNumber) {
  DeviceSet devices;
  const ClassAttribute* hot_add = find_class_attribute("hot_add");
  const ClassAttribute* hot_remove = find_class_attribute("hot_remove");
  EXPECT_EQ(*hot_add->show(devices), "0\n");
  EXPECT_EQ(*hot_add->show(devices), "1\n");
  EXPECT_TRUE(hot_remove->store(devices, "0\n"));
  EXPECT_EQ(hot_remove->store(devices, "0").error().code, ENODEV);
  EXPECT_EQ(hot_remove->store(devices, "-1").error().code, EINVAL);
  EXPECT_EQ(hot_remove->store(devices, "zram1").error().code, EINVAL);
  EXPECT_EQ(hot_remove->store(devices, "9999999999").error().code, ERANGE);
  EXPECT_EQ(devices.all().size(), 1U);
}

}  // namespace
}  // namespace uzram
