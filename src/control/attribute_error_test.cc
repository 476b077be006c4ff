// SPDX-License-Identifier: Apache-2.0
// Every attribute with wrong words, wrong order and overflow. The errno values are a running
// kernel's.
#include <gmock/gmock.h>

#include "control/attribute_fixture.h"

namespace uzram {
namespace {

using testing::HasSubstr;

// An attachment that somebody uses, or that cannot be made.
class TestAttachment : public Attachment {
 public:
  Result<void> attach(Device&) override {
    return attach_code == 0 ? Result<void>{} : fail(attach_code);
  }
  Result<void> detach(Device&) override {
    return detach_code == 0 ? Result<void>{} : fail(detach_code);
  }
  [[nodiscard]] std::string block_path(const Device&) const override { return "/dev/loop7"; }
  int attach_code = 0;
  int detach_code = 0;
};

TEST_F(AttributeTest, DisksizeRefusesWhatIsNoSize) {
  for (const auto text : {"", "\n", "0", "a", "-1", "+1M", " 1M", "K", "0x", "16E"}) {
    EXPECT_EQ(store("disksize", text), "EINVAL") << text;
    EXPECT_THAT(words_, HasSubstr("512M"));
  }
  EXPECT_EQ(store("disksize", "18446744073709551615"), "ENOMEM");
  EXPECT_EQ(store("disksize", "17E"), "ENOMEM");
  EXPECT_EQ(show("disksize"), "0\n");
}

TEST_F(AttributeTest, DisksizeCanBeSetOnce) {
  ASSERT_EQ(store("disksize", "1M"), "ok");
  EXPECT_EQ(store("disksize", "1M"), "EBUSY");
  EXPECT_THAT(words_, HasSubstr("reset"));
  EXPECT_EQ(store("disksize", "0"), "EINVAL") << "the text is judged first";
  EXPECT_EQ(show("disksize"), "1048576\n");
}

TEST_F(AttributeTest, ResetRefusesWhatIsNoNumberFrom1To65535) {
  for (const auto text : {"", "0", "0\n", "a", "-1", "0x1", "1x", " 1", "1 "}) {
    EXPECT_EQ(store("reset", text), "EINVAL") << text;
  }
  EXPECT_EQ(store("reset", "65536"), "ERANGE");
  for (const auto text : {"1", "1\n", "65535", "08", "010", "+1"}) {
    EXPECT_EQ(store("reset", text), "ok") << text;
  }
}

TEST_F(AttributeTest, MemLimitRefusesWhatHasNoDigits) {
  ASSERT_EQ(store("mem_limit", "1M"), "ok");
  for (const auto text : {"", "\n", "abc", "-1", "+5", " 5"}) {
    EXPECT_EQ(store("mem_limit", text), "EINVAL") << text;
    EXPECT_EQ(mm_stat(4), 1U << 20);
  }
}

TEST_F(AttributeTest, MemUsedMaxTakesNothingButZero) {
  for (const auto text : {"", "1", "0x0", "-0", "a", "0\n\n", " 0", "18446744073709551616"}) {
    EXPECT_EQ(store("mem_used_max", text), "EINVAL") << text;
  }
  for (const auto text : {"0", "0\n", "00", "+0"}) {
    EXPECT_EQ(store("mem_used_max", text), "ok") << text;
  }
}

TEST_F(AttributeTest, CompAlgorithmRefusesUnknownNamesFirstAndLongOnesBeforeThat) {
  const std::string long_name(128, 'x');
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(store("comp_algorithm", long_name), "E2BIG");
    EXPECT_EQ(store("comp_algorithm", long_name.substr(1) + "\n"), "E2BIG");
    EXPECT_EQ(store("comp_algorithm", long_name.substr(1)), "EINVAL");
    for (const auto text :
         {"", "\n", "bad", "lz4 ", "lz4x", " lz4", "LZ4", "lzo\nlz4", "lz4\n\n\n"}) {
      EXPECT_EQ(store("comp_algorithm", text), "EINVAL") << text;
      EXPECT_THAT(words_, HasSubstr("zstd"));
    }
    EXPECT_EQ(store("comp_algorithm", "lz4"), round == 0 ? "ok" : "EBUSY");
    EXPECT_EQ(store("disksize", "1M"), round == 0 ? "ok" : "EBUSY");
  }
}

TEST_F(AttributeTest, AlgorithmParamsRefuseWrongWords) {
  for (const auto text : {"level",
                          "level=",
                          "level=abc",
                          "level=0x10",
                          "level= 5",
                          "foo",
                          "priority=4",
                          "priority=-1",
                          "priority=",
                          "priority=2 level",
                          "algo=",
                          "algo=nothing",
                          "algo=lz4",
                          "dict=",
                          "dict=/nonexistent",
                          "dict=/",
                          "dict=/dev/null",
                          "deflate.winbits=x",
                          "level=3\tpriority=9",
                          "level=1\npriority=9"}) {
    EXPECT_EQ(store("algorithm_params", text), "EINVAL") << text;
  }
  EXPECT_EQ(store("algorithm_params", "level=99999999999"), "ERANGE");
  EXPECT_EQ(store("algorithm_params", "priority=2147483648"), "ERANGE");
  for (const auto text : {"\n", "level=3", "level=010", "level=+5", " level=3", "level=\"3\"",
                          "level=3 foo=bar", "foo=1", "priority=3 level=1", "algo=lzo-rle"}) {
    EXPECT_EQ(store("algorithm_params", text), "ok") << text;
  }
}

TEST_F(AttributeTest, AlgorithmParamsAreClosedAfterDisksize) {
  ASSERT_EQ(store("disksize", "1M"), "ok");
  EXPECT_EQ(store("algorithm_params", "level=3"), "EBUSY");
  EXPECT_THAT(words_, HasSubstr("reset"));
  EXPECT_EQ(store("algorithm_params", "level"), "EINVAL") << "the text is judged first";
}

TEST_F(AttributeTest, RecompAlgorithmRefusesWrongWords) {
  for (const auto text :
       {"", "\n", "zstd", "algo", "algo=", "algo=zstd priority", "priority=1", "algo=zip",
        "algo=ZSTD", "algo=zstd priority=0", "algo=zstd priority=4", "algo=zstd priority=-1",
        "algo=zstd priority=x", "algo=zstd priority=0x1", "algo=zstd level"}) {
    EXPECT_EQ(store("recomp_algorithm", text), "EINVAL") << text;
    EXPECT_EQ(show("recomp_algorithm"), "") << text;
  }
  EXPECT_EQ(store("recomp_algorithm", "algo=zstd priority=99999999999"), "ERANGE");
  EXPECT_EQ(store("recomp_algorithm", "algo=" + std::string(128, 'x')), "E2BIG");
  EXPECT_EQ(store("recomp_algorithm", "algo=zip priority=2"), "EINVAL");
  EXPECT_THAT(words_, HasSubstr("lz4hc, zstd"));
  for (const auto text : {"algo=zstd", "algo=zstd foo=1", "algo=lz4 algo=zstd priority=3",
                          "algo=\"zstd\"", " priority=2\talgo=lz4\n"}) {
    EXPECT_EQ(store("recomp_algorithm", text), "ok") << text;
  }
}

TEST_F(AttributeTest, RecompAlgorithmIsClosedAfterDisksize) {
  ASSERT_EQ(store("disksize", "1M"), "ok");
  EXPECT_EQ(store("recomp_algorithm", "algo=zstd"), "EBUSY");
  EXPECT_THAT(words_, HasSubstr("reset"));
  EXPECT_EQ(store("recomp_algorithm", "algo=zip"), "EINVAL") << "the text is judged first";
}

TEST_F(AttributeTest, SwitchesAreClosedAfterDisksize) {
  for (const auto name : {"page_checks", "access_tracking", "use_dedup"}) {
    EXPECT_EQ(store(name, "maybe"), "EINVAL") << name;
    EXPECT_THAT(words_, HasSubstr("write 1 or 0"));
    EXPECT_EQ(store(name, "0"), "ok") << name;
    EXPECT_EQ(show(name), "0\n") << name;
  }
  ASSERT_EQ(store("disksize", "1M"), "ok");
  for (const auto name : {"page_checks", "access_tracking", "use_dedup"}) {
    EXPECT_EQ(store(name, "1"), "EBUSY") << name;
    EXPECT_EQ(store(name, "maybe"), "EINVAL") << "the text is judged first";
    EXPECT_EQ(show(name), "0\n") << name;
  }
}

TEST_F(AttributeTest, UseDedupTakesTheNumbersOfTheKernelsThatHaveIt) {
  for (const auto text : {"", "\n", "y", "on", "2", "-1", "0x1", "1 ", " 1", "1x"}) {
    EXPECT_EQ(store("use_dedup", text), "EINVAL") << text;
  }
  for (const auto text : {"1", "1\n", "+1", "01", "0"}) {
    EXPECT_EQ(store("use_dedup", text), "ok") << text;
  }
}

TEST_F(AttributeTest, CompactAndMemReserveNeedADisksize) {
  EXPECT_EQ(store("compact", "1"), "EINVAL");
  EXPECT_EQ(store("mem_reserve", "1M"), "EINVAL");
  ASSERT_EQ(store("disksize", "1M"), "ok");
  EXPECT_EQ(store("compact", "whatever"), "ok");
  EXPECT_EQ(store("mem_reserve", "x"), "EINVAL");
}

TEST(AttachedDevice, InUseCannotBeResetOrChange) {
  TestAttachment attachment;
  Device device(3, &attachment);
  ASSERT_TRUE(store_attribute(device, "disksize", "1M"));
  attachment.detach_code = EBUSY;
  const InputResult<void> reset = store_attribute(device, "reset", "1");
  ASSERT_FALSE(reset);
  EXPECT_EQ(reset.error().code, EBUSY);
  EXPECT_THAT(reset.error().text, HasSubstr("in use"));
  EXPECT_EQ(store_attribute(device, "reset", "0").error().code, EINVAL)
      << "the text is judged first";
  EXPECT_EQ(*show_attribute(device, "disksize"), "1048576\n");
  attachment.detach_code = 0;
  EXPECT_TRUE(store_attribute(device, "reset", "1"));
}

TEST(AttachedDevice, WhoseDiskCannotBeMadeStaysUninitialised) {
  TestAttachment attachment;
  attachment.attach_code = ENXIO;
  Device device(3, &attachment);
  const InputResult<void> outcome = store_attribute(device, "disksize", "1M");
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ENXIO);
  EXPECT_EQ(*show_attribute(device, "initstate"), "0\n");
  attachment.attach_code = 0;
  EXPECT_TRUE(store_attribute(device, "disksize", "1M"));
}

TEST(Words, OfARefusalStayPrintableAndShort) {
  Device device(0);
  const std::string nasty = "\x1b[31m\x01" + std::string(500, 'z') + "\n\n";
  const InputResult<void> outcome = store_attribute(device, "disksize", nasty);
  ASSERT_FALSE(outcome);
  EXPECT_LT(outcome.error().text.size(), 200U);
  for (const char character : outcome.error().text) {
    EXPECT_GE(static_cast<unsigned char>(character), 0x20);
  }
}

}  // namespace
}  // namespace uzram
