// SPDX-License-Identifier: Apache-2.0
// The disk as programs see it: the file itself, and the block device over it, on both transports.
#include "frontend/fuse/fuse_attachment.h"

#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <thread>

#include "frontend/fuse/disk_fixture.h"
#include "frontend/fuse/fuse_disk.h"

namespace uzram {
namespace {

constexpr std::uint64_t kDiskBytes = 64 << 20;
constexpr std::size_t kMebibyte = std::size_t{1} << 20;

int lowest_free_descriptor() {
  const FileDescriptor probe(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  return probe.get();
}

class FuseAttachmentTest : public DiskFixture, public ::testing::WithParamInterface<UringUse> {
 protected:
  void SetUp() override {
    if (const std::string why = why_no_disks(); !why.empty()) GTEST_SKIP() << why;
    const bool has_parameter = std::filesystem::exists("/sys/module/fuse/parameters/enable_uring");
    if (GetParam() == UringUse::On && !has_parameter) {
      GTEST_SKIP() << "this kernel has no FUSE over io_uring";
    }
    was_uring_enabled_ = is_fuse_uring_enabled();
  }
  void TearDown() override {
    DiskFixture::TearDown();
    EXPECT_EQ(is_fuse_uring_enabled(), was_uring_enabled_);
    expect_nothing_left();
  }
  void start_file_only() {
    FuseAttachmentOptions options;
    options.io_uring = GetParam();
    options.has_loop = false;
    start(options);
  }
  void start_with_loop() {
    FuseAttachmentOptions options;
    options.io_uring = GetParam();
    options.on_loss = [this](const std::string& text) {
      MutexLock lock(losses_mutex_);
      losses_.push_back(text);
    };
    start(options);
  }
  // Somebody else's deed is noticed a moment later.
  bool wait_for_loss() {
    for (int i = 0; i < 200; ++i) {
      {
        MutexLock lock(losses_mutex_);
        if (!losses_.empty()) return true;
      }
      ::usleep(10000);
    }
    return false;
  }

  bool was_uring_enabled_ = false;
  Mutex losses_mutex_;
  std::vector<std::string> losses_;
};

#define SKIP_WITHOUT_LOOP() \
  if (const std::string why = why_no_loop(); !why.empty()) GTEST_SKIP() << why

INSTANTIATE_TEST_SUITE_P(Transports, FuseAttachmentTest,
                         ::testing::Values(UringUse::Off, UringUse::On), [](const auto& transport) {
                           return transport.param == UringUse::On ? "IoUring" : "ReadWrite";
                         });

// --- the file ----------------------------------------------------------------------------------

TEST_P(FuseAttachmentTest, FileHasTheSizeOfTheDisk) {
  start_file_only();
  const auto device = add_disk(kDiskBytes);
  EXPECT_EQ(device->block_path(), file_path(*device));
  struct stat status {};
  ASSERT_EQ(::stat(file_path(*device).c_str(), &status), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(status.st_size), kDiskBytes);
  EXPECT_TRUE(S_ISREG(status.st_mode));
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  EXPECT_EQ(attachment_->uses_uring(*device), GetParam() == UringUse::On);
}

TEST_P(FuseAttachmentTest, FileGivesBackWhatWasWritten) {
  start_file_only();
  const auto device = add_disk(kDiskBytes);
  const FileDescriptor disk = open_direct(device->block_path());
  for (const std::size_t bytes : {kPageBytes, 16 * kPageBytes, kMebibyte, 3 * kMebibyte}) {
    const AlignedBytes data = AlignedBytes::pattern(bytes, bytes);
    EXPECT_EQ(write_at(disk, bytes, data), bytes);
    EXPECT_EQ(read_at(disk, bytes, bytes), data);
    EXPECT_EQ(read_at(disk, 0, kPageBytes), AlignedBytes(kPageBytes));
  }
  EXPECT_GE(device->stats().orig_data_bytes, 3 * kMebibyte);
}

TEST_P(FuseAttachmentTest, FileTakesAnyAlignment) {
  start_file_only();
  const auto device = add_disk(kDiskBytes);
  const FileDescriptor disk(::open(device->block_path().c_str(), O_RDWR | O_CLOEXEC));
  const AlignedBytes data = AlignedBytes::pattern(10001, 7);
  EXPECT_EQ(write_at(disk, 4095, data), data.size());
  EXPECT_EQ(read_at(disk, 4095, data.size()), data);
  EXPECT_EQ(read_at(disk, 0, 4095), AlignedBytes(4095));
}

TEST_P(FuseAttachmentTest, PunchedHolesReadAsZerosAndGiveMemoryBack) {
  start_file_only();
  const auto device = add_disk(kDiskBytes);
  const FileDescriptor disk = open_direct(device->block_path());
  const AlignedBytes data = AlignedBytes::pattern(kMebibyte, 3);
  ASSERT_EQ(write_at(disk, 0, data), kMebibyte);
  ASSERT_EQ(
      ::fallocate(disk.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, kMebibyte - 4096),
      0);
  EXPECT_EQ(device->stats().orig_data_bytes, kPageBytes);
  EXPECT_EQ(read_at(disk, 4096, kMebibyte - 4096), AlignedBytes(kMebibyte - 4096));
  // A hole that begins and ends inside pages is zeros to the byte.
  ASSERT_EQ(::fallocate(disk.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 200), 0);
  AlignedBytes expected = AlignedBytes::pattern(kMebibyte, 3);
  std::fill_n(expected.data() + 100, 200, std::byte{0});
  EXPECT_TRUE(std::equal(expected.data(), expected.data() + kPageBytes,
                         read_at(disk, 0, kPageBytes).data()));
}

TEST_P(FuseAttachmentTest, FileCannotGrowOrShrink) {
  start_file_only();
  const auto device = add_disk(kDiskBytes);
  const FileDescriptor disk = open_direct(device->block_path());
  const AlignedBytes page = AlignedBytes::pattern(kPageBytes, 1);
  EXPECT_EQ(::pwrite(disk.get(), page.data(), kPageBytes, kDiskBytes), -1);
  EXPECT_EQ(errno, ENOSPC);
  EXPECT_EQ(::pread(disk.get(), page.data(), kPageBytes, kDiskBytes), 0);
  EXPECT_EQ(::ftruncate(disk.get(), kPageBytes), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(::fallocate(disk.get(), 0, 0, 2 * kDiskBytes), -1);
  EXPECT_EQ(errno, EOPNOTSUPP);
  // As with a block device: opening to truncate changes nothing.
  ASSERT_EQ(write_at(disk, 0, page), kPageBytes);
  const FileDescriptor truncating = open_direct(device->block_path(), O_RDWR | O_TRUNC);
  EXPECT_EQ(read_at(truncating, 0, kPageBytes), page);
}

TEST_P(FuseAttachmentTest, SeekFindsDataAndHoles) {
  start_file_only();
  const auto device = add_disk(kDiskBytes);
  const FileDescriptor disk = open_direct(device->block_path());
  ASSERT_EQ(write_at(disk, 8 * kPageBytes, AlignedBytes::pattern(2 * kPageBytes, 1)),
            2 * kPageBytes);
  EXPECT_EQ(::lseek(disk.get(), 0, SEEK_DATA), static_cast<off_t>(8 * kPageBytes));
  EXPECT_EQ(::lseek(disk.get(), 8 * kPageBytes, SEEK_HOLE), static_cast<off_t>(10 * kPageBytes));
  EXPECT_EQ(::lseek(disk.get(), 10 * kPageBytes, SEEK_DATA), -1);
  EXPECT_EQ(errno, ENXIO);
}

TEST_P(FuseAttachmentTest, ManyThreadsReadWhatTheyWrote) {
  start_file_only();
  const auto device = add_disk(kDiskBytes);
  std::vector<std::thread> threads;
  std::atomic<int> wrong_count{0};
  for (std::uint64_t number = 0; number < 4; ++number) {
    threads.emplace_back([&, number] {
      const FileDescriptor disk = open_direct(device->block_path());
      Random random(number);
      for (int i = 0; i < 200; ++i) {
        const std::size_t bytes = (1 + random.below(16)) * kPageBytes;
        const std::uint64_t offset = number * 16 * kMebibyte + random.below(3000) * kPageBytes;
        const AlignedBytes data = AlignedBytes::pattern(bytes, random.next());
        const bool is_same =
            write_at(disk, offset, data) == bytes && read_at(disk, offset, bytes) == data;
        if (!is_same) ++wrong_count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong_count, 0);
  device->check_invariants();
}

// --- the block device --------------------------------------------------------------------------

TEST_P(FuseAttachmentTest, BlockDeviceHasSizeBlocksAndDirectIo) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto device = add_disk(kDiskBytes);
  ASSERT_EQ(device->block_path().rfind("/dev/loop", 0), 0U) << device->block_path();
  const FileDescriptor disk = open_direct(device->block_path());
  std::uint64_t bytes = 0;
  EXPECT_EQ(::ioctl(disk.get(), BLKGETSIZE64, &bytes), 0);
  EXPECT_EQ(bytes, kDiskBytes);
  int block_bytes = 0;
  EXPECT_EQ(::ioctl(disk.get(), BLKSSZGET, &block_bytes), 0);
  EXPECT_EQ(block_bytes, 4096);
  loop_info64 info{};
  EXPECT_EQ(::ioctl(disk.get(), LOOP_GET_STATUS64, &info), 0);
  EXPECT_TRUE(info.lo_flags & LO_FLAGS_DIRECT_IO);
  EXPECT_FALSE(info.lo_flags & LO_FLAGS_AUTOCLEAR);
}

TEST_P(FuseAttachmentTest, OpenedDiskIsThisDiskAndNeverAStrangers) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto device = add_disk(kDiskBytes);
  const std::string path = device->block_path();
  {
    const auto disk = device->open_disk();
    ASSERT_TRUE(disk) << "errno " << disk.error().code;
    std::uint64_t bytes = 0;
    EXPECT_EQ(::ioctl(disk->get(), BLKGETSIZE64, &bytes), 0);
    EXPECT_EQ(bytes, kDiskBytes);
    // Detached by somebody else meanwhile: it stays until we close it.
    EXPECT_EQ(std::system(("losetup -d " + path).c_str()), 0);
    EXPECT_TRUE(device->open_disk());
  }
  const auto lost = device->open_disk();
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, ENODEV);
  const std::string file = folder_.path() + "/stranger";
  ASSERT_EQ(std::system(("truncate -s 1M " + file + " && losetup " + path + " " + file).c_str()),
            0);
  const auto stranger = device->open_disk();
  EXPECT_EQ(std::system(("losetup -d " + path).c_str()), 0);
  ASSERT_FALSE(stranger);
  EXPECT_EQ(stranger.error().code, ENODEV);
}

// --- taken away by others ------------------------------------------------------------------------

TEST_P(FuseAttachmentTest, DiskThatSomebodyDetachedIsMissingUntilItIsAttachedAgain) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto device = add_disk(kDiskBytes);
  const AlignedBytes data = AlignedBytes::pattern(kMebibyte, 2);
  ASSERT_EQ(write_at(open_direct(device->block_path()), 0, data), kMebibyte);
  const std::string link = folder_.path() + "/dev/zram0";
  const std::string path = device->block_path();
  EXPECT_EQ(std::filesystem::read_symlink(link), path);
  EXPECT_FALSE(device->is_disk_missing());
  ASSERT_EQ(std::system(("losetup -d " + path).c_str()), 0);
  EXPECT_TRUE(device->is_disk_missing());
  EXPECT_EQ(device->block_path(), "");
  EXPECT_TRUE(wait_for_loss());
  EXPECT_EQ(losses_.front().find("somebody detached " + path + " from zram0"), 0U);
  EXPECT_FALSE(std::filesystem::is_symlink(link));
  ASSERT_TRUE(device->attach_disk());
  EXPECT_FALSE(device->is_disk_missing());
  EXPECT_EQ(std::filesystem::read_symlink(link), device->block_path());
  EXPECT_EQ(read_at(open_direct(device->block_path()), 0, kMebibyte), data);
  EXPECT_TRUE(device->attach_disk());  // Nothing to do.
  EXPECT_TRUE(device->reset());
  EXPECT_EQ(losses_.size(), 1U);
}

TEST_P(FuseAttachmentTest, DiskWhoseFileIsGoneAsWellIsAttachedAgain) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto device = add_disk(kDiskBytes);
  const AlignedBytes data = AlignedBytes::pattern(kMebibyte, 2);
  ASSERT_EQ(write_at(open_direct(device->block_path()), 0, data), kMebibyte);
  ASSERT_EQ(std::system(("losetup -d " + device->block_path()).c_str()), 0);
  ASSERT_EQ(::umount2(file_path(*device).c_str(), MNT_DETACH), 0);
  EXPECT_TRUE(device->is_disk_missing());
  ASSERT_TRUE(device->attach_disk());
  EXPECT_EQ(read_at(open_direct(device->block_path()), 0, kMebibyte), data);
  EXPECT_TRUE(device->reset());
}

TEST_P(FuseAttachmentTest, AbortedConnectionIsMissingAndCanBeRemovedOrAttachedAgain) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto device = add_disk(kDiskBytes);
  const AlignedBytes data = AlignedBytes::pattern(kMebibyte, 2);
  ASSERT_EQ(write_at(open_direct(device->block_path()), 0, data), kMebibyte);
  const auto abort = [&] {
    const auto number = find_connection_number(file_path(*device));
    ASSERT_TRUE(number && abort_connection(*number));
    for (int i = 0; i < 200 && !device->is_disk_missing(); ++i) ::usleep(10000);
    EXPECT_TRUE(device->is_disk_missing());
  };
  abort();
  ASSERT_TRUE(device->attach_disk());
  EXPECT_EQ(read_at(open_direct(device->block_path()), 0, kMebibyte), data);
  abort();
  EXPECT_TRUE(device->reset());
}

TEST_P(FuseAttachmentTest, AttachingAgainThatFailsKeepsThePages) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto device = add_disk(kDiskBytes);
  const AlignedBytes data = AlignedBytes::pattern(kMebibyte, 2);
  ASSERT_EQ(write_at(open_direct(device->block_path()), 0, data), kMebibyte);
  ASSERT_EQ(std::system(("losetup -d " + device->block_path()).c_str()), 0);
  rlimit usual{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &usual), 0);
  int failure_count = 0;
  for (int spare_count = 0; spare_count < 64; ++spare_count) {
    rlimit tight = usual;
    tight.rlim_cur = static_cast<rlim_t>(lowest_free_descriptor() + spare_count);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
    const Result<void> done = device->attach_disk();
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &usual), 0);
    if (done) break;
    ++failure_count;
    EXPECT_TRUE(device->is_disk_missing());
  }
  EXPECT_GE(failure_count, 2);
  EXPECT_EQ(read_at(open_direct(device->block_path()), 0, kMebibyte), data);
}

