// SPDX-License-Identifier: Apache-2.0
// No plain file begins as cluster files do, whatever made it so.
#include <fcntl.h>
#include <unistd.h>

#include "frontend/mount/volume_fixture.h"

namespace uzram {
namespace {

class RegularFilePlainTest : public VolumeFixture {
 protected:
  void SetUp() override {
    VolumeFixture::SetUp();
    MountOptions options;
    options.rule.do_not = {"*"};
    open_volume(options);
  }
  // A plain file that is open for writing; with a further name if it is to stay below as it is.
  RegularFile& plain(const std::string& content, bool has_two_names = false) {
    std::ofstream(path("a"), std::ios::binary) << content;
    if (has_two_names && ::link(path("a").c_str(), path("b").c_str()) != 0) ADD_FAILURE();
    RegularFile& file = *find("a").file;
    EXPECT_TRUE(file.open(true));
    return file;
  }
  // What it reads as, now and when it is opened anew.
  void expect_content(RegularFile& file, const std::string& content) {
    EXPECT_EQ(content_of(file), content);
    file.close(true);
    ASSERT_TRUE(volume_->committer().commit_all());
    EXPECT_TRUE(is_cluster_file("a"));
    open_volume();
    RegularFile& again = *find("a").file;
    ASSERT_TRUE(again.open(false));
    EXPECT_EQ(content_of(again), content);
    again.close(false);
  }

  const std::string almost_ = "uzramcf";
};

TEST_F(RegularFilePlainTest, ALargerSize) {
  RegularFile& file = plain(almost_);
  ASSERT_TRUE(file.truncate(20));
  expect_content(file, almost_ + std::string(13, '\0'));
}

TEST_F(RegularFilePlainTest, AWriteBehindTheEnd) {
  RegularFile& file = plain(almost_);
  EXPECT_FALSE(file.try_plain_write(100, [](int) {}));
  ASSERT_TRUE(file.write(100, bytes_of("x")));
  expect_content(file, almost_ + std::string(93, '\0') + "x");
}

TEST_F(RegularFilePlainTest, AHole) {
  RegularFile& file = plain("uzramcfX and more");
  ASSERT_TRUE(file.allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 7, 1));
  expect_content(file, magic() + " and more");
}

TEST_F(RegularFilePlainTest, SpaceSetAside) {
  RegularFile& file = plain(almost_);
  static_cast<void>(file.allocate(0, 0, 50));
  const std::string content = content_of(file);
  EXPECT_EQ(content.substr(0, 7), almost_);
  file.close(true);
  ASSERT_TRUE(volume_->committer().commit_all());
  EXPECT_EQ(is_cluster_file("a"), stored("a").size() > 7);
}

TEST_F(RegularFilePlainTest, WithSeveralNamesEveryDoorIsClosed) {
  RegularFile& file = plain("uzramcfX", true);
  EXPECT_EQ(file.write(7, bytes_of(std::string(1, '\0'))).error().code, EMLINK);
  EXPECT_EQ(file.allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 7, 1).error().code, EMLINK);
  ASSERT_TRUE(file.truncate(7));
  EXPECT_EQ(file.truncate(8).error().code, EMLINK);
  EXPECT_FALSE(file.try_plain_write(100, [](int) {}));
  EXPECT_EQ(file.write(100, bytes_of("x")).error().code, EMLINK);
  EXPECT_EQ(stored("a"), almost_);
  ASSERT_TRUE(file.write(7, bytes_of("-")));
  EXPECT_TRUE(file.try_plain_write(100, [](int) {}));
  file.close(true);
}

TEST_F(RegularFilePlainTest, OthersStayPlain) {
  RegularFile& file = plain("words");
  ASSERT_TRUE(file.truncate(20));
  ASSERT_TRUE(file.write(100, bytes_of("x")));
  file.close(true);
  EXPECT_FALSE(is_cluster_file("a"));
}

}  // namespace
}  // namespace uzram
