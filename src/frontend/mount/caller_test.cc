// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/caller.h"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <thread>
#include <vector>

#include "base/file_descriptor.h"

namespace uzram {
namespace {

constexpr uid_t kUser = 54'321;
constexpr gid_t kGroup = 54'322;
constexpr gid_t kFurtherGroup = 54'323;

std::vector<gid_t> groups_of_this_thread() {
  std::vector<gid_t> groups(64);
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

struct stat made_by(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  struct stat status {};
  EXPECT_EQ(::fstat(file.get(), &status), 0);
  return status;
}

class CallerTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root takes the ids of others";
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
    ASSERT_EQ(::chmod(folder_.c_str(), 0777), 0);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  // Runs while another process, with a group more, is there to ask.
  void with_process(const std::function<void(pid_t)>& use) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      const gid_t groups[] = {kFurtherGroup};
      const bool is_ready = ::setgroups(1, groups) == 0 &&
                            ::setresgid(kGroup, kGroup, kGroup) == 0 &&
                            ::setresuid(kUser, kUser, kUser) == 0;
      const char byte = is_ready ? 1 : 0;
      static_cast<void>(!::write(ends[1], &byte, 1));
      for (;;) ::pause();
    }
    char byte = 0;
    EXPECT_EQ(::read(ends[0], &byte, 1), 1);
    EXPECT_EQ(byte, 1);
    use(child);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(ends[0]);
    ::close(ends[1]);
  }

  std::string folder_ = testing::TempDir() + "uzram-caller.XXXXXX";
};

TEST_F(CallerTest, OwnsWhatIsMadeOnItsBehalf) {
  {
    const auto acting = ActAs::begin({kUser, kGroup, 0, 0});
    ASSERT_TRUE(acting);
    const auto status = made_by(folder_ + "/a");
    EXPECT_EQ(status.st_uid, kUser);
    EXPECT_EQ(status.st_gid, kGroup);
  }
  const auto status = made_by(folder_ + "/b");
  EXPECT_EQ(status.st_uid, ::geteuid());
  EXPECT_EQ(status.st_gid, ::getegid());
}

TEST_F(CallerTest, HasNoneOfRootsRightsOverFiles) {
  const std::string path = folder_ + "/secret";
  FileDescriptor(::open(path.c_str(), O_WRONLY | O_CREAT, 0600));
  const auto acting = ActAs::begin({kUser, kGroup, 0, 0});
  EXPECT_LT(::open(path.c_str(), O_RDONLY), 0);
  EXPECT_EQ(errno, EACCES);
  EXPECT_NE(::chmod(path.c_str(), 0666), 0);
  EXPECT_EQ(errno, EPERM);
}

TEST_F(CallerTest, HasItsFurtherGroupsAsLongAsItIsThatProcess) {
  const auto own = groups_of_this_thread();
  with_process([&](pid_t process) {
    {
      const auto acting = ActAs::begin({kUser, kGroup, process, 0});
      ASSERT_TRUE(acting);
      EXPECT_EQ(groups_of_this_thread(), std::vector<gid_t>{kFurtherGroup});
    }
    EXPECT_EQ(groups_of_this_thread(), own);
    const auto acting = ActAs::begin({kUser + 1, kGroup, process, 0});
    EXPECT_EQ(groups_of_this_thread(), std::vector<gid_t>{});
  });
}

TEST_F(CallerTest, IsRootWithAnotherGroup) {
  const auto acting = ActAs::begin({0, kGroup, 0, 0});
  const auto status = made_by(folder_ + "/a");
  EXPECT_EQ(status.st_uid, 0U);
  EXPECT_EQ(status.st_gid, kGroup);
}

TEST_F(CallerTest, ChangesOneThreadOnly) {
  const auto acting = ActAs::begin({kUser, kGroup, 0, 0});
  std::vector<gid_t> before;
  std::thread([&] {
    before = groups_of_this_thread();
    const auto status = made_by(folder_ + "/a");
    // A thread begins with the ids of the one that made it; its own change stays with it.
    EXPECT_EQ(status.st_uid, kUser);
    ::syscall(SYS_setfsuid, kUser + 1);
  }).join();
  EXPECT_EQ(made_by(folder_ + "/b").st_uid, kUser);
}

TEST_F(CallerTest, HasItsUmaskInAThreadOfItsOwn) {
  const mode_t before = ::umask(0);
  std::thread([&] {
    separate_umask();
    EXPECT_EQ(mode_under_umask({0, 0, 0, 027}, 0777), 0777U);
    EXPECT_EQ(made_by(folder_ + "/a").st_mode & 07777, 0640U);
  }).join();
  EXPECT_EQ(made_by(folder_ + "/b").st_mode & 07777, 0666U);
  EXPECT_EQ(mode_under_umask({0, 0, 0, 027}, 0777), 0750U);
  ::umask(before);
}

}  // namespace
}  // namespace uzram