TEST(PossibleProcessorsTest, AreNotGuessedWithoutADescriptor) {
  rlimit usual{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &usual), 0);
  rlimit none = usual;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const Result<unsigned> count = possible_processor_count();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &usual), 0);
  ASSERT_FALSE(count);
  EXPECT_EQ(count.error().code, EMFILE);
  EXPECT_GE(possible_processor_count().value(), 1U);
}

TEST_P(FuseAttachmentTest, DetachedDiskComesBackWithItsPages) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto device = add_disk(kDiskBytes);
  const AlignedBytes data = AlignedBytes::pattern(kMebibyte, 2);
  ASSERT_EQ(write_at(open_direct(device->block_path()), 0, data), kMebibyte);
  ASSERT_TRUE(device->detach_disk());
  expect_nothing_left();
  EXPECT_EQ(device->block_path(), "");
  ASSERT_TRUE(device->attach_disk());
  EXPECT_EQ(read_at(open_direct(device->block_path()), 0, kMebibyte), data);
}

TEST_P(FuseAttachmentTest, DescriptorsThatOnlyNameTheFileAreNoUse) {
  start_file_only();
  const auto device = add_disk(kDiskBytes);
  const FileDescriptor name(::open(file_path(*device).c_str(), O_PATH | O_CLOEXEC));
  ASSERT_TRUE(name.is_open());
  EXPECT_TRUE(attachment_->users(*device).empty());
  EXPECT_TRUE(device->reset());
}

