// SPDX-License-Identifier: Apache-2.0
#include "cluster/cluster_storage.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

namespace uzram {
namespace {

class ClusterStorageTest : public testing::Test {
 protected:
  ~ClusterStorageTest() override { std::filesystem::remove(path_); }
  std::unique_ptr<ClusterStorage> create() {
    return open_cluster_storage(path_, StorageMode::Create).value();
  }
  std::uint64_t allocated_bytes() const {
    struct stat status {};
    EXPECT_EQ(::stat(path_.c_str(), &status), 0);
    return static_cast<std::uint64_t>(status.st_blocks) * kSectorBytes;
  }

  const std::string path_ = testing::TempDir() + "uzram-storage-" + std::to_string(::getpid());
};

TEST_F(ClusterStorageTest, KeepsBytesAtOffsets) {
  const auto storage = create();
  const std::vector<std::byte> bytes(10'000, std::byte{7});
  ASSERT_TRUE(storage->write(5000, bytes));
  EXPECT_EQ(storage->size_bytes(), 15'000U);
  ASSERT_TRUE(storage->sync());
  std::vector<std::byte> out(10'000);
  ASSERT_TRUE(storage->read(5000, out));
  EXPECT_EQ(out, bytes);
  EXPECT_EQ(storage->read(5001, out).error().code, EIO);
  ASSERT_TRUE(storage->set_size(5001));
  EXPECT_EQ(storage->size_bytes(), 5001U);
}

TEST_F(ClusterStorageTest, GivesSpaceBackAndSetsItAside) {
  const auto storage = create();
  const std::vector<std::byte> bytes(std::size_t{1} << 20, std::byte{7});
  ASSERT_TRUE(storage->write(0, bytes));
  ASSERT_TRUE(storage->sync());
  const std::uint64_t before = allocated_bytes();
  ASSERT_TRUE(storage->punch(0, bytes.size() / 2));
  if (allocated_bytes() == before) GTEST_SKIP() << "this file system punches no holes";
  EXPECT_LE(allocated_bytes(), before - bytes.size() / 4);
  ASSERT_TRUE(storage->set_aside(0, 2 * bytes.size()));
  EXPECT_GE(allocated_bytes(), 2 * bytes.size());
}

TEST_F(ClusterStorageTest, HasOneWriterOrManyReaders) {
  auto writer = create();
  EXPECT_EQ(open_cluster_storage(path_, StorageMode::Write).error().code, EBUSY);
  EXPECT_EQ(open_cluster_storage(path_, StorageMode::Read).error().code, EBUSY);
  writer.reset();
  const auto reader = open_cluster_storage(path_, StorageMode::Read).value();
  EXPECT_TRUE(open_cluster_storage(path_, StorageMode::Read));
  EXPECT_EQ(open_cluster_storage(path_, StorageMode::Write).error().code, EBUSY);
}

// A foreign lock of one who may only read the file.
class ForeignReader {
 public:
  explicit ForeignReader(const std::string& path) : file_(::open(path.c_str(), O_RDONLY)) {
    EXPECT_EQ(::flock(file_.get(), LOCK_EX), 0);
    struct flock all {};
    all.l_type = F_RDLCK;
    EXPECT_EQ(::fcntl(file_.get(), F_OFD_SETLK, &all), 0);
    all.l_type = F_WRLCK;
    EXPECT_NE(::fcntl(file_.get(), F_OFD_SETLK, &all), 0);
  }

 private:
  FileDescriptor file_;
};

TEST_F(ClusterStorageTest, ALockOfWhoMayOnlyReadStopsNeitherReadersNorAWriterOfThatRule) {
  create();
  const ForeignReader foreign(path_);
  EXPECT_TRUE(open_cluster_storage(path_, StorageMode::Read));
  const auto open_file = [&] { return FileDescriptor(::open(path_.c_str(), O_RDWR)); };
  EXPECT_TRUE(adopt_cluster_storage(open_file(), StorageMode::Write, LockRule::WritersOnly));
  EXPECT_EQ(adopt_cluster_storage(open_file(), StorageMode::Write).error().code, EBUSY);
}

TEST_F(ClusterStorageTest, AWritersLockStopsAWriterOfEitherRule) {
  const auto writer = create();
  FileDescriptor file(::open(path_.c_str(), O_RDWR));
  const auto other =
      adopt_cluster_storage(std::move(file), StorageMode::Write, LockRule::WritersOnly);
  EXPECT_EQ(other.error().code, EBUSY);
}

TEST_F(ClusterStorageTest, IsARegularFileThatIsNewOrThere) {
  EXPECT_EQ(open_cluster_storage(path_, StorageMode::Write).error().code, ENOENT);
  create();
  EXPECT_EQ(open_cluster_storage(path_, StorageMode::Create).error().code, EEXIST);
  EXPECT_EQ(open_cluster_storage("/", StorageMode::Read).error().code, EISDIR);
  EXPECT_EQ(open_cluster_storage("/dev/null", StorageMode::Write).error().code, ENODEV);
}

}  // namespace
}  // namespace uzram
