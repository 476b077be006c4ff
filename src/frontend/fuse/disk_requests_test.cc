// SPDX-License-Identifier: Apache-2.0
// Every request that a kernel may send to the disk, and those that none should.
#include "frontend/fuse/disk_requests.h"

#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "base/random.h"
#include "device/device.h"

namespace uzram {
namespace {

constexpr std::uint64_t kDiskBytes = 16 << 20;

class DiskRequestsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(device_.set_algorithm("lz4"));
    ASSERT_TRUE(device_.set_disksize(kDiskBytes));
  }

  template <typename T>
  DiskRequests::Reply ask(std::uint32_t opcode, const T& op, ConstBytes payload = {}) {
    const ConstBytes bytes(reinterpret_cast<const std::byte*>(&op), sizeof(op));
    return ask_bytes(opcode, bytes, payload);
  }
  DiskRequests::Reply ask_bytes(std::uint32_t opcode, ConstBytes op, ConstBytes payload = {},
                                std::uint64_t node = FUSE_ROOT_ID) {
    DiskRequests::Request request{};
    request.header.opcode = opcode;
    request.header.nodeid = node;
    request.op = op;
    request.payload = payload;
    return requests_.handle(request, out_);
  }
  template <typename T>
  T answered(const DiskRequests::Reply& reply) {
    EXPECT_TRUE(reply.is_wanted);
    EXPECT_EQ(reply.error, 0);
    EXPECT_EQ(reply.bytes, sizeof(T));
    T value;
    std::memcpy(&value, out_.data(), sizeof(T));
    return value;
  }
  int error_of_write(std::uint64_t offset, std::uint32_t size, std::size_t payload_bytes) {
    fuse_write_in in{};
    in.offset = offset;
    in.size = size;
    return ask(FUSE_WRITE, in, ConstBytes(data_).first(payload_bytes)).error;
  }
  DiskRequests::Reply read(std::uint64_t offset, std::uint32_t size) {
    fuse_read_in in{};
    in.offset = offset;
    in.size = size;
    return ask(FUSE_READ, in);
  }
  int error_of_fallocate(std::uint32_t mode, std::uint64_t offset, std::uint64_t length) {
    fuse_fallocate_in in{};
    in.mode = mode;
    in.offset = offset;
    in.length = length;
    return ask(FUSE_FALLOCATE, in).error;
  }
  DiskRequests::Reply seek(std::uint64_t offset, std::uint32_t whence) {
    fuse_lseek_in in{};
    in.offset = offset;
    in.whence = whence;
    return ask(FUSE_LSEEK, in);
  }

  Device device_{0};
  DiskRequests requests_{device_};
  std::vector<std::byte> data_ = std::vector<std::byte>(2 * kMostDataBytes, std::byte{0x5a});
  std::vector<std::byte> out_ = std::vector<std::byte>(kMostDataBytes);
};

// --- INIT --------------------------------------------------------------------------------------

fuse_init_in modern_kernel() {
  fuse_init_in in{};
  in.major = FUSE_KERNEL_VERSION;
  in.minor = 45;
  in.flags = ~0U;
  in.flags2 = ~0U;
  in.max_readahead = 128 << 10;
  return in;
}

TEST_F(DiskRequestsTest, InitAgreesOnLargeRequestsAndResend) {
  const auto out = answered<fuse_init_out>(ask(FUSE_INIT, modern_kernel()));
  EXPECT_EQ(out.major, 7U);
  EXPECT_EQ(out.minor, kProtocolMinor);
  EXPECT_EQ(out.max_write, 1U << 20);
  EXPECT_EQ(out.max_pages, 256);
  EXPECT_EQ(out.max_background, 256);
  EXPECT_TRUE(out.flags & FUSE_INIT_EXT);
  EXPECT_TRUE(out.flags & FUSE_ASYNC_DIO);
  EXPECT_FALSE(out.flags & FUSE_WRITEBACK_CACHE);
  EXPECT_TRUE(requests_.agreed_flags() & kInitHasResend);
  EXPECT_FALSE(requests_.agreed_flags() & kInitOverIoUring);
}

