// SPDX-License-Identifier: Apache-2.0
// A device's life: settings, initialisation, attachment, reset, and a second life in another
// process.
#include <gtest/gtest.h>

#include "device/device.h"
#include "device/device_fixture.h"
#include "device/device_set.h"

namespace uzram {
namespace {

class DeviceLife : public testing::Test {
 protected:
  int init(std::uint64_t bytes = kMiB) { return code_of(device_.set_disksize(bytes)); }
  int write(const Page& page) { return code_of(device_.write(0, page)); }
  static CodecParams level(int value) {
    CodecParams params;
    params.level = value;
    return params;
  }

  TestAttachment attachment_;
  Device device_{7, &attachment_};
  const Page page_ = page_of(PageKind::Text, 1);
};

TEST_F(DeviceLife, ServesNothingBeforeItHasASize) {
  std::array<std::byte, 8> bytes{};
  EXPECT_FALSE(device_.is_initialised());
  EXPECT_EQ(device_.disksize(), 0U);
  EXPECT_EQ(device_.block_path(), "");
  EXPECT_EQ(device_.arena_descriptor(), -1);
  EXPECT_EQ(code_of(device_.read(0, bytes)), EINVAL);
  EXPECT_EQ(code_of(device_.write(0, bytes)), EINVAL);
  EXPECT_EQ(code_of(device_.discard(0, 0)), EINVAL);
  EXPECT_EQ(code_of(device_.write_zeroes(0, 0)), EINVAL);
  EXPECT_EQ(code_of(device_.flush()), EINVAL);
  EXPECT_EQ(code_of(device_.extent_at(0, 1)), EINVAL);
  EXPECT_EQ(code_of(device_.compact()), EINVAL);
  EXPECT_EQ(code_of(device_.reserve(kMiB)), EINVAL);
  EXPECT_EQ(code_of(device_.reset()), 0);
  EXPECT_EQ(device_.stats().total_bytes(), 0U);
}

TEST_F(DeviceLife, RoundsItsSizeUpToPages) {
  for (const std::uint64_t bytes : {1ULL, 4095ULL, 4096ULL, 4097ULL}) {
    ASSERT_EQ(init(bytes), 0);
    EXPECT_EQ(device_.disksize(), round_up(bytes, kPageBytes));
    ASSERT_EQ(code_of(device_.reset()), 0);
  }
}

TEST_F(DeviceLife, RefusesSizesThatItCannotHave) {
  EXPECT_EQ(init(0), EINVAL);
  EXPECT_EQ(init(~0ULL), ENOMEM);
  EXPECT_EQ(init(1ULL << 60), ENOMEM);
  EXPECT_FALSE(device_.is_initialised());
  EXPECT_EQ(attachment_.attach_count, 0);
  EXPECT_EQ(init(), 0) << "a refused size spoils nothing";
}

TEST_F(DeviceLife, KeepsItsSettingsOnceItHasASize) {
  ASSERT_EQ(code_of(device_.set_algorithm("zstd")), 0);
  ASSERT_EQ(init(), 0);
  EXPECT_EQ(code_of(device_.set_algorithm("lz4")), EBUSY);
  EXPECT_EQ(code_of(device_.set_algorithm("none such")), EINVAL);
  EXPECT_EQ(code_of(device_.set_algorithm_params(0, level(3))), EBUSY);
  EXPECT_EQ(code_of(device_.set_page_checks(false)), EBUSY);
  EXPECT_EQ(init(2 * kMiB), EBUSY);
  EXPECT_EQ(code_of(device_.adopt_arena(::dup(device_.arena_descriptor()))), EBUSY);
  EXPECT_EQ(device_.algorithm().name, "zstd");
  EXPECT_EQ(device_.disksize(), kMiB);
  EXPECT_EQ(code_of(device_.flush()), 0);
}

TEST_F(DeviceLife, FindsParametersThatTheAlgorithmRefusesAtInitialisation) {
  ASSERT_EQ(code_of(device_.set_algorithm("zstd")), 0);
  ASSERT_EQ(code_of(device_.set_algorithm_params(0, level(5000))), 0);
  EXPECT_EQ(init(), EINVAL);
  EXPECT_FALSE(device_.is_initialised());
  ASSERT_EQ(code_of(device_.set_algorithm_params(0, level(5))), 0);
  EXPECT_EQ(init(), 0);
  EXPECT_EQ(code_of(device_.set_algorithm_params(-1, {})), EINVAL);
  EXPECT_EQ(code_of(device_.set_algorithm_params(4, {})), EINVAL);
  EXPECT_EQ(device_.algorithm_at(1), nullptr);
  EXPECT_EQ(device_.algorithm_at(-1), nullptr);
  EXPECT_EQ(device_.algorithm_at(4), nullptr);
}

TEST_F(DeviceLife, IgnoresParametersThatTheAlgorithmDoesNotKnowAsTheKernelDoes) {
  ASSERT_EQ(code_of(device_.set_algorithm("lzo-rle")), 0);
  CodecParams params = level(7);
  params.window_bits = 11;
  params.dictionary = std::make_shared<const std::string>("words");
  ASSERT_EQ(code_of(device_.set_algorithm_params(0, params)), 0);
  EXPECT_EQ(init(), 0);
}

TEST_F(DeviceLife, ForgetsEverythingAtReset) {
  ASSERT_EQ(code_of(device_.set_algorithm("zstd")), 0);
  ASSERT_EQ(code_of(device_.set_algorithm_params(0, level(5))), 0);
  ASSERT_EQ(code_of(device_.set_page_checks(false)), 0);
  device_.set_mem_limit(kMiB);
  ASSERT_EQ(init(), 0);
  ASSERT_EQ(write(page_), 0);
  ASSERT_EQ(code_of(device_.reset()), 0);
  EXPECT_EQ(attachment_.detach_count, 1);
  EXPECT_FALSE(device_.is_initialised());
  EXPECT_EQ(device_.algorithm().name, "lzo-rle");
  EXPECT_TRUE(device_.has_page_checks());
  EXPECT_EQ(device_.stats().mem_limit_bytes, 0U);
  EXPECT_EQ(device_.stats().write_requests, 0U);
  ASSERT_EQ(init(), 0);
  Page out;
  ASSERT_EQ(code_of(device_.read(0, out)), 0);
  EXPECT_EQ(out, Page{});
  EXPECT_EQ(device_.stats().orig_data_bytes, 0U);
}

TEST_F(DeviceLife, ForgetsSettingsAtResetWithoutASize) {
  ASSERT_EQ(code_of(device_.set_algorithm("zstd")), 0);
  ASSERT_EQ(code_of(device_.reset()), 0);
  EXPECT_EQ(device_.algorithm().name, "lzo-rle");
  EXPECT_EQ(attachment_.detach_count, 0);
}

TEST_F(DeviceLife, AppliesALimitThatWasSetBefore) {
  device_.set_mem_limit(8 * kPageBytes);
  ASSERT_EQ(init(), 0);
  EXPECT_EQ(code_of(device_.write(0, bytes_of(PageKind::Random, 9 * kPageBytes, 1))), ENOSPC);
  device_.set_mem_limit(~0ULL);
  EXPECT_EQ(code_of(device_.write(0, bytes_of(PageKind::Random, 9 * kPageBytes, 1))), 0);
}

// --- attachment
// ------------------------------------------------------------------------------------

TEST_F(DeviceLife, IsReadyWhenItIsAttached) {
  attachment_.on_attach = [this](Device& device) {
    EXPECT_EQ(device.disksize(), kMiB);
    EXPECT_EQ(code_of(device.write(0, page_)), 0);
  };
  attachment_.on_detach = [this](Device& device) {
    Page out;
    EXPECT_EQ(code_of(device.read(0, out)), 0);
    EXPECT_EQ(out, page_) << "still served while it is detached";
  };
  ASSERT_EQ(init(), 0);
  EXPECT_EQ(device_.block_path(), "/dev/test7");
  ASSERT_EQ(code_of(device_.reset()), 0);
  EXPECT_EQ(device_.block_path(), "");
  EXPECT_EQ(attachment_.attach_count, 1);
  EXPECT_EQ(attachment_.detach_count, 1);
}

TEST_F(DeviceLife, IsUninitialisedAgainWhenAttachingFails) {
  ASSERT_EQ(code_of(device_.set_algorithm("zstd")), 0);
  attachment_.attach_error = EPERM;
  EXPECT_EQ(init(), EPERM);
  EXPECT_FALSE(device_.is_initialised());
  EXPECT_EQ(device_.stats().total_bytes(), 0U);
  EXPECT_EQ(write(page_), EINVAL);
  EXPECT_EQ(attachment_.detach_count, 0);
  EXPECT_EQ(code_of(device_.set_algorithm("lz4")), 0) << "it can be configured again";
  attachment_.attach_error = 0;
  EXPECT_EQ(init(), 0);
}

TEST_F(DeviceLife, StaysAsItIsWhileSomebodyUsesIt) {
  ASSERT_EQ(code_of(device_.set_algorithm("lz4")), 0);
  device_.set_mem_limit(kMiB);
  ASSERT_EQ(init(), 0);
  ASSERT_EQ(write(page_), 0);
  attachment_.detach_error = EBUSY;
  EXPECT_EQ(code_of(device_.reset()), EBUSY);
  EXPECT_EQ(device_.disksize(), kMiB);
  EXPECT_EQ(device_.algorithm().name, "lz4");
  EXPECT_EQ(device_.stats().mem_limit_bytes, kMiB);
  EXPECT_EQ(device_.stats().write_requests, 1U);
  Page out;
  ASSERT_EQ(code_of(device_.read(0, out)), 0);
  EXPECT_EQ(out, page_);
}

// --- a second life
// ---------------------------------------------------------------------------------

TEST_F(DeviceLife, GoesOnWithTheArenaOfAnother) {
  CodecParams params = level(7);
  params.dictionary = std::make_shared<const std::string>(std::string(2000, 'q') + "the page ");
  FileDescriptor arena;
  std::uint64_t packed_bytes = 0;
  {
    Device first(1);
    ASSERT_EQ(code_of(first.set_algorithm("zstd")), 0);
    ASSERT_EQ(code_of(first.set_algorithm_params(0, params)), 0);
    ASSERT_EQ(code_of(first.set_page_checks(false)), 0);
    ASSERT_EQ(code_of(first.set_disksize(kMiB)), 0);
    ASSERT_EQ(code_of(first.write(0, page_)), 0);
    packed_bytes = first.stats().compr_data_bytes;
    arena = duplicate(first.arena_descriptor());
  }
  device_.set_mem_limit(100 * kPageBytes);
  ASSERT_EQ(code_of(device_.adopt_arena(arena.release())), 0);
  EXPECT_EQ(attachment_.attach_count, 1);
  EXPECT_EQ(device_.algorithm().name, "zstd");
  EXPECT_FALSE(device_.has_page_checks());
  EXPECT_EQ(device_.disksize(), kMiB);
  EXPECT_EQ(device_.stats().mem_limit_bytes, 100 * kPageBytes) << "its own; the arena has none";
  EXPECT_EQ(device_.stats().orig_data_bytes, kPageBytes);
  EXPECT_EQ(device_.stats().compr_data_bytes, packed_bytes);
  Page out;
  ASSERT_EQ(code_of(device_.read(0, out)), 0);
  EXPECT_EQ(out, page_);
  ASSERT_EQ(write(page_), 0);
  EXPECT_EQ(device_.stats().compr_data_bytes, packed_bytes) << "same level and dictionary";
  device_.check_invariants();
}

TEST_F(DeviceLife, RefusesWhatIsNotAnArena) {
  EXPECT_NE(code_of(device_.adopt_arena(-1)), 0);
  EXPECT_EQ(code_of(device_.adopt_arena(::memfd_create("empty", 0))), EINVAL);
  EXPECT_FALSE(device_.is_initialised());
  EXPECT_EQ(init(), 0);
}

TEST_F(DeviceLife, KeepsItsSettingsWhenAnArenaCannotBeAttached) {
  FileDescriptor arena;
  {
    Device first(1);
    ASSERT_EQ(code_of(first.set_algorithm("zstd")), 0);
    ASSERT_EQ(code_of(first.set_disksize(kMiB)), 0);
    arena = duplicate(first.arena_descriptor());
  }
  ASSERT_EQ(code_of(device_.set_algorithm("lz4")), 0);
  attachment_.attach_error = ENOENT;
  EXPECT_EQ(code_of(device_.adopt_arena(arena.release())), ENOENT);
  EXPECT_FALSE(device_.is_initialised());
  EXPECT_EQ(device_.algorithm().name, "lz4");
}

// --- several devices
// -------------------------------------------------------------------------------

TEST(DeviceSet, GivesTheLowestFreeId) {
  DeviceSet set;
  EXPECT_EQ(set.add(), 0);
  EXPECT_EQ(set.add(), 1);
  EXPECT_EQ(set.add(), 2);
  EXPECT_EQ(code_of(set.remove(1)), 0);
  EXPECT_EQ(set.find(1), nullptr);
  EXPECT_EQ(code_of(set.remove(1)), ENODEV);
  EXPECT_EQ(code_of(set.remove(-1)), ENODEV);
  EXPECT_EQ(set.add(), 1);
  ASSERT_EQ(set.all().size(), 3U);
  EXPECT_EQ(set.all()[1]->id(), 1);
}

TEST(DeviceSet, KeepsADeviceThatIsInUse) {
  TestAttachment attachment;
  DeviceSet set(&attachment);
  const auto device = set.find(set.add());
  ASSERT_EQ(code_of(device->set_disksize(kMiB)), 0);
  attachment.detach_error = EBUSY;
  EXPECT_EQ(code_of(set.remove(0)), EBUSY);
  EXPECT_EQ(set.find(0), device);
  EXPECT_TRUE(device->is_initialised());
  attachment.detach_error = 0;
  EXPECT_EQ(code_of(set.remove(0)), 0);
  EXPECT_EQ(attachment.detach_count, 2);
  EXPECT_FALSE(device->is_initialised());
}

TEST_F(DeviceLife, GrowsUpToFourTimesItsFirstSizeAndKeepsItsPages) {
  EXPECT_EQ(code_of(device_.grow(kMiB)), EINVAL) << "no size yet";
  ASSERT_EQ(init(), 0);
  ASSERT_EQ(write(page_), 0);
  EXPECT_EQ(code_of(device_.write(kMiB, page_)), EINVAL);
  EXPECT_EQ(code_of(device_.grow(kMiB - 1)), EINVAL) << "smaller";
  EXPECT_EQ(code_of(device_.grow(4 * kMiB + 1)), EFBIG);
  EXPECT_EQ(code_of(device_.grow(kMiB)), 0) << "as it is";
  attachment_.grow_error = EIO;
  EXPECT_EQ(code_of(device_.grow(2 * kMiB)), EIO);
  EXPECT_EQ(device_.disksize(), kMiB);
  EXPECT_EQ(code_of(device_.write(kMiB, page_)), EINVAL);
  attachment_.grow_error = 0;
  ASSERT_EQ(code_of(device_.grow(4 * kMiB)), 0);
  EXPECT_EQ(device_.disksize(), 4 * kMiB);
  EXPECT_EQ(code_of(device_.write(4 * kMiB - kPageBytes, page_)), 0);
  Page out;
  ASSERT_EQ(code_of(device_.read(0, out)), 0);
  EXPECT_EQ(out, page_);
  device_.check_invariants();
  Device other(1);
  ASSERT_EQ(code_of(other.adopt_arena(::dup(device_.arena_descriptor()))), 0);
  EXPECT_EQ(other.disksize(), 4 * kMiB);
  ASSERT_EQ(code_of(other.read(4 * kMiB - kPageBytes, out)), 0);
  EXPECT_EQ(out, page_);
  EXPECT_EQ(code_of(other.grow(5 * kMiB)), EFBIG);
}

TEST_F(DeviceLife, OfAFixedSizeDoesNotGrow) {
  ASSERT_EQ(code_of(device_.set_fixed_size()), 0);
  ASSERT_EQ(init(), 0);
  EXPECT_EQ(code_of(device_.grow(2 * kMiB)), EFBIG);
}

}  // namespace
}  // namespace uzram