TEST_P(FuseAttachmentTest, OpenedDiskWithoutLoopIsTheFile) {
  start_file_only();
  const auto device = add_disk(kDiskBytes);
  {
    const auto disk = device->open_disk();
    ASSERT_TRUE(disk);
    struct stat status {};
    EXPECT_EQ(::fstat(disk->get(), &status), 0);
    EXPECT_EQ(static_cast<std::uint64_t>(status.st_size), kDiskBytes);
  }
  ASSERT_TRUE(device->reset());
  EXPECT_EQ(device->open_disk().error().code, ENODEV);
}

TEST_P(FuseAttachmentTest, BlockDeviceGivesBackWhatWasWritten) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto device = add_disk(kDiskBytes);
  const FileDescriptor disk = open_direct(device->block_path());
  for (const std::size_t bytes : {kPageBytes, 32 * kPageBytes, kMebibyte, 4 * kMebibyte}) {
    const AlignedBytes data = AlignedBytes::pattern(bytes, bytes + 1);
    EXPECT_EQ(write_at(disk, 2 * bytes, data), bytes);
    EXPECT_EQ(read_at(disk, 2 * bytes, bytes), data);
  }
  EXPECT_EQ(::fsync(disk.get()), 0);
}

TEST_P(FuseAttachmentTest, BlockDeviceTakesBufferedBytesOfAnyAlignment) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto device = add_disk(kDiskBytes);
  const AlignedBytes data = AlignedBytes::pattern(123457, 5);
  {
    const FileDescriptor disk(::open(device->block_path().c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_EQ(write_at(disk, 777, data), data.size());
    ASSERT_EQ(::fsync(disk.get()), 0);
  }
  // Past the block device's cache: from the store.
  AlignedBytes stored(data.size());
  ASSERT_TRUE(device->read(777, MutableBytes(stored.data(), stored.size())));
  EXPECT_EQ(stored, data);
}

TEST_P(FuseAttachmentTest, DiscardAndZerooutReachTheStore) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto device = add_disk(kDiskBytes);
  const FileDescriptor disk = open_direct(device->block_path());
  ASSERT_EQ(write_at(disk, 0, AlignedBytes::pattern(4 * kMebibyte, 9)), 4 * kMebibyte);
  EXPECT_EQ(device->stats().orig_data_bytes, 4 * kMebibyte);
  std::uint64_t discarded[2] = {0, kMebibyte};
  ASSERT_EQ(::ioctl(disk.get(), BLKDISCARD, discarded), 0);
  EXPECT_EQ(device->stats().orig_data_bytes, 3 * kMebibyte);
  EXPECT_EQ(device->stats().notify_free, kMebibyte / kPageBytes);
  std::uint64_t zeroed[2] = {kMebibyte, kMebibyte};
  ASSERT_EQ(::ioctl(disk.get(), BLKZEROOUT, zeroed), 0);
  EXPECT_EQ(device->stats().orig_data_bytes, 2 * kMebibyte);
  EXPECT_EQ(read_at(disk, 0, 2 * kMebibyte), AlignedBytes(2 * kMebibyte));
}

