// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <thread>
#include <vector>

#include "frontend/mount/late_answers.h"
#include "frontend/mount/volume_fixture.h"

namespace uzram {
namespace {

class RegularFileThread : public VolumeFixture {};

// Each thread has stretches of its own in one file, which grows from nothing into clusters while
// others commit it, ask for its size, open and close it.
TEST_F(RegularFileThread, LosesNoWriteOfAny) {
  constexpr std::size_t kWriters = 3, kStretches = 40, kStretchBytes = 3000;
  open_volume();
  volume_->committer().start();
  RegularFile& file = create("a");
  Inode& inode = find("a");
  std::atomic<bool> is_done = false;
  std::vector<std::thread> threads;
  const auto stretch = [](std::size_t writer, std::size_t index) {
    return std::string(kStretchBytes, static_cast<char>('a' + (writer * 7 + index) % 26));
  };
  for (std::size_t writer = 0; writer < kWriters; ++writer) {
    threads.emplace_back([&, writer] {
      for (std::size_t i = 0; i < kStretches; ++i) {
        const std::uint64_t offset = (i * kWriters + writer) * kStretchBytes;
        EXPECT_TRUE(file.write(offset, bytes_of(stretch(writer, i))));
      }
    });
  }
  std::thread other([&] {
    while (!is_done) {
      EXPECT_TRUE(inode.file->open(false));
      struct stat status {};
      EXPECT_EQ(::fstat(inode.place(), &status), 0);
      EXPECT_TRUE(file.size_bytes(status));
      EXPECT_TRUE(file.sync());
      EXPECT_TRUE(file.commit_in_background());
      static_cast<void>(content_of(file));
      inode.file->close(false);
    }
  });
  for (std::thread& thread : threads) thread.join();
  is_done = true;
  other.join();
  std::string expected;
  for (std::size_t i = 0; i < kStretches; ++i) {
    for (std::size_t writer = 0; writer < kWriters; ++writer) expected += stretch(writer, i);
  }
  EXPECT_EQ(content_of(file), expected);
  file.close(true);
  EXPECT_TRUE(volume_->committer().commit_all());
}

TEST_F(RegularFileThread, TooManyClosedFilesAreCommittedByWhoeverClosesThem) {
  constexpr int kFiles = 12;
  MountOptions options;
  options.most_closed_files = 8;
  open_volume(options);
  for (int i = 0; i < kFiles; ++i) {
    RegularFile& file = create(std::to_string(i));
    ASSERT_TRUE(file.write(0, bytes_of(text(40'000))));
    file.close(true);
  }
  // The committer's own thread was never started: what is free now was committed on the way.
  int committed = 0;
  for (int i = 0; i < kFiles; ++i) {
    auto storage = open_cluster_storage(path(std::to_string(i)), StorageMode::Write);
    if (storage) ++committed;
  }
  EXPECT_EQ(committed, kFiles - 8);
  EXPECT_TRUE(volume_->committer().commit_all());
}

TEST(LateAnswersThread, DoesEverythingThatWasPosted) {
  std::atomic<int> done = 0;
  {
    LateAnswers late;
    late.start();
    std::vector<std::thread> posters;
    for (int i = 0; i < 4; ++i) {
      posters.emplace_back([&] {
        for (int j = 0; j < 100; ++j) late.post([&done] { ++done; });
      });
    }
    for (std::thread& poster : posters) poster.join();
    late.stop();
  }
  EXPECT_EQ(done, 400);
}

}  // namespace
}  // namespace uzram
