// SPDX-License-Identifier: Apache-2.0
// backing_dev and what is written back to it, as scripts use them. The errno values are the
// kernel's.
#include "control/backing_attributes.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <random>

#include "base/file_descriptor.h"
#include "control/attribute_fixture.h"
#include "control/block_state.h"

namespace uzram {
namespace {

constexpr std::uint64_t kPages = 256;

class BackingAttributeTest : public AttributeTest {
 protected:
  BackingAttributeTest() : path_(::testing::TempDir() + "uzram-backing-XXXXXX") {
    const FileDescriptor file(::mkstemp(path_.data()));
    EXPECT_EQ(::ftruncate(file.get(), 4 << 20), 0);
  }
  ~BackingAttributeTest() override { ::unlink(path_.c_str()); }

  // Pages 0 to 31 hold text, 32 to 35 noise.
  void start(const std::vector<std::pair<const char*, const char*>>& settings = {}) {
    ASSERT_EQ(store("comp_algorithm", "lz4"), "ok");
    ASSERT_EQ(store("backing_dev", path_ + "\n"), "ok");
    for (const auto& [name, value] : settings) ASSERT_EQ(store(name, value), "ok") << name;
    ASSERT_EQ(store("disksize", "1M"), "ok");
    write_pages(0, 32, std::byte{7});
    std::mt19937_64 noise(1);
    std::vector<std::uint64_t> words(4 * kPageBytes / sizeof(std::uint64_t));
    for (std::uint64_t& word : words) word = noise();
    ASSERT_TRUE(device_.write(32 * kPageBytes, std::as_bytes(std::span(words))));
    before_ = content();
  }
  std::vector<std::byte> content() {
    std::vector<std::byte> bytes(kPages * kPageBytes);
    EXPECT_TRUE(device_.read(0, bytes));
    return bytes;
  }
  std::uint64_t count_with(char flag) {
    const InputResult<TextPart> part = list_block_state(device_, {0}, 1000);
    return static_cast<std::uint64_t>(std::count(part->text.begin(), part->text.end(), flag));
  }
  std::uint64_t blocks() { return device_.stats().backing_blocks; }