TEST_P(FuseAttachmentTest, FullMemoryLimitIsNoSpaceAndKeepsWhatWasThere) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto device = add_disk(kDiskBytes);
  const FileDescriptor disk = open_direct(device->block_path());
  const AlignedBytes kept = AlignedBytes::incompressible(kMebibyte, 1);
  ASSERT_EQ(write_at(disk, 0, kept), kMebibyte);
  device->set_mem_limit(device->stats().mem_used_bytes + kPageBytes);
  const AlignedBytes more = AlignedBytes::incompressible(4 * kMebibyte, 2);
  EXPECT_EQ(::pwrite(disk.get(), more.data(), more.size(), 8 * kMebibyte), -1);
  EXPECT_EQ(errno, ENOSPC);
  EXPECT_GT(device->stats().failed_writes, 0U);
  EXPECT_EQ(read_at(disk, 0, kMebibyte), kept);
  device->set_mem_limit(0);
  EXPECT_EQ(write_at(disk, 8 * kMebibyte, more), more.size());
}

// Changes one byte of a stored page where it lies, found by bytes that the codec keeps as they are.
void corrupt_stored_page(const Device& device, const AlignedBytes& page) {
  const int arena = device.arena_descriptor();
  struct stat status {};
  ASSERT_EQ(::fstat(arena, &status), 0);
  const auto arena_bytes = static_cast<std::size_t>(status.st_size);
  void* memory = ::mmap(nullptr, arena_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, arena, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* const found = static_cast<char*>(
      ::memmem(memory, arena_bytes, page.data() + kPageBytes / 4, kPageBytes / 8));
  ASSERT_NE(found, nullptr);
  *found = static_cast<char>(*found ^ 1);
  ::munmap(memory, arena_bytes);
}

TEST_P(FuseAttachmentTest, CorruptedPageIsAnErrorOnThatPageAlone) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto device = add_disk(4 << 20);
  const FileDescriptor disk = open_direct(device->block_path());
  const AlignedBytes pages = AlignedBytes::pattern(3 * kPageBytes, 1);
  AlignedBytes second(kPageBytes);
  std::copy_n(pages.data() + kPageBytes, kPageBytes, second.data());
  ASSERT_EQ(write_at(disk, 0, pages), pages.size());
  corrupt_stored_page(*device, second);
  AlignedBytes read(kPageBytes);
  EXPECT_EQ(::pread(disk.get(), read.data(), kPageBytes, kPageBytes), -1);
  EXPECT_EQ(errno, EIO);
  EXPECT_EQ(device->stats().failed_reads, 1U);
  EXPECT_TRUE(
      std::equal(pages.data(), pages.data() + kPageBytes, read_at(disk, 0, kPageBytes).data()));
  EXPECT_TRUE(std::equal(pages.data() + 2 * kPageBytes, pages.data() + 3 * kPageBytes,
                         read_at(disk, 2 * kPageBytes, kPageBytes).data()));
  EXPECT_EQ(write_at(disk, kPageBytes, second), kPageBytes);
  EXPECT_EQ(read_at(disk, kPageBytes, kPageBytes), second);
}

