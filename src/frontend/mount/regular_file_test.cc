// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/regular_file.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "frontend/mount/volume_fixture.h"

namespace uzram {
namespace {

class RegularFileTest : public VolumeFixture {
 protected:
  void SetUp() override {
    VolumeFixture::SetUp();
    open_volume();
  }
  // What the kernel would show of its size.
  std::uint64_t shown_size(const std::string& name) {
    Inode& inode = find(name);
    struct stat status {};
    EXPECT_EQ(::fstat(inode.place(), &status), 0);
    const auto size = inode.file->size_bytes(status);
    EXPECT_TRUE(size);
    return size ? *size : 0;
  }
  void reopen_volume() {
    ASSERT_TRUE(volume_->committer().commit_all());
    open_volume();
  }
  // Reads it all, as somebody who opens it for reading.
  std::string read_back(const std::string& name) {
    RegularFile& file = *find(name).file;
    EXPECT_TRUE(file.open(false)) << name;
    std::string content = content_of(file);
    file.close(false);
    return content;
  }
};

TEST_F(RegularFileTest, IsInMemoryWhileItIsYoung) {
  RegularFile& file = create("a");
  ASSERT_TRUE(file.write(5, bytes_of("words")));
  EXPECT_EQ(content_of(file), std::string(5, '\0') + "words");
  EXPECT_EQ(stored("a"), "");
  EXPECT_EQ(shown_size("a"), 10U);
  file.close(true);
  EXPECT_EQ(stored("a"), std::string(5, '\0') + "words");
}

TEST_F(RegularFileTest, ASmallOneIsPlainOnceItIsSynced) {
  RegularFile& file = create("a");
  ASSERT_TRUE(file.write(0, bytes_of("words")));
  ASSERT_TRUE(file.sync());
  EXPECT_EQ(stored("a"), "words");
  ASSERT_TRUE(file.write(5, bytes_of(" more")));
  EXPECT_EQ(stored("a"), "words more");
  file.close(true);
}

TEST_F(RegularFileTest, ALargeOneIsAClusterFile) {
  const std::string content = text(100'000);
  RegularFile& file = create("a");
  ASSERT_TRUE(file.write(0, bytes_of(content)));
  EXPECT_EQ(content_of(file), content);
  file.close(true);
  EXPECT_EQ(shown_size("a"), content.size());
  reopen_volume();
  EXPECT_TRUE(is_cluster_file("a"));
  EXPECT_LT(stored("a").size(), content.size());
  EXPECT_EQ(shown_size("a"), content.size());
  EXPECT_EQ(read_back("a"), content);
}

TEST_F(RegularFileTest, BecomesAClusterFileWhereItReachesTwoClusters) {
  const std::uint64_t limit = volume_->small_file_bytes();
  RegularFile& below = create("below");
  ASSERT_TRUE(below.write(0, bytes_of(text(limit - 1))));
  below.close(true);
  RegularFile& at = create("at");
  ASSERT_TRUE(at.write(0, bytes_of(text(limit))));
  at.close(true);
  EXPECT_FALSE(is_cluster_file("below"));
  EXPECT_TRUE(is_cluster_file("at"));
}

TEST_F(RegularFileTest, ASmallPlainOneGrowsIntoAClusterFile) {
  const std::string content = text(100'000);
  std::ofstream(path("a")) << content.substr(0, 1000);
  Inode& inode = find("a");
  RegularFile& file = *inode.file;
  const ino_t number = inode.shown_number();
  ASSERT_TRUE(file.open(true));
  ASSERT_TRUE(file.write(1000, bytes_of(content.substr(1000))));
  EXPECT_EQ(content_of(file), content);
  EXPECT_EQ(inode.shown_number(), number);
  EXPECT_EQ(&find("a"), &inode) << "the file below is another one, and yet the same";
  file.close(true);
  reopen_volume();
  EXPECT_TRUE(is_cluster_file("a"));
  EXPECT_EQ(read_back("a"), content);
}

TEST_F(RegularFileTest, StaysPlainWhenItCannotBeReplaced) {
  const std::string content = text(100'000);
  std::ofstream(path("a")) << content.substr(0, 1000);
  std::filesystem::create_hard_link(path("a"), path("b"));
  RegularFile& file = *find("a").file;
  ASSERT_TRUE(file.open(true));
  ASSERT_TRUE(file.write(1000, bytes_of(content.substr(1000))));
  file.close(true);
  EXPECT_EQ(stored("b"), content);
  EXPECT_FALSE(std::filesystem::exists(path(kPrivateFolder) + std::string("/0")));
}

TEST_F(RegularFileTest, NoPlainOneBeginsAsClusterFilesDo) {
  MountOptions nothing;
  nothing.rule.do_not = {"*"};
  open_volume(nothing);
  const std::string whole = magic() + text(10'000);
  RegularFile& at_once = create("at once");
  ASSERT_TRUE(at_once.write(0, bytes_of(whole)));
  RegularFile& late = create("late");
  ASSERT_TRUE(late.write(4, bytes_of(whole.substr(4))));
  EXPECT_FALSE(is_cluster_file("late"));
  ASSERT_TRUE(late.write(0, bytes_of(whole.substr(0, 4))));
  for (RegularFile* const each : {&at_once, &late}) each->close(true);
  reopen_volume();
  EXPECT_EQ(read_back("at once"), whole);
  EXPECT_EQ(read_back("late"), whole);
}

TEST_F(RegularFileTest, YoungOnesMayBeginAsClusterFilesDoToo) {
  RegularFile& file = create("a");
  ASSERT_TRUE(file.write(0, bytes_of(magic())));
  file.close(true);
  reopen_volume();
  EXPECT_TRUE(is_cluster_file("a"));
  EXPECT_EQ(read_back("a"), magic());
}

TEST_F(RegularFileTest, ADamagedOneCannotBeOpenedAndHasASize) {
  std::ofstream(path("a")) << magic() + text(10'000);
  EXPECT_EQ(shown_size("a"), 0U);
  const auto opened = find("a").file->open(false);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, EBADMSG);
}

TEST_F(RegularFileTest, ReadersMakeRoomForAWriter) {
  const std::string content = text(100'000);
  RegularFile& first = create("a");
  ASSERT_TRUE(first.write(0, bytes_of(content)));
  first.close(true);
  reopen_volume();
  RegularFile& file = *find("a").file;
  ASSERT_TRUE(file.open(false));
  EXPECT_EQ(content_of(file), content);
  ASSERT_TRUE(file.open(true));
  ASSERT_TRUE(file.write(0, bytes_of("new")));
  EXPECT_EQ(content_of(file), "new" + content.substr(3));
  file.close(true);
  EXPECT_EQ(content_of(file), "new" + content.substr(3));
  file.close(false);
}

TEST_F(RegularFileTest, KeepsNothingThatNoNameLeadsTo) {
  ASSERT_TRUE(create("a").write(0, bytes_of(text(100'000))));
  Inode& inode = find("a");
  std::filesystem::remove(path("a"));
  EXPECT_FALSE(inode.file->drop_if_gone()) << "it is open";
  inode.file->close(true);
  ASSERT_TRUE(volume_->committer().commit_all());
  EXPECT_FALSE(inode.file->drop_if_gone()) << "nothing is left to drop";
}

// No file can be written behind this many bytes: a storage that fails.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int) = SIG_DFL;
};

TEST_F(RegularFileTest, GivesUpWhatCanNeverBeSafeAndTellsTheNextOne) {
  const std::string content = text(100'000);
  RegularFile& file = create("a");
  ASSERT_TRUE(file.write(0, bytes_of(content)));
  ASSERT_TRUE(file.sync());
  ASSERT_TRUE(file.write(0, bytes_of("new")));
  {
    const FileSizeLimit limit(kPageBytes);
    file.close(true);
    EXPECT_FALSE(volume_->committer().commit_all());
  }
  ASSERT_TRUE(file.open(true));
  EXPECT_EQ(content_of(file), content);
  EXPECT_EQ(file.flush().error().code, EFBIG);
  EXPECT_TRUE(file.flush()) << "it is told once";
  file.close(true);
}

TEST_F(RegularFileTest, MovesItsBytesWithoutMovingItsTimes) {
  RegularFile& file = create("a");
  ASSERT_TRUE(file.write(0, bytes_of(text(100'000))));
  const timespec times[2] = {{1'000'000, 7}, {2'000'000, 9}};
  ASSERT_TRUE(file.set_times(times));
  struct stat status {};
  ASSERT_EQ(::stat(path("a").c_str(), &status), 0);
  const timespec changed = volume_->change_times().shown(status);
  ASSERT_TRUE(file.sync());
  file.close(true);
  ASSERT_EQ(::stat(path("a").c_str(), &status), 0);
  const timespec still = volume_->change_times().shown(status);
  EXPECT_EQ(still.tv_sec, changed.tv_sec);
  EXPECT_EQ(still.tv_nsec, changed.tv_nsec);
  EXPECT_EQ(status.st_mtim.tv_sec, 2'000'000);
  EXPECT_EQ(status.st_mtim.tv_nsec, 9);
}

TEST_F(RegularFileTest, CompressesAndDecompressesAsAWhole) {
  MountOptions options;
  options.is_user_mode = true;
  open_volume(options);
  const std::string content = text(300'000);
  RegularFile& file = create("a");
  ASSERT_TRUE(file.write(0, bytes_of(content)));
  ASSERT_TRUE(file.truncate(1'000'000));
  const std::string whole = content + std::string(700'000, '\0');
  ASSERT_TRUE(file.compress());
  EXPECT_TRUE(is_cluster_file("a"));
  EXPECT_EQ(content_of(file), whole);
  ASSERT_TRUE(file.decompress());
  EXPECT_EQ(stored("a"), whole);
  EXPECT_EQ(content_of(file), whole);
  std::filesystem::create_hard_link(path("a"), path("b"));
  EXPECT_EQ(file.compress().error().code, EMLINK);
  file.close(true);
}

TEST_F(RegularFileTest, DoesNotWaitForALease) {
  std::ofstream(path("a")) << std::string(10'000, 'a');
  const FileDescriptor holder(::open(path("a").c_str(), O_RDONLY | O_CLOEXEC));
  ::signal(SIGIO, SIG_IGN);  // What the holder is told of it.
  if (::fcntl(holder.get(), F_SETLEASE, F_RDLCK) != 0) GTEST_SKIP() << "no leases here";
  EXPECT_EQ(find("a").file->open(true).error().code, EBUSY);
  ASSERT_EQ(::fcntl(holder.get(), F_SETLEASE, F_UNLCK), 0);
  ASSERT_TRUE(find("a").file->open(true));
  find("a").file->close(true);
}

}  // namespace
}  // namespace uzram
