// SPDX-License-Identifier: Apache-2.0
#include "frontend/nbd/served_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>
#include <vector>

namespace uzram {
namespace {

using ::testing::HasSubstr;

class ServedDeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string folder = ::testing::TempDir() + "uzram-nbd-XXXXXX";
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    settings_.disk_bytes = 1 << 20;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static std::size_t thread_count() {
    const std::filesystem::directory_iterator threads("/proc/self/task");
    return static_cast<std::size_t>(std::distance(begin(threads), end(threads)));
  }

  std::filesystem::path folder_;
  PluginSettings settings_;
};

TEST_F(ServedDeviceTest, PreparingLeavesNoThreadAndNoSocketBehind) {
  settings_.control_path = folder_ / "control";
  std::thread([] {}).join();  // a sanitizer's own thread begins with the first
  const std::size_t threads_before = thread_count();
  ServedDevice served;
  ASSERT_TRUE(served.prepare(settings_));
  EXPECT_LE(thread_count(), threads_before);  // the joined one may still be in the list
  EXPECT_FALSE(std::filesystem::exists(settings_.control_path));
}

TEST_F(ServedDeviceTest, AStartedDeviceKeepsWhatIsWritten) {
  settings_.algorithm = "zstd";
  ServedDevice served;
  ASSERT_TRUE(served.prepare(settings_));
  ASSERT_TRUE(served.start(settings_));
  EXPECT_EQ(served.device().algorithm().name, "zstd");
  const std::vector<std::byte> data(5000, std::byte{7});
  ASSERT_TRUE(served.device().write(100, data));
  std::vector<std::byte> back(data.size());
  ASSERT_TRUE(served.device().read(100, back));
  EXPECT_EQ(back, data);
}

TEST_F(ServedDeviceTest, NobodyResetsTheDiskUnderItsClients) {
  ServedDevice served;
  ASSERT_TRUE(served.prepare(settings_));
  ASSERT_TRUE(served.start(settings_));
  const Result<void> outcome = served.device().reset();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, EBUSY);
  EXPECT_EQ(served.device().disksize(), 1U << 20);
}

TEST_F(ServedDeviceTest, TheControlSocketLivesFromStartToStop) {
  settings_.control_path = folder_ / "control";
  ServedDevice served;
  ASSERT_TRUE(served.prepare(settings_));
  ASSERT_TRUE(served.start(settings_));
  EXPECT_EQ(std::filesystem::status(settings_.control_path).permissions(),
            std::filesystem::perms(0600));
  served.stop();
  EXPECT_FALSE(std::filesystem::exists(settings_.control_path));
}

TEST_F(ServedDeviceTest, WhatIsWrongIsSaidWhilePreparing) {
  ServedDevice with_level;
  settings_.algorithm = "lzo";
  settings_.level = 3;
  InputResult<void> outcome = with_level.prepare(settings_);
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().text, HasSubstr("lzo takes no level"));

  settings_ = {};
  settings_.disk_bytes = 1 << 20;
  settings_.control_path = folder_ / "missing" / "control";
  ServedDevice with_control;
  outcome = with_control.prepare(settings_);
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().text, HasSubstr("missing/control"));
}

}  // namespace
}  // namespace uzram