TEST_P(FuseAttachmentTest, DisksAreApart) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto first = add_disk(kDiskBytes);
  const auto second = add_disk(kDiskBytes / 2);
  ASSERT_NE(first->block_path(), second->block_path());
  const FileDescriptor disk = open_direct(first->block_path());
  ASSERT_EQ(write_at(disk, 0, AlignedBytes::pattern(kMebibyte, 1)), kMebibyte);
  EXPECT_EQ(second->stats().orig_data_bytes, 0U);
  ASSERT_TRUE(devices_->remove(second->id()));
  EXPECT_EQ(read_at(disk, 0, kMebibyte), AlignedBytes::pattern(kMebibyte, 1));
}

// --- in use ------------------------------------------------------------------------------------

TEST_P(FuseAttachmentTest, OpenBlockDeviceIsBusyAndGoesOnServing) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto device = add_disk(kDiskBytes);
  const AlignedBytes data = AlignedBytes::pattern(kPageBytes, 1);
  {
    const FileDescriptor disk = open_direct(device->block_path());
    ASSERT_EQ(write_at(disk, 0, data), kPageBytes);
    const Result<void> reset = device->reset();
    ASSERT_FALSE(reset);
    EXPECT_EQ(reset.error().code, EBUSY);
    EXPECT_EQ(attachment_->users(*device).size(), 1U);
    EXPECT_EQ(read_at(disk, 0, kPageBytes), data);
  }
  const FileDescriptor again = open_direct(device->block_path());
  EXPECT_EQ(read_at(again, 0, kPageBytes), data);
}