TEST_F(DiskRequestsTest, InitAgreesOnIoUringWhenBothOfferIt) {
  DiskRequests with_uring(device_, true);
  DiskRequests::Request request{};
  fuse_init_in in = modern_kernel();
  request.header.opcode = FUSE_INIT;
  request.op = ConstBytes(reinterpret_cast<const std::byte*>(&in), sizeof(in));
  EXPECT_EQ(with_uring.handle(request, out_).error, 0);
  EXPECT_TRUE(with_uring.agreed_flags() & kInitOverIoUring);
  in.flags2 = 0;
  EXPECT_EQ(with_uring.handle(request, out_).error, 0);
  EXPECT_FALSE(with_uring.agreed_flags() & kInitOverIoUring);
}

TEST_F(DiskRequestsTest, InitOfOldKernelsHasFourNumbers) {
  fuse_init_in in = modern_kernel();
  in.minor = 31;
  in.flags = ~FUSE_INIT_EXT;
  const ConstBytes whole(reinterpret_cast<const std::byte*>(&in), sizeof(in));
  const auto out = answered<fuse_init_out>(ask_bytes(FUSE_INIT, whole.first(16)));
  EXPECT_EQ(out.minor, 31U);
  EXPECT_EQ(out.flags2, 0U);
  EXPECT_EQ(ask_bytes(FUSE_INIT, whole.first(15)).error, EINVAL);
}

TEST_F(DiskRequestsTest, InitOfOtherVersionsIsSettledOrRefused) {
  fuse_init_in in = modern_kernel();
  in.major = 8;  // It asks again with our version.
  EXPECT_EQ(answered<fuse_init_out>(ask(FUSE_INIT, in)).major, 7U);
  EXPECT_EQ(requests_.agreed_flags(), 0U);
  in.major = 6;
  EXPECT_EQ(ask(FUSE_INIT, in).error, EPROTO);
  in = modern_kernel();
  in.minor = 27;
  EXPECT_EQ(ask(FUSE_INIT, in).error, EPROTO);
}

// --- data --------------------------------------------------------------------------------------

TEST_F(DiskRequestsTest, ReadGivesBackWhatWasWritten) {
  EXPECT_EQ(error_of_write(8192, kMostDataBytes, kMostDataBytes), 0);
  const auto reply = read(8192, kMostDataBytes);
  EXPECT_EQ(reply.bytes, kMostDataBytes);
  EXPECT_TRUE(std::equal(out_.begin(), out_.end(), data_.begin()));
  EXPECT_EQ(device_.stats().write_requests, 1U);  // Many pages are one request to the device.
}

TEST_F(DiskRequestsTest, ReplyMayUseTheMemoryOfTheRequest) {
  std::vector<std::byte> shared(kMostDataBytes, std::byte{0x77});
  fuse_write_in in{};
  in.size = 8192;
  std::memcpy(shared.data(), &in, sizeof(in));
  DiskRequests::Request request{};
  request.header.opcode = FUSE_WRITE;
  request.header.nodeid = FUSE_ROOT_ID;
  request.op = ConstBytes(shared).first(sizeof(in));
  request.payload = ConstBytes(shared).subspan(4096, 8192);
  const auto reply = requests_.handle(request, shared);
  EXPECT_EQ(reply.bytes, sizeof(fuse_write_out));
  ASSERT_EQ(read(0, 8192).bytes, 8192U);
  EXPECT_EQ(out_[0], std::byte{0x77});
  EXPECT_EQ(out_[8191], std::byte{0x77});
}

TEST_F(DiskRequestsTest, ReadsEndAtTheEnd) {
  EXPECT_EQ(read(kDiskBytes - 4096, 8192).bytes, 4096U);
  EXPECT_EQ(read(kDiskBytes, 4096).bytes, 0U);
  EXPECT_EQ(read(kDiskBytes, 4096).error, 0);
  EXPECT_EQ(read(UINT64_MAX / 2, 4096).bytes, 0U);
}

TEST_F(DiskRequestsTest, WritesEndAtTheEnd) {
  fuse_write_in in{};
  in.offset = kDiskBytes - 4096;
  in.size = 8192;
  const auto reply = ask(FUSE_WRITE, in, ConstBytes(data_).first(8192));
  EXPECT_EQ(answered<fuse_write_out>(reply).size, 4096U);
  EXPECT_EQ(error_of_write(kDiskBytes, 4096, 4096), ENOSPC);
  EXPECT_EQ(error_of_write(kDiskBytes, 0, 0), 0);
}

