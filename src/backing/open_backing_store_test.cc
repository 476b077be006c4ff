// SPDX-License-Identifier: Apache-2.0
// Which words open a backing store, and with which errors the others are refused.
#include "backing/open_backing_store.h"

#include "backing/backing_fixture.h"
#include "backing/backing_store_rows.h"

namespace uzram {
namespace {

class OpenBackingStore : public ::testing::Test {
 protected:
  TemporaryFolder folder_;

  // Returns: 0 or the error.
  static int open_error(const std::string& word) {
    const auto store = open_backing_store(word, quick_options());
    return store ? 0 : store.error().code;
  }
  static int write_error(BackingStore& store, std::uint64_t seed) {
    BackingLease lease = store.try_take(BackingUse::Write);
    fill_object(lease.buffer().first(kBlockBytes), seed);
    lease.start(BackingRequest::Kind::Write, {0, 1});
    const Result<void> done = lease.finish();
    return done ? 0 : done.error().code;
  }
};

TEST_F(OpenBackingStore, RefusesWhatIsNeitherFileNorDevice) {
  EXPECT_EQ(open_error("/dev/null"), ENOTBLK);
  const std::string fifo = folder_.path("fifo");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(open_error(fifo), ENOTBLK);
  EXPECT_EQ(open_error("/proc"), EISDIR);
}

TEST_F(OpenBackingStore, PassesOnWhatOpenSays) {
  EXPECT_EQ(open_error(folder_.path("absent")), ENOENT);
  EXPECT_EQ(open_error("none"), ENOENT);
  EXPECT_EQ(open_error(""), ENOENT);
  EXPECT_EQ(open_error(folder_.make_file("file", kBlockBytes) + "/below"), ENOTDIR);
}

TEST_F(OpenBackingStore, WantsABlockAtLeast) {
  EXPECT_EQ(open_error(folder_.make_file("small", kBlockBytes - 1)), EINVAL);
  EXPECT_EQ(open_error(folder_.make_file("empty", 0)), EINVAL);
  EXPECT_EQ(open_error(folder_.make_file("enough", kBlockBytes)), 0);
}

TEST_F(OpenBackingStore, LeavesTheEndOfABlockAlone) {
  const auto store = open_backing_store(folder_.make_file("odd", 3 * kBlockBytes + 100));
  ASSERT_TRUE(store.has_value());
  EXPECT_EQ((*store)->block_count(), 3U);
}

TEST_F(OpenBackingStore, RefusesAFileThatAnotherStoreHas) {
  const std::string file = folder_.make_file("file", 8 * kBlockBytes);
  auto first = open_backing_store(file);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(open_error(file), EBUSY);
  first->reset();
  EXPECT_EQ(open_error(file), 0);
}

TEST_F(OpenBackingStore, RefusesADeviceThatAnotherStoreHas) {
  const LoopOverFile loop(folder_.make_file("file", 8 * kBlockBytes));
  if (!loop.is_there()) GTEST_SKIP() << "no loop device for this user or on this machine";
  auto first = open_backing_store(loop.path());
  ASSERT_TRUE(first.has_value()) << first.error().code;
  EXPECT_EQ(open_error(loop.path()), EBUSY);
  first->reset();
  EXPECT_EQ(open_error(loop.path()), 0);
}

TEST_F(OpenBackingStore, GoesOnWithTheFileOfAnEndedProcess) {
  const std::string file = folder_.make_file("file", 8 * kBlockBytes);
  auto first = open_backing_store(file);
  ASSERT_TRUE(first.has_value());
  FileDescriptor kept(::fcntl((*first)->descriptor(), F_DUPFD_CLOEXEC, 0));
  first->reset();
  EXPECT_EQ(open_error(file), EBUSY) << "who keeps the descriptor keeps the claim";
  auto second = adopt_backing_file(std::move(kept));
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ((*second)->block_count(), 8U);
  EXPECT_EQ(write_error(**second, 1), 0);
}

TEST_F(OpenBackingStore, WorksWhereThePageCacheCannotBeAvoided) {
  TemporaryFolder folder;
  const std::string file = "/dev/shm/uzram-backing-" + std::to_string(::getpid());
  {
    const FileDescriptor made(::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    if (!made.is_open()) GTEST_SKIP() << "no /dev/shm";
    ASSERT_EQ(::ftruncate(made.get(), 8 * kBlockBytes), 0);
  }
  const auto store = open_backing_store(file);
  ::unlink(file.c_str());
  ASSERT_TRUE(store.has_value()) << store.error().code;
  EXPECT_EQ(write_error(**store, 1), 0);
}

TEST_F(OpenBackingStore, KnowsAnNbdUri) {
  EXPECT_TRUE(is_nbd_uri("nbd://host"));
  EXPECT_TRUE(is_nbd_uri("nbds://host:10809/export"));
  EXPECT_TRUE(is_nbd_uri("nbd+unix:///?socket=/run/nbd"));
  EXPECT_TRUE(is_nbd_uri("nbds+unix:///?socket=/run/nbd"));
  EXPECT_FALSE(is_nbd_uri("/dev/nbd0"));
  EXPECT_FALSE(is_nbd_uri("nbd"));
  EXPECT_FALSE(is_nbd_uri("./nbd://host"));
}

TEST_F(OpenBackingStore, PassesOnWhatConnectSays) {
  EXPECT_EQ(open_error("nbd+unix:///?socket=" + folder_.path("absent")), ENOENT);
  EXPECT_EQ(open_error("nbd://127.0.0.1:1"), ECONNREFUSED);
  EXPECT_EQ(open_error("nbd+unix:///"), EINVAL) << "no socket named";
}

}  // namespace
}  // namespace uzram