TEST_P(FuseAttachmentTest, OpenFileIsBusyAndGoesOnServing) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto device = add_disk(kDiskBytes);
  {
    const FileDescriptor file = open_direct(file_path(*device));
    const Result<void> reset = device->reset();
    ASSERT_FALSE(reset);
    EXPECT_EQ(reset.error().code, EBUSY);
    EXPECT_EQ(write_at(file, 0, AlignedBytes::pattern(kPageBytes, 1)), kPageBytes);
  }
  // Refused is not closed: others may open the file, and once they have left it can go.
  { const FileDescriptor file = open_direct(file_path(*device)); }
  EXPECT_TRUE(device->reset());
}

TEST_P(FuseAttachmentTest, MountedDiskIsBusyUntilUnmounted) {
  SKIP_WITHOUT_LOOP();
  if (std::system("command -v mkfs.ext4 >/dev/null 2>&1") != 0) GTEST_SKIP() << "no mkfs.ext4";
  start_with_loop();
  const auto device = add_disk(kDiskBytes);
  const std::string make = "mkfs.ext4 -q " + device->block_path();
  ASSERT_EQ(std::system(make.c_str()), 0);
  const std::string folder = folder_.path() + "/mounted";
  std::filesystem::create_directory(folder);
  ASSERT_EQ(::mount(device->block_path().c_str(), folder.c_str(), "ext4", 0, nullptr), 0);
  std::ofstream(folder + "/file") << "words";
  const Result<void> reset = device->reset();
  ASSERT_FALSE(reset);
  EXPECT_EQ(reset.error().code, EBUSY);
  EXPECT_EQ(attachment_->users(*device).front(), "mounted on " + folder);
  ASSERT_EQ(::umount(folder.c_str()), 0);
  EXPECT_TRUE(device->reset());
}

