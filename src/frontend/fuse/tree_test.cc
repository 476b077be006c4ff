// SPDX-License-Identifier: Apache-2.0
// The tree as scripts see it: through the mount, with a shell.
#include "frontend/fuse/tree.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <thread>

#include "frontend/fuse/disk_fixture.h"

namespace uzram {
namespace {

using ::testing::HasSubstr;

struct Said {
  int code = -1;
  std::string text;
};

Said shell(const std::string& command) {
  Said said;
  // Not the shell's own echo: dash's says "I/O error" whatever happened.
  const std::string head = "exec 2>&1; export LC_ALL=C; echo() { env echo \"$@\"; }; ";
  FILE* pipe = ::popen((head + command).c_str(), "re");
  if (pipe == nullptr) return said;
  std::array<char, 4096> part;
  while (const std::size_t count = std::fread(part.data(), 1, part.size(), pipe)) {
    said.text.append(part.data(), count);
  }
  said.code = WEXITSTATUS(::pclose(pipe));
  return said;
}

class TreeTest : public DiskFixture {
 protected:
  void SetUp() override {
    if (const std::string why = why_no_disks(); !why.empty()) GTEST_SKIP() << why;
    FuseAttachmentOptions options;
    options.has_loop = why_no_loop().empty();
    start(options);
    auto tree = Tree::start(*devices_, folder_.path() + "/sys");
    ASSERT_TRUE(tree) << tree.error().text;
    tree_ = std::move(*tree);
  }
  void TearDown() override {
    tree_.reset();
    DiskFixture::TearDown();
    expect_nothing_left();
  }
  Said in_tree(const std::string& command) {
    return shell("cd " + folder_.path() + "/sys && " + command);
  }

