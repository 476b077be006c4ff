// SPDX-License-Identifier: Apache-2.0
#include "app/disk_content.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "base/file_descriptor.h"

namespace uzram {
namespace {

using testing::HasSubstr;

class DiskContentTest : public testing::Test {
 protected:
  DiskContentTest() : disk_(::memfd_create("disk", MFD_CLOEXEC)) {
    EXPECT_EQ(::ftruncate(disk_.get(), 8 << 20), 0);
  }
  void put(off_t offset, std::string_view bytes) {
    ASSERT_EQ(::pwrite(disk_.get(), bytes.data(), bytes.size(), offset),
              static_cast<ssize_t>(bytes.size()));
  }
  FoundContent found() {
    const auto content = probe_disk(disk_.get());
    EXPECT_TRUE(content);
    return content.value_or(FoundContent{});
  }

  FileDescriptor disk_;
};

TEST_F(DiskContentTest, IsNothingOnAnEmptyDisk) { EXPECT_EQ(found().kind, DiskContent::Nothing); }

TEST_F(DiskContentTest, IsAPartitionTable) {
  put(0x1be + 4, std::string_view("\x83\0\0\0\x01\0\0\0\x00\x10\0\0", 12));
  put(0x1fe, "\x55\xaa");
  EXPECT_EQ(found().kind, DiskContent::Other);
  EXPECT_THAT(found().name, HasSubstr("partition table"));
}

TEST_F(DiskContentTest, IsNotNothingWhenItCannotBeRead) {
  FileDescriptor directory(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_FALSE(probe_disk(directory.get()));
}

}  // namespace
}  // namespace uzram