TEST_P(FuseAttachmentTest, AbandonedDiskFailsItsUsersAndIsGone) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto device = add_disk(kDiskBytes);
  const std::string path = device->block_path();
  {
    const FileDescriptor disk = open_direct(path);
    attachment_->abandon(*device);
    AlignedBytes page(kPageBytes);
    EXPECT_EQ(::pread(disk.get(), page.data(), kPageBytes, 0), -1);
    EXPECT_EQ(errno, EIO);
    EXPECT_TRUE(device->block_path().empty());
  }
  EXPECT_TRUE(device->reset());
}

// Every step of attaching takes a descriptor; here each of them in turn gets none.
TEST_P(FuseAttachmentTest, AttachThatFailsHalfwayLeavesNothing) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto device = devices_->find(devices_->add());
  rlimit usual{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &usual), 0);
  int failure_count = 0;
  bool has_worked = false;
  for (int spare_count = 0; spare_count < 64 && !has_worked; ++spare_count) {
    rlimit tight = usual;
    tight.rlim_cur = static_cast<rlim_t>(lowest_free_descriptor() + spare_count);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
    const Result<void> done = device->set_disksize(kDiskBytes);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &usual), 0);
    has_worked = done.has_value();
    if (has_worked) break;
    ++failure_count;
    EXPECT_EQ(is_fuse_uring_enabled(), was_uring_enabled_);
    EXPECT_FALSE(device->is_initialised());
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path() + "/disk")) << spare_count;
    expect_nothing_left();
  }
  EXPECT_TRUE(has_worked);
  EXPECT_GE(failure_count, 4);
  const FileDescriptor disk = open_direct(device->block_path());
  EXPECT_EQ(write_at(disk, 0, AlignedBytes::pattern(kPageBytes, 1)), kPageBytes);
}