  std::unique_ptr<Tree> tree_;
};

TEST_F(TreeTest, ListsLooksAndModesAreThoseOfSysfs) {
  EXPECT_EQ(in_tree("ls").text, "block\nclass\nkernel\nmachine\n");
  ASSERT_EQ(in_tree("cat class/zram-control/hot_add").text, "0\n");
  EXPECT_EQ(in_tree("stat -c '%A %s' block/zram0/disksize").text, "-rw-r--r-- 4096\n");
  EXPECT_EQ(in_tree("stat -c '%A %s' block/zram0/reset").text, "--w------- 4096\n");
  EXPECT_EQ(in_tree("stat -c '%A %s' block/zram0/mm_stat").text, "-r--r--r-- 4096\n");
  EXPECT_EQ(in_tree("stat -c '%A' block/zram0").text, "drwxr-xr-x\n");
  EXPECT_EQ(devices_->all().size(), 1U);
}

TEST_F(TreeTest, EveryAttributeThatCanBeReadIsRead) {
  devices_->add();
  for (const Attribute& attribute : device_attributes()) {
    if (attribute.is_debug()) continue;
    const Said said = in_tree(fmt::format("cat block/zram0/{}", attribute.name));
    if (attribute.show == nullptr) {
      EXPECT_EQ(said.code, 1) << attribute.name;
      EXPECT_THAT(said.text, HasSubstr("Permission denied")) << attribute.name;
    } else {
      EXPECT_EQ(said.code, 0) << attribute.name << ": " << said.text;
      EXPECT_EQ(said.text, *attribute.show(*devices_->find(0))) << attribute.name;
    }
  }
}

TEST_F(TreeTest, ReadOnlyAttributesRefuseWriting) {
  devices_->add();
  for (const Attribute& attribute : device_attributes()) {
    if (attribute.store != nullptr || attribute.is_debug()) continue;
    const Said said = in_tree(fmt::format("echo 1 > block/zram0/{}", attribute.name));
    EXPECT_NE(said.code, 0) << attribute.name;
    EXPECT_THAT(said.text, HasSubstr("Permission denied")) << attribute.name;
  }
}

TEST_F(TreeTest, BlockStateIsReadByWhateverReadsFiles) {
  devices_->add();
  const std::string file = "kernel/debug/zram/zram0/block_state";
  EXPECT_EQ(in_tree("stat -c '%A %s' " + file).text, "-r-------- 0\n");
  EXPECT_EQ(in_tree("stat -c '%A' kernel/debug").text, "drwx------\n");
  EXPECT_THAT(in_tree("cat " + file).text, HasSubstr("Invalid argument"));
  EXPECT_THAT(in_tree("echo 1 > " + file).text, HasSubstr("Permission denied"));
  ASSERT_EQ(in_tree("echo 1G > block/zram0/disksize").text, "");
  constexpr std::size_t kPages = 20'000;  // 800,000 bytes of text: many reads.
  const std::vector<std::byte> pattern(kPages * kPageBytes, std::byte{0x55});
  ASSERT_TRUE(devices_->find(0)->write(0, pattern));
  const std::string sum = in_tree("cat " + file + " | md5sum").text;
  EXPECT_EQ(in_tree("dd bs=777 status=none < " + file + " | md5sum").text, sum);
  EXPECT_EQ(in_tree("dd bs=1M status=none < " + file + " | md5sum").text, sum);
  EXPECT_EQ(in_tree("wc -lc < " + file).text, "20000 800000\n");
  EXPECT_EQ(in_tree("dd bs=40 skip=19999 status=none < " + file + " | awk '{print $1, $3}'").text,
            "19999 s.....\n");
  EXPECT_EQ(in_tree("tail -n 1 " + file + " | awk '{print $1, $3}'").text, "19999 s.....\n");
  EXPECT_EQ(in_tree("awk '$3 ~ /s/' " + file + " | wc -l").text, "20000\n");
}

TEST_F(TreeTest, AScriptSetsUpADiskAndTakesItAway) {
  const Said said = in_tree(
      "id=$(cat class/zram-control/hot_add) && cd block/zram$id && echo zstd > comp_algorithm && "
      "echo 64M > disksize && echo 32M > mem_limit && cat initstate disksize comp_algorithm && "
      "echo 1 > reset && cat initstate && cd ../.. && echo $id > class/zram-control/hot_remove && "
      "ls block");
  EXPECT_EQ(said.code, 0);
  EXPECT_THAT(said.text, ::testing::StartsWith("1\n67108864\n"));
  EXPECT_THAT(said.text, HasSubstr("[zstd]"));
  EXPECT_THAT(said.text, ::testing::EndsWith("\n0\n"));
  EXPECT_TRUE(devices_->all().empty());
}

TEST_F(TreeTest, WrongWordsGetTheKernelsErrors) {
  devices_->add();
  const auto said = [this](const std::string& text, const std::string& file) {
    return in_tree("echo " + text + " > " + file).text;
  };
  EXPECT_THAT(said("nonsense", "block/zram0/disksize"), HasSubstr("Invalid argument"));
  EXPECT_THAT(said("nonsense", "block/zram0/comp_algorithm"), HasSubstr("Invalid argument"));
  EXPECT_THAT(said("1", "block/zram0/compact"), HasSubstr("Invalid argument"));
  EXPECT_EQ(said("64M", "block/zram0/disksize"), "");
  EXPECT_THAT(said("64M", "block/zram0/disksize"), HasSubstr("Device or resource busy"));
  EXPECT_THAT(said("lz4", "block/zram0/comp_algorithm"), HasSubstr("Device or resource busy"));
  EXPECT_THAT(said("7", "class/zram-control/hot_remove"), HasSubstr("No such device"));
  EXPECT_THAT(said("1", "block/zram0/new_file"), HasSubstr("Permission denied"));
  EXPECT_THAT(in_tree("mkdir block/zram1").text, HasSubstr("Operation not permitted"));
  EXPECT_THAT(in_tree("rm -f block/zram0/disksize").text, HasSubstr("Operation not permitted"));
}

TEST_F(TreeTest, UsedDiskCannotBeResetThroughTheTree) {
  if (const std::string why = why_no_loop(); !why.empty()) GTEST_SKIP() << why;
  devices_->add();
  devices_->add();
  ASSERT_EQ(in_tree("echo 64M | tee block/zram0/disksize block/zram1/disksize").code, 0);
  const std::string path = devices_->find(0)->block_path();
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(in_tree("cat block/zram0/dev").text, fmt::format("7:{}\n", status.st_rdev & 0xff));
  {
    const FileDescriptor disk = open_direct(path);
    EXPECT_THAT(in_tree("echo 1 > block/zram0/reset").text, HasSubstr("busy"));
    EXPECT_THAT(in_tree("echo 0 > class/zram-control/hot_remove").text, HasSubstr("busy"));
    EXPECT_EQ(in_tree("echo 1 > class/zram-control/hot_remove").text, "");
    EXPECT_EQ(in_tree("ls block").text, "zram0\n");
    EXPECT_EQ(write_at(disk, 0, AlignedBytes::pattern(kPageBytes, 1)), kPageBytes);
  }
  EXPECT_EQ(in_tree("awk '{print $1}' block/zram0/mm_stat").text, "4096\n");
  EXPECT_EQ(in_tree("echo 0 > class/zram-control/hot_remove").text, "");
}

TEST_F(TreeTest, AttributesAreServedWhileOthersBlock) {
  if (const std::string why = why_no_loop(); !why.empty()) GTEST_SKIP() << why;
  for (int id = 0; id < 4; ++id) devices_->add();
  std::vector<std::thread> scripts;
  for (int id = 0; id < 4; ++id) {
    scripts.emplace_back([this, id] {
      for (int life = 0; life < 5; ++life) {
        const Said said = in_tree(fmt::format(
            "cd block/zram{} && echo 16M > disksize && cat mm_stat && echo 1 > reset", id));
        EXPECT_EQ(said.code, 0) << said.text;
      }
    });
  }
  for (std::thread& script : scripts) script.join();
}

TEST_F(TreeTest, EndsWhileFilesAreOpen) {
  devices_->add();
  const FileDescriptor file(
      ::open((tree_->folder() + "/block/zram0/mm_stat").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(file.is_open());
  tree_.reset();
  char byte = 0;
  EXPECT_EQ(::read(file.get(), &byte, 1), -1);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() + "/sys"));
}

TEST_F(TreeTest, UserWithoutRootHasATreeToo) {
  if (shell("command -v fusermount3").code != 0) GTEST_SKIP() << "no fusermount3 here";
  tree_.reset();  // A process with threads of its own does not fork well.
  constexpr uid_t kNobody = 65534;
  const std::string home = folder_.path() + "/home";
  std::filesystem::create_directory(home);
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  ASSERT_EQ(::chown(home.c_str(), kNobody, kNobody), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0) ::_exit(1);
    DeviceSet devices;
    devices.add();
    {
      const auto tree = Tree::start(devices, home + "/sys");
      if (!tree) ::_exit(2);
      if (shell("cat " + home + "/sys/block/zram0/initstate").text != "0\n") ::_exit(3);
    }
    ::_exit(std::filesystem::exists(home + "/sys") ? 4 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 2) GTEST_SKIP() << "users may not mount here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(TreeTest, SecondTreeOnTheSameFolderIsRefused) {
  const auto second = Tree::start(*devices_, tree_->folder());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, EBUSY);
  EXPECT_EQ(in_tree("ls").text, "block\nclass\nkernel\nmachine\n");
}

TEST_F(TreeTest, FolderWithOtherFilesIsRefused) {
  const std::string folder = folder_.path() + "/full";
  std::filesystem::create_directory(folder);
  std::ofstream(folder + "/file") << "words";
  const auto tree = Tree::start(*devices_, folder);
  ASSERT_FALSE(tree);
  EXPECT_EQ(tree.error().code, ENOTEMPTY);
  EXPECT_FALSE(Tree::start(*devices_, "relative"));
}

TEST_F(TreeTest, TreeOfAKilledDaemonIsReplaced) {
  tree_.reset();  // As above.
  const std::string folder = folder_.path() + "/other";
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    DeviceSet devices;
    const auto tree = Tree::start(devices, folder);
    if (!tree || ::write(ready[1], "1", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  ::close(ready[1]);
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ::close(ready[0]);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  const auto tree = Tree::start(*devices_, folder);
  ASSERT_TRUE(tree) << tree.error().text;
  EXPECT_EQ(shell("ls " + folder).text, "block\nclass\nkernel\nmachine\n");
}

TEST_F(TreeTest, ModesAndOwnersChangeAsInSysfs) {
  devices_->add();
  const std::string file = folder_.path() + "/sys/block/zram0/disksize";
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  EXPECT_EQ(in_tree("chmod 0660 block/zram0/disksize && chown 1000:1001 block/zram0/disksize "
                    "&& touch -d @1000 block/zram0/disksize")
                .text,
            "");
  struct stat status {};
  ASSERT_EQ(::stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFREG | 0660U);
  EXPECT_EQ(status.st_uid, 1000U);
  EXPECT_EQ(status.st_gid, 1001U);
  EXPECT_EQ(status.st_mtime, 1000);
  const std::string as_owner = "setpriv --reuid=1000 --regid=2000 --clear-groups ";
  EXPECT_EQ(in_tree(as_owner + "sh -c 'chmod 0600 block/zram0/disksize'").code, 0);
  EXPECT_THAT(in_tree("setpriv --reuid=1002 --clear-groups chmod 0666 block/zram0/disksize").text,
              HasSubstr("Operation not permitted"));
  EXPECT_THAT(in_tree(as_owner + "chmod 0666 block/zram0/mm_stat").text,
              HasSubstr("Operation not permitted"));
  EXPECT_EQ(in_tree(as_owner + "sh -c 'echo 16M > block/zram0/disksize'").text, "");
  EXPECT_EQ(in_tree("cat block/zram0/initstate").text, "1\n");
  EXPECT_EQ(in_tree("chmod 0444 block/zram0/reset; echo 1 > block/zram0/reset").code, 2)
      << "root is refused as well";
  EXPECT_EQ(in_tree("chmod 0200 block/zram0/reset; echo 1 > block/zram0/reset").text, "");
}

TEST_F(TreeTest, TheQueueIsTheLoopDevices) {
  if (const std::string why = why_no_loop(); !why.empty()) GTEST_SKIP() << why;
  devices_->add();
  ASSERT_EQ(in_tree("echo 16M > block/zram0/disksize").text, "");
  const Said number = in_tree("cat block/zram0/dev");
  const std::string loop = "/sys/dev/block/" + number.text.substr(0, number.text.size() - 1);
  EXPECT_EQ(in_tree("for f in block/zram0/queue/*; do test -f $f || continue; "
                    "cmp $f " +
                    loop + "/queue/${f##*/} || exit 1; done")
                .text,
            "");
  EXPECT_EQ(
      in_tree("echo 64 > block/zram0/queue/read_ahead_kb; cat " + loop + "/queue/read_ahead_kb")
          .text,
      "64\n");
  EXPECT_THAT(in_tree("echo x > block/zram0/queue/read_ahead_kb").text,
              HasSubstr("Invalid argument"));
  EXPECT_EQ(in_tree("readlink machine/dev/block/$(cat block/zram0/dev)").text,
            "/sys/block/zram0\n");
  EXPECT_EQ(in_tree("ls machine/block | grep -cx $(basename $(readlink -f " + loop + "))").text,
            "0\n");
  EXPECT_EQ(in_tree("lsblk -ndo NAME --sysroot /nowhere; ls -lR block/zram0 > /dev/null").code, 0);
}

}  // namespace
}  // namespace uzram