  std::string path_;
  std::vector<std::byte> before_;
};

TEST_F(BackingAttributeTest, IsNoneUntilItIsSetAndFixedAfterwards) {
  EXPECT_EQ(show("backing_dev"), "none\n");
  start();
  EXPECT_EQ(show("backing_dev"), path_ + "\n");
  EXPECT_EQ(store("backing_dev", path_), "EBUSY");
  EXPECT_EQ(store("compressed_writeback", "1"), "EBUSY");
  EXPECT_EQ(store("backing_encryption", "0"), "EBUSY");
  EXPECT_EQ(store("reset", "1"), "ok");
  EXPECT_EQ(show("backing_dev"), "none\n");
  // It was let go: the next may have it.
  EXPECT_EQ(store("backing_dev", path_), "ok");
}

TEST_F(BackingAttributeTest, RefusesWhatIsNoStore) {
  EXPECT_EQ(store("backing_dev", "/dev/null"), "ENOTBLK");
  EXPECT_EQ(store("backing_dev", ::testing::TempDir()), "EISDIR");
  EXPECT_EQ(store("backing_dev", path_ + ".none"), "ENOENT");
  ASSERT_EQ(::truncate(path_.c_str(), 4095), 0);
  EXPECT_EQ(store("backing_dev", path_), "EINVAL");
  EXPECT_EQ(show("backing_dev"), "none\n");
}

TEST_F(BackingAttributeTest, WritesBackWhatIsIdleAndReadsItAgain) {
  start();
  EXPECT_EQ(show("bd_stat"), "       0        0        0\n");
  EXPECT_EQ(store("writeback", "type=idle"), "ok");
  EXPECT_EQ(blocks(), 0U) << "nothing is idle yet";
  ASSERT_EQ(store("idle", "all"), "ok");
  EXPECT_EQ(store("writeback", "idle\n"), "ok") << "the old way";
  EXPECT_EQ(count_with('w'), 36U);
  EXPECT_EQ(show("bd_stat"), "      36        0       36\n") << "unpacked, a block each";
  EXPECT_EQ(device_.stats().compr_data_bytes, 0U);
  EXPECT_EQ(device_.stats().orig_data_bytes, 36U * kPageBytes);
  EXPECT_EQ(content(), before_);
  EXPECT_EQ(count_with('w'), 0U) << "there is room, so they came back";
  EXPECT_EQ(blocks(), 0U);
}

TEST_F(BackingAttributeTest, PacksManyPagesIntoABlock) {
  start({{"compressed_writeback", "1"}});
  EXPECT_EQ(show("compressed_writeback"), "1\n");
  ASSERT_EQ(store("idle", "all"), "ok");
  EXPECT_EQ(store("writeback", "type=idle"), "ok");
  EXPECT_EQ(count_with('w'), 36U);
  EXPECT_LT(blocks(), 4U + 16U) << "4 raw pages, and 32 that share blocks";
  EXPECT_EQ(content(), before_);
}

TEST_F(BackingAttributeTest, WritesPagesByNumber) {
  start();
  EXPECT_EQ(store("writeback", "page_index=3 page_indexes=8-11 page_index=0x20"), "ok");
  EXPECT_EQ(count_with('w'), 6U);
  EXPECT_EQ(store("writeback", "page_indexes=30-40 type=huge"), "ok");
  EXPECT_EQ(count_with('w'), 6U + 2U + 3U) << "the range, and then what is huge in it";
  EXPECT_EQ(store("writeback", "page_index=256"), "ERANGE");
  EXPECT_EQ(store("writeback", "page_indexes=5-4"), "ERANGE");
  EXPECT_EQ(store("writeback", "page_indexes=5"), "EINVAL");
  EXPECT_EQ(store("writeback", "page_index=x"), "EINVAL");
  EXPECT_EQ(content(), before_);
}

TEST_F(BackingAttributeTest, WritesHugePagesAlone) {
  start();
  EXPECT_EQ(store("writeback", "type=huge"), "ok");
  EXPECT_EQ(count_with('w'), 4U);
  EXPECT_EQ(device_.stats().huge_pages, 0U);
  EXPECT_EQ(content(), before_);
}

TEST_F(BackingAttributeTest, RefusesWordsThatItDoesNotKnow) {
  EXPECT_EQ(store("writeback", "type=idle"), "EINVAL") << "no disksize";
  ASSERT_EQ(store("disksize", "1M"), "ok");
  EXPECT_EQ(store("writeback", "type=idle"), "ENODEV");
  ASSERT_EQ(store("reset", "1"), "ok");
  start();
  for (const char* text : {"type=cold", "cold", "type=", "", " ", "pages=1", "type=idle2"})
    EXPECT_EQ(store("writeback", text), "EINVAL") << text;
}

TEST_F(BackingAttributeTest, KeepsToItsLimit) {
  start();
  EXPECT_EQ(show("writeback_limit_enable"), "0\n");
  EXPECT_EQ(store("writeback_limit_enable", "1"), "ok");
  EXPECT_EQ(show("writeback_limit_enable"), "1\n");
  ASSERT_EQ(store("idle", "all"), "ok");
  EXPECT_EQ(store("writeback", "type=idle"), "EIO") << "nothing is allowed";
  EXPECT_EQ(blocks(), 0U);
  EXPECT_EQ(store("writeback_limit", "10"), "ok");
  EXPECT_EQ(store("writeback", "type=idle"), "EIO") << "used up in the middle";
  EXPECT_EQ(blocks(), 10U);
  EXPECT_EQ(show("writeback_limit"), "0\n");
  EXPECT_EQ(store("writeback_limit", "26"), "ok");
  EXPECT_EQ(store("writeback", "type=idle"), "ok") << "just enough";
  EXPECT_EQ(blocks(), 36U);
  EXPECT_EQ(show("writeback_limit"), "0\n");
  for (const char* text : {"", "x", "-1", "1x"}) {
    EXPECT_EQ(store("writeback_limit", text), "EINVAL") << text;
    EXPECT_EQ(store("writeback_limit_enable", text), "EINVAL") << text;
  }
  EXPECT_EQ(content(), before_);
}

TEST_F(BackingAttributeTest, TakesABatchSizeAboveNone) {
  EXPECT_EQ(show("writeback_batch_size"), "32\n");
  EXPECT_EQ(store("writeback_batch_size", "1"), "ok");
  EXPECT_EQ(show("writeback_batch_size"), "1\n");
  for (const char* text : {"0", "", "x", "4294967296"})
    EXPECT_EQ(store("writeback_batch_size", text), "EINVAL") << text;
  start();
  EXPECT_EQ(store("writeback", "page_indexes=0-255"), "ok");
  EXPECT_EQ(content(), before_);
}

TEST_F(BackingAttributeTest, SaysWhenTheStoreIsFull) {
  ASSERT_EQ(::truncate(path_.c_str(), 8 * kPageBytes), 0);
  start();
  EXPECT_EQ(store("writeback", "page_indexes=0-255"), "ENOSPC");
  EXPECT_EQ(blocks(), 8U);
  EXPECT_EQ(content(), before_);
}

TEST_F(BackingAttributeTest, LeavesNothingReadableInTheFile) {
  start();
  EXPECT_EQ(show("backing_encryption"), "1\n");
  ASSERT_EQ(store("writeback", "page_indexes=0-255"), "ok");
  std::ifstream file(path_, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::string secret(reinterpret_cast<const char*>(before_.data()), 64);
  EXPECT_EQ(bytes.find(secret), std::string::npos);
  ASSERT_EQ(store("reset", "1"), "ok");
  ASSERT_EQ(store("backing_encryption", "off"), "ok");
  start();
  ASSERT_EQ(store("writeback", "page_indexes=0-255"), "ok");
  std::ifstream again(path_, std::ios::binary);
  const std::string plain((std::istreambuf_iterator<char>(again)),
                          std::istreambuf_iterator<char>());
  EXPECT_NE(plain.find(secret), std::string::npos) << "that it looked in the right place";
}

}  // namespace
}  // namespace uzram