TEST_P(FuseAttachmentTest, UnmountedByOthersAndCopiedElsewhereItStillEnds) {
  start_file_only();
  const auto device = add_disk(kDiskBytes);
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  // A container that was started meanwhile holds a copy of every mount.
  const pid_t child = ::fork();
  if (child == 0) {
    const bool is_apart = ::unshare(CLONE_NEWNS) == 0 &&
                          ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    if (!is_apart || ::write(ready[1], "1", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  ::close(ready[1]);
  char byte = 0;
  const bool has_copy = ::read(ready[0], &byte, 1) == 1;
  ::close(ready[0]);
  EXPECT_EQ(::umount2(file_path(*device).c_str(), MNT_DETACH), 0);
  EXPECT_TRUE(device->reset());
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  if (!has_copy) GTEST_SKIP() << "no mount namespaces here";
}

TEST_P(FuseAttachmentTest, FiftyLivesLeaveNothingBehind) {
  SKIP_WITHOUT_LOOP();
  start_with_loop();
  const auto device = devices_->find(devices_->add());
  for (int life = 0; life < 50; ++life) {
    ASSERT_TRUE(device->set_disksize(kDiskBytes)) << life;
    const AlignedBytes data = AlignedBytes::pattern(kMebibyte, 1);
    {
      const FileDescriptor disk = open_direct(device->block_path());
      ASSERT_EQ(write_at(disk, 0, data), kMebibyte);
    }
    ASSERT_TRUE(device->reset()) << life;
    expect_nothing_left();
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path() + "/disk"));
}

// --- other daemons -----------------------------------------------------------------------------

TEST_P(FuseAttachmentTest, DiskOfALiveDaemonIsLeftAlone) {
  start_file_only();
  const auto device = add_disk(kDiskBytes);
  FuseAttachmentOptions options;
  options.state_dir = folder_.path();
  options.has_loop = false;
  auto other = FuseAttachment::create(options);
  ASSERT_TRUE(other);
  Device same_id(device->id(), other->get());
  const Result<void> done = same_id.set_disksize(kDiskBytes);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, EBUSY);
  EXPECT_FALSE(same_id.is_initialised());
  const FileDescriptor disk = open_direct(device->block_path());
  EXPECT_EQ(write_at(disk, 0, AlignedBytes::pattern(kPageBytes, 1)), kPageBytes);
}

// Runs a daemon of its own until the test ends it the hard way.
pid_t start_doomed_daemon(const FuseAttachmentOptions& options) {
  int ready[2];
  if (::pipe(ready) != 0) return -1;
  const pid_t child = ::fork();
  if (child == 0) {
    auto attachment = FuseAttachment::create(options);
    if (!attachment) ::_exit(1);
    DeviceSet devices(attachment->get());
    const auto device = devices.find(devices.add());
    if (!device->set_disksize(kDiskBytes)) ::_exit(1);
    if (::write(ready[1], "1", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  ::close(ready[1]);
  char byte = 0;
  const bool is_ready = ::read(ready[0], &byte, 1) == 1;
  ::close(ready[0]);
  return is_ready ? child : -1;
}

TEST_P(FuseAttachmentTest, LeftoversOfAKilledDaemonAreCleared) {
  SKIP_WITHOUT_LOOP();
  FuseAttachmentOptions options;
  options.io_uring = GetParam();
  options.state_dir = folder_.path();
  const pid_t child = start_doomed_daemon(options);
  ASSERT_GT(child, 0);
  EXPECT_EQ(folder_.mounts_inside().size(), 1U);
  EXPECT_EQ(folder_.loops_inside().size(), 1U);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(folder_.mounts_inside().size(), 1U);
  start_with_loop();
  expect_nothing_left();
  const auto device = add_disk(kDiskBytes);
  const FileDescriptor disk = open_direct(device->block_path());
  EXPECT_EQ(write_at(disk, 0, AlignedBytes::pattern(kPageBytes, 1)), kPageBytes);
}

TEST(FuseAttachmentOptionsTest, RelativeStateFolderIsRefusedInWords) {
  FuseAttachmentOptions options;
  options.state_dir = "here";
  const auto made = FuseAttachment::create(options);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, EINVAL);
  EXPECT_NE(made.error().text.find("absolute"), std::string::npos);
}

}  // namespace
}  // namespace uzram
