// SPDX-License-Identifier: Apache-2.0
#include "policy/pressure.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace uzram {
namespace {

constexpr const char* kUsual =
    "some avg10=1.53 avg60=0.87 avg300=0.20 total=3366390\n"
    "full avg10=9.99 avg60=0.00 avg300=0.00 total=2177826\n";

TEST(Psi, ReadsTheSomeLine) {
  EXPECT_EQ(parse_pressure(kUsual), 1.53);
  EXPECT_EQ(parse_pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"), 0.0);
  EXPECT_EQ(parse_pressure("some avg10=100.00"), 100.0);
}

TEST(Psi, ToleratesLinesAndFieldsThatItDoesNotKnow) {
  EXPECT_EQ(parse_pressure("full avg10=9.00\nmost avg10=7.00\nsome total=1 avg10=2.50 new=x\n"),
            2.5);
}

TEST(Psi, TakesWhatIsStrangeForNoPsi) {
  for (const char* text :
       {"", "\n", "some", "some ", "some avg10=", "some avg10=x", "some avg10=-1", "some avg10=101",
        "some avg10=nan", "some avg10=1.5x", "some avg60=1.0", "some avg10=1e1", "full avg10=1.00",
        "someavg10=1.00"}) {
    EXPECT_EQ(parse_pressure(text), std::nullopt) << text;
  }
}

class PsiFile : public testing::Test {
 protected:
  PsiFile() : path_(testing::TempDir() + "psi." + std::to_string(::getpid())) {}
  ~PsiFile() override { ::unlink(path_.c_str()); }
  void write(std::string_view text) { std::ofstream(path_) << text; }
  std::string path_;
};

TEST_F(PsiFile, IsRead) {
  write(kUsual);
  EXPECT_EQ(read_pressure(path_), 1.53);
}

TEST_F(PsiFile, MayBeMissingEmptyOrNoFile) {
  EXPECT_EQ(read_pressure(path_), std::nullopt);
  write("");
  EXPECT_EQ(read_pressure(path_), std::nullopt);
  EXPECT_EQ(read_pressure("/"), std::nullopt);
}

// Pressure begins at 5 % of waiting, and at 80 % of the limit.
class Pressure : public testing::Test {
 protected:
  Pressure() {
    settings_.psi_percent = 5;
    settings_.limit_percent = 80;
    snapshot_.mem_limit_bytes = 1000;
  }
  PressureLevel at_psi(double percent) {
    snapshot_.memory_some_avg10_percent = percent;
    return pressure_level(settings_, snapshot_);
  }
  PressureLevel at_pool(std::uint64_t bytes) {
    snapshot_.pool_bytes = bytes;
    return pressure_level(settings_, snapshot_);
  }
  PolicySettings settings_;
  PolicySnapshot snapshot_;
};

TEST_F(Pressure, RisesWithPsi) {
  EXPECT_EQ(at_psi(4.99), PressureLevel::None);
  EXPECT_EQ(at_psi(5), PressureLevel::Some);
  EXPECT_EQ(at_psi(9.99), PressureLevel::Some);
  EXPECT_EQ(at_psi(10), PressureLevel::High);
  EXPECT_EQ(at_psi(20), PressureLevel::Hard);
}

TEST_F(Pressure, RisesWithThePool) {
  EXPECT_EQ(at_pool(799), PressureLevel::None);
  EXPECT_EQ(at_pool(800), PressureLevel::Some);
  EXPECT_EQ(at_pool(900), PressureLevel::High);
  EXPECT_EQ(at_pool(949), PressureLevel::High);
  EXPECT_EQ(at_pool(950), PressureLevel::Hard);
  EXPECT_EQ(at_pool(2000), PressureLevel::Hard);
}

TEST_F(Pressure, IsTheHigherOfBoth) {
  EXPECT_EQ(at_pool(800), PressureLevel::Some);
  EXPECT_EQ(at_psi(20), PressureLevel::Hard);
  EXPECT_EQ(at_psi(1), PressureLevel::Some);
}

TEST_F(Pressure, IsNotAskedWhereItIsOffOrUnknown) {
  settings_.psi_percent.reset();
  EXPECT_EQ(at_psi(99), PressureLevel::None);
  settings_.psi_percent = 5;
  snapshot_.memory_some_avg10_percent.reset();
  snapshot_.mem_limit_bytes = 0;
  EXPECT_EQ(at_pool(1U << 30), PressureLevel::None);
  snapshot_.mem_limit_bytes = 1;
  settings_.limit_percent.reset();
  EXPECT_EQ(at_pool(1U << 30), PressureLevel::None);
}

}  // namespace
}  // namespace uzram
