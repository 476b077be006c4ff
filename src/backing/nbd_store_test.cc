// SPDX-License-Identifier: Apache-2.0
// NBD servers that refuse, fail, stall, vanish and come back.
#include "backing/nbd_store.h"

#include <chrono>
#include <thread>

#include "backing/backing_fixture.h"
#include "backing/backing_store_rows.h"

namespace uzram {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kBlocks = 512;
const std::string kSize = std::to_string(kBlocks * kBlockBytes);

class NbdStore : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  std::unique_ptr<NbdServer> server_;
  std::unique_ptr<SpaceUser> user_;
  BackingOptions options_ = quick_options();

  void serve(std::vector<std::string> words) {
    server_ = std::make_unique<NbdServer>(folder_, std::move(words));
    if (!server_->is_up()) GTEST_SKIP() << "nbdkit does not start here";
  }
  // Returns: 0 or the error.
  int open_error() {
    const auto store = open_backing_store(server_->uri(), options_);
    return store ? 0 : store.error().code;
  }
  void use() {
    auto store = open_backing_store(server_->uri(), options_);
    ASSERT_TRUE(store.has_value()) << store.error().code;
    auto shared = std::make_shared<std::unique_ptr<BackingStore>>(std::move(*store));
    user_ = std::make_unique<SpaceUser>((*shared)->block_count(),
                                        [shared] { return std::move(*shared); });
  }
  // Waits for reconnecting to be allowed again, too.
  bool is_readable_within(std::size_t index, milliseconds limit) {
    const auto last = std::chrono::steady_clock::now() + limit;
    while (std::chrono::steady_clock::now() < last) {
      if (user_->read(index) == 0) return true;
      std::this_thread::sleep_for(milliseconds(50));
    }
    return false;
  }
};

TEST_F(NbdStore, RefusesAReadOnlyExport) {
  serve({"-r", "memory", kSize});
  EXPECT_EQ(open_error(), EROFS);
}

TEST_F(NbdStore, RefusesAnExportOfLessThanABlock) {
  serve({"memory", "4095"});
  EXPECT_EQ(open_error(), EINVAL);
}

TEST_F(NbdStore, RefusesOtherBlockSizes) {
  serve({"--filter=blocksize-policy", "memory", kSize, "blocksize-minimum=65536",
         "blocksize-preferred=65536", "blocksize-error-policy=error"});
  EXPECT_EQ(open_error(), EINVAL);
}

TEST_F(NbdStore, GivesUpOnAServerThatDoesNotGreet) {
  serve({"memory", kSize});
  server_->stall();
  options_.time_limit = milliseconds(200);
  EXPECT_EQ(open_error(), ETIMEDOUT);
  server_->go_on();
  options_.time_limit = milliseconds(5'000);
  EXPECT_EQ(open_error(), 0);
}

TEST_F(NbdStore, PassesOnWhatTheServerSays) {
  const std::string trigger = folder_.path("fail");
  serve({"--filter=error", "memory", kSize, "error-pwrite=ENOSPC", "error-pwrite-rate=100%",
         "error-pwrite-file=" + trigger});
  use();
  user_->put(20, 1000);
  folder_.make_file("fail", 0);
  ASSERT_EQ(user_->append(1000), 0);
  EXPECT_EQ(user_->flush(), 1U);
  EXPECT_EQ(user_->last_error(), ENOSPC);
  EXPECT_EQ(user_->counters().retired_blocks, 0U) << "the server knows that it did not happen";
  ASSERT_EQ(::unlink(trigger.c_str()), 0);
  user_->put(20, 1000);
  user_->verify();
}

TEST_F(NbdStore, ServesSlowServersInTheTimeOfOne) {
  serve({"--filter=delay", "memory", kSize, "wdelay=200ms"});
  options_.writer_count = 8;
  use();
  const auto start = std::chrono::steady_clock::now();
  user_->put(8 * kRunBlocks, kBlockBytes);
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(8 * 200))
      << "the writes did not wait together";
  user_->verify();
}

TEST_F(NbdStore, EndsRequestsOfAServerThatStalls) {
  // With more threads, nbdkit 1.32 may abort when a connection breaks under two requests at once.
  serve({"-t", "1", "memory", kSize});
  options_.time_limit = milliseconds(500);
  use();
  user_->put(20, 1000);
  server_->stall();
  ASSERT_EQ(user_->append(1000), 0);
  EXPECT_EQ(user_->flush(), 1U);
  EXPECT_EQ(user_->last_error(), EIO);
  EXPECT_EQ(user_->read(0), EIO);
  EXPECT_TRUE(user_->space().store().is_stalled());
  server_->go_on();
  EXPECT_TRUE(is_readable_within(0, milliseconds(10'000)));
  user_->put(20, 1000);
  user_->verify();
  EXPECT_FALSE(user_->space().store().is_stalled());
}

TEST_F(NbdStore, CanBeClosedWhileTheServerStalls) {
  serve({"memory", kSize});
  use();
  user_->put(1, 1000);
  server_->stall();
  user_->space().store().shut_down();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(user_->read(0), EIO);
  user_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(1'500));
  server_->go_on();
}

TEST_F(NbdStore, FailsWithoutAServerAndGoesOnWithAnotherOfTheSameContent) {
  const std::string file = folder_.make_file("content", kBlocks * kBlockBytes);
  serve({"file", file});
  use();
  user_->put(50, 1000);
  server_->end();
  EXPECT_EQ(user_->read(0), EIO);
  EXPECT_EQ(user_->read(1), EIO);
  ASSERT_EQ(user_->append(1000), 0);
  EXPECT_EQ(user_->flush(), 1U);
  server_->start();
  EXPECT_TRUE(is_readable_within(0, milliseconds(10'000)));
  user_->put(50, 1000);
  user_->verify();
}

TEST_F(NbdStore, ReadsNothingFromAServerThatCameBackEmpty) {
  serve({"memory", kSize});
  use();
  user_->put(50, 1000);
  server_->end();
  server_->start();
  for (std::size_t i = 0; i < 50; ++i) EXPECT_EQ(user_->read(i), EIO);
  std::this_thread::sleep_for(milliseconds(1'200));
  for (std::size_t i = 0; i < 50; ++i) EXPECT_EQ(user_->read(i), EIO);
  user_->drop_all();
  user_->put(50, 1000);
  user_->verify();
}

TEST_F(NbdStore, LosesNoAcknowledgedObjectWhenTheServerIsKilledInTheMiddle) {
  const std::string file = folder_.make_file("content", kBlocks * kBlockBytes);
  serve({"--filter=delay", "file", file, "wdelay=30ms"});
  use();
  for (int round = 0; round < 3; ++round) {
    std::thread killer([&] {
      std::this_thread::sleep_for(milliseconds(45));
      server_->end();
    });
    for (int i = 0; i < 300 && user_->append(kBlockBytes) == 0; ++i) continue;
    user_->flush();
    killer.join();
    server_->start();
    if (!user_->objects().empty()) {
      EXPECT_TRUE(is_readable_within(0, milliseconds(10'000)));
    } else {
      std::this_thread::sleep_for(milliseconds(1'200));
    }
    user_->verify();
    user_->drop_all();
  }
  EXPECT_GT(user_->failed_count(), 0U) << "the server was never killed in the middle";
  EXPECT_EQ(user_->counters().retired_blocks, user_->counters().blocks_in_use);
}

}  // namespace
}  // namespace uzram
