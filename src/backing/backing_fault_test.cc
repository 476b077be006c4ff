// SPDX-License-Identifier: Apache-2.0
// A disk that fails, stalls, or says nothing: what the space reports, and what it does not
// use again.
#include <chrono>
#include <thread>

#include "backing/backing_fixture.h"

namespace uzram {
namespace {

using Kind = BackingRequest::Kind;
using std::chrono::milliseconds;

constexpr std::uint64_t kBlocks = 256;

BackingOptions hasty_options() {
  BackingOptions options = quick_options();
  options.time_limit = milliseconds(60);
  return options;
}

class BackingFault : public ::testing::Test {
 protected:
  FakeDisk disk_{kBlocks};
  SpaceUser user_{disk_, hasty_options()};

  template <typename Work>
  static milliseconds time_of(Work work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start);
  }
};

TEST_F(BackingFault, FailedWritesAreReportedObjectByObject) {
  // A run has 64 pages: the second of three fails.
  disk_.fail(Kind::Write, ENOSPC, 1, 1);
  for (int i = 0; i < 3 * 64; ++i) ASSERT_EQ(user_.append(kBlockBytes), 0);
  EXPECT_EQ(user_.flush(), 64U);
  EXPECT_EQ(user_.last_error(), ENOSPC);
  EXPECT_EQ(user_.objects().size(), 128U);
  EXPECT_EQ(user_.counters().blocks_in_use, 128U);
  EXPECT_EQ(user_.counters().blocks_written, 128U);
  user_.verify();
}

TEST_F(BackingFault, WhicheverWriteFailsTheOthersAreFine) {
  for (std::uint64_t n = 0; n < 8; ++n) {
    disk_.fail(Kind::Write, EIO, n, 1);
    for (int i = 0; i < 100; ++i) ASSERT_EQ(user_.append(4000), 0);
    const std::size_t failed = user_.flush();
    EXPECT_EQ(user_.objects().size(), 100 - failed);
    EXPECT_EQ(failed > 0, n < 2) << "100 objects are two runs";
    user_.verify();
    user_.drop_all();
    EXPECT_EQ(user_.counters().blocks_in_use, 0U);
    disk_.work_again();
  }
}

TEST_F(BackingFault, AFailedReadIsAnErrorOfThatReadAlone) {
  user_.put(3, 1000);
  disk_.fail(Kind::Read, EIO, 1, 1);
  EXPECT_EQ(user_.read(0), 0);
  EXPECT_EQ(user_.read(1), EIO);
  EXPECT_EQ(user_.read(1), 0);
}

TEST_F(BackingFault, AStalledReadEndsAtTheTimeLimit) {
  user_.put(3, 1000);
  EXPECT_FALSE(user_.space().store().is_stalled());
  disk_.hold_up();
  const milliseconds time = time_of([&] { EXPECT_EQ(user_.read(0), EIO); });
  EXPECT_GE(time, milliseconds(60));
  EXPECT_LT(time, milliseconds(2'000));
  EXPECT_TRUE(user_.space().store().is_stalled());
  // Both read requests are away now; the next one gets none.
  EXPECT_EQ(user_.read(1), EIO);
  EXPECT_EQ(user_.read(2), EIO);
  EXPECT_EQ(disk_.request_count(Kind::Read), 2U);
  disk_.let_go();
  EXPECT_FALSE(user_.space().store().is_stalled());
  user_.verify();
}

TEST_F(BackingFault, BlocksOfAStalledWriteAreNotUsedBeforeItIsOver) {
  disk_.hold_up();
  ASSERT_EQ(user_.append(kBlockBytes), 0);
  EXPECT_EQ(user_.flush(), 1U);
  EXPECT_EQ(user_.last_error(), EIO);
  EXPECT_EQ(user_.counters().blocks_in_use, 1U) << "the block stays taken";
  disk_.let_go();
  // Every block but one can be had; then the request has come back and its block too.
  user_.put(kBlocks, kBlockBytes);
  EXPECT_EQ(user_.counters().blocks_in_use, kBlocks);
  user_.verify();
}

TEST_F(BackingFault, ALateWriteDoesNotDamageWhatWasWrittenMeanwhile) {
  disk_.hold_up();
  for (int i = 0; i < 64; ++i) ASSERT_EQ(user_.append(kBlockBytes), 0);
  EXPECT_EQ(user_.flush(), 64U);
  // The disk answers new requests at once and keeps the old one for later.
  disk_.answer_new_requests();
  while (user_.append(kBlockBytes) == 0) continue;
  EXPECT_EQ(user_.flush(), 0U);
  EXPECT_EQ(user_.objects().size(), kBlocks - 64);
  user_.verify();
  disk_.let_go();
  user_.verify();
}

TEST_F(BackingFault, BlocksOfALostWriteAreRetired) {
  disk_.lose_writes(1);
  for (int i = 0; i < 10; ++i) ASSERT_EQ(user_.append(kBlockBytes), 0);
  EXPECT_EQ(user_.flush(), 10U);
  EXPECT_EQ(user_.counters().retired_blocks, 10U);
  user_.put(kBlocks - 10, kBlockBytes);
  EXPECT_EQ(user_.append(kBlockBytes), ENOSPC);
  user_.verify();
  user_.reopen();
  EXPECT_EQ(user_.adopt_all(), kBlocks - 10);
  user_.put(10, kBlockBytes);
  user_.verify();
}

TEST_F(BackingFault, AWriterEndsInBoundedTimeWhenEveryWriteStalls) {
  disk_.hold_up();
  int error = 0;
  int taken = 0;
  const milliseconds time = time_of([&] {
    while ((error = user_.append(kMaxObjectBytes)) == 0) ++taken;
    user_.flush();
  });
  EXPECT_EQ(user_.failed_count(), static_cast<std::size_t>(taken));
  EXPECT_EQ(error, EIO);
  EXPECT_LT(time, milliseconds(5'000));
  EXPECT_TRUE(user_.objects().empty());
  disk_.let_go();
  user_.put(1, 1000);
  user_.verify();
}

TEST_F(BackingFault, ShutDownLetsEveryoneGo) {
  SpaceUser patient(disk_);  // With five seconds of patience.
  patient.put(1, 1000);
  disk_.hold_up();
  std::thread reader([&] { EXPECT_EQ(patient.read(0), EIO); });
  std::this_thread::sleep_for(milliseconds(20));
  patient.space().store().shut_down();
  EXPECT_LT(time_of([&] { reader.join(); }), milliseconds(1'000));
  EXPECT_LT(time_of([&] { EXPECT_EQ(patient.read(0), EIO); }), milliseconds(1'000));
  EXPECT_EQ(patient.append(100), EIO);
  EXPECT_EQ(patient.flush(), 0U);
  disk_.let_go();
}

TEST_F(BackingFault, ADiskThatNeverAnswersDoesNotKeepTheSpaceAlive) {
  user_.put(1, 1000);
  disk_.hold_up();
  EXPECT_EQ(user_.read(0), EIO);
  ASSERT_EQ(user_.append(kBlockBytes), 0);
  EXPECT_EQ(user_.flush(), 1U);
  EXPECT_LT(time_of([&] { user_.close(); }), BackingStore::kFarewell + milliseconds(1'000));
  // The disk answers at last: into buffers that still are there.
  disk_.let_go();
  user_.open();
  EXPECT_EQ(user_.adopt_all(), 1U);
  user_.verify();
}

TEST_F(BackingFault, AStalledDiscardKeepsItsBlocks) {
  user_.put(64, kBlockBytes);
  user_.drop_all();
  disk_.hold_up();
  EXPECT_EQ(user_.space().discard_freed_blocks(kBlocks).error().code, EIO);
  EXPECT_EQ(user_.counters().blocks_in_use, 64U);
  disk_.answer_new_requests();
  while (user_.append(kBlockBytes) == 0) continue;
  EXPECT_EQ(user_.flush(), 0U);
  EXPECT_EQ(user_.objects().size(), kBlocks - 64);
  disk_.let_go();
  user_.verify();
}

}  // namespace
}  // namespace uzram