TEST_F(DiskRequestsTest, LengthsThatDoNotAgreeAreInvalid) {
  EXPECT_EQ(error_of_write(0, 4096, 4095), EINVAL);
  EXPECT_EQ(error_of_write(0, 4096, 4097), EINVAL);
  EXPECT_EQ(error_of_write(0, UINT32_MAX, 4096), EINVAL);
  EXPECT_EQ(error_of_write(UINT64_MAX - 100, 4096, 4096), EINVAL);
  EXPECT_EQ(read(0, kMostDataBytes + 1).error, EINVAL);
  EXPECT_EQ(read(0, UINT32_MAX).error, EINVAL);
  EXPECT_EQ(read(UINT64_MAX, 4096).error, EINVAL);
  EXPECT_EQ(device_.stats().orig_data_bytes, 0U);
}

TEST_F(DiskRequestsTest, ErrorsOfTheDeviceArePassedOn) {
  Random random(1);
  for (std::byte& byte : data_) byte = static_cast<std::byte>(random.next());
  device_.set_mem_limit(64 << 10);
  EXPECT_EQ(error_of_write(0, kMostDataBytes, kMostDataBytes), ENOSPC);
}

// --- fallocate, lseek --------------------------------------------------------------------------

TEST_F(DiskRequestsTest, HolesOfWholePagesAreDiscarded) {
  ASSERT_EQ(error_of_write(0, kMostDataBytes, kMostDataBytes), 0);
  const auto stored = device_.stats().orig_data_bytes;
  EXPECT_EQ(error_of_fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 8192), 0);
  EXPECT_EQ(device_.stats().orig_data_bytes, stored - 8192);
  EXPECT_EQ(device_.stats().discard_requests, 1U);
  EXPECT_EQ(error_of_fallocate(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 8192, 8192), 0);
  EXPECT_EQ(device_.stats().orig_data_bytes, stored - 16384);
  EXPECT_EQ(device_.stats().discard_requests, 1U);
}

TEST_F(DiskRequestsTest, HolesInsidePagesAreZeros) {
  ASSERT_EQ(error_of_write(0, 4096, 4096), 0);
  EXPECT_EQ(error_of_fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10, 20), 0);
  ASSERT_EQ(read(0, 4096).bytes, 4096U);
  EXPECT_EQ(out_[9], std::byte{0x5a});
  EXPECT_EQ(out_[10], std::byte{0});
  EXPECT_EQ(out_[29], std::byte{0});
  EXPECT_EQ(out_[30], std::byte{0x5a});
}

TEST_F(DiskRequestsTest, OtherFallocatesAreRefused) {
  EXPECT_EQ(error_of_fallocate(0, 0, 4096), EOPNOTSUPP);
  EXPECT_EQ(error_of_fallocate(FALLOC_FL_COLLAPSE_RANGE, 0, 4096), EOPNOTSUPP);
  EXPECT_EQ(error_of_fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE, 0, 4096), EOPNOTSUPP);
  EXPECT_EQ(error_of_fallocate(FALLOC_FL_PUNCH_HOLE, UINT64_MAX, 4096), EINVAL);
  EXPECT_EQ(error_of_fallocate(FALLOC_FL_PUNCH_HOLE, kDiskBytes, 4096), 0);
  EXPECT_EQ(error_of_fallocate(FALLOC_FL_PUNCH_HOLE, 0, INT64_MAX), 0);
}

TEST_F(DiskRequestsTest, SeekFindsDataAndHoles) {
  EXPECT_EQ(seek(0, SEEK_DATA).error, ENXIO);
  EXPECT_EQ(answered<fuse_lseek_out>(seek(5, SEEK_HOLE)).offset, 5U);
  ASSERT_EQ(error_of_write(8192, 4096, 4096), 0);
  EXPECT_EQ(answered<fuse_lseek_out>(seek(0, SEEK_DATA)).offset, 8192U);
  EXPECT_EQ(answered<fuse_lseek_out>(seek(9000, SEEK_DATA)).offset, 9000U);
  EXPECT_EQ(answered<fuse_lseek_out>(seek(8192, SEEK_HOLE)).offset, 12288U);
  ASSERT_EQ(error_of_write(kDiskBytes - 4096, 4096, 4096), 0);
  EXPECT_EQ(answered<fuse_lseek_out>(seek(kDiskBytes - 1, SEEK_HOLE)).offset, kDiskBytes);
  EXPECT_EQ(seek(kDiskBytes, SEEK_HOLE).error, ENXIO);
  EXPECT_EQ(seek(0, SEEK_SET).error, EINVAL);
}

// --- the file ----------------------------------------------------------------------------------

TEST_F(DiskRequestsTest, AttributesAreThoseOfTheDisk) {
  const auto out = answered<fuse_attr_out>(ask(FUSE_GETATTR, fuse_getattr_in{}));
  EXPECT_EQ(out.attr.size, kDiskBytes);
  EXPECT_EQ(out.attr.mode, S_IFREG | 0600U);
  EXPECT_EQ(out.attr.ino, 1U);
  const auto file_system = answered<fuse_statfs_out>(ask_bytes(FUSE_STATFS, {}));
  EXPECT_EQ(file_system.st.bsize, kPageBytes);
  EXPECT_EQ(file_system.st.blocks, kDiskBytes / kPageBytes);
}

TEST_F(DiskRequestsTest, SizeAndOwnerCannotBeChanged) {
  fuse_setattr_in in{};
  in.valid = FATTR_SIZE | FATTR_FH;
  EXPECT_EQ(answered<fuse_attr_out>(ask(FUSE_SETATTR, in)).attr.size, kDiskBytes);
  in.size = 4096;
  EXPECT_EQ(ask(FUSE_SETATTR, in).error, EINVAL);
  in.size = kDiskBytes;
  EXPECT_EQ(ask(FUSE_SETATTR, in).error, 0);
  in.valid = FATTR_MODE;
  EXPECT_EQ(ask(FUSE_SETATTR, in).error, EPERM);
}

TEST_F(DiskRequestsTest, ClosedDiskCannotBeOpened) {
  EXPECT_EQ(answered<fuse_open_out>(ask(FUSE_OPEN, fuse_open_in{})).open_flags & FOPEN_DIRECT_IO,
            static_cast<std::uint32_t>(FOPEN_DIRECT_IO));
  EXPECT_FALSE(requests_.try_close(0));
  EXPECT_EQ(ask(FUSE_OPEN, fuse_open_in{}).error, 0);
  EXPECT_EQ(ask(FUSE_RELEASE, fuse_release_in{}).error, 0);
  EXPECT_TRUE(requests_.try_close(1));
  EXPECT_EQ(ask(FUSE_OPEN, fuse_open_in{}).error, EBUSY);
  requests_.reopen();
  EXPECT_EQ(ask(FUSE_OPEN, fuse_open_in{}).error, 0);
}

// --- everything else ---------------------------------------------------------------------------

TEST_F(DiskRequestsTest, NobodyWaitsForSomeReplies) {
  for (const std::uint32_t opcode : {FUSE_FORGET, FUSE_BATCH_FORGET, FUSE_INTERRUPT}) {
    EXPECT_FALSE(ask_bytes(opcode, {}).is_wanted) << opcode;
  }
}

TEST_F(DiskRequestsTest, UnknownOperationsAreSaidToBe) {
  for (const std::uint32_t opcode :
       {std::uint32_t{FUSE_LOOKUP}, std::uint32_t{FUSE_MKDIR}, std::uint32_t{FUSE_GETXATTR},
        std::uint32_t{FUSE_IOCTL}, 0U, 9999U, UINT32_MAX}) {
    EXPECT_EQ(ask_bytes(opcode, {}).error, ENOSYS) << opcode;
  }
  EXPECT_EQ(ask_bytes(FUSE_READ, {}, {}, 7).error, ESTALE);
}

TEST_F(DiskRequestsTest, ShortArgumentsAreInvalid) {
  const std::vector<std::byte> zeros(64);
  const auto expect_needs = [&](std::uint32_t opcode, std::size_t bytes) {
    EXPECT_EQ(ask_bytes(opcode, ConstBytes(zeros).first(bytes - 1)).error, EINVAL) << opcode;
  };
  expect_needs(FUSE_READ, sizeof(fuse_read_in));
  expect_needs(FUSE_WRITE, sizeof(fuse_write_in));
  expect_needs(FUSE_FALLOCATE, sizeof(fuse_fallocate_in));
  expect_needs(FUSE_LSEEK, sizeof(fuse_lseek_in));
  EXPECT_EQ(ask_bytes(FUSE_SETATTR, zeros).error, EINVAL);
}

}  // namespace
}  // namespace uzram
