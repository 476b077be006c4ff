// SPDX-License-Identifier: Apache-2.0
// Objects on a disk: how they lie there, what is read for them, what passes for them.
#include "backing/backing_space.h"

#include "backing/backing_fixture.h"

namespace uzram {
namespace {

constexpr std::uint64_t kBlocks = 512;

class BackingSpaceTest : public ::testing::Test {
 protected:
  FakeDisk disk_{kBlocks};
  SpaceUser user_{disk_};

  std::uint64_t blocks_read_for(std::size_t index) {
    const std::uint64_t before = user_.counters().blocks_read;
    EXPECT_EQ(user_.read(index), 0);
    return user_.counters().blocks_read - before;
  }
  MutableBytes stored(const SpaceUser::Object& object) {
    return disk_.bytes().subspan(object.position.value * kPlaceStepBytes,
                                 stored_bytes(object.bytes));
  }
};

TEST_F(BackingSpaceTest, KeepsObjectsOfEverySize) {
  for (const std::size_t bytes :
       {std::size_t{1}, std::size_t{7}, std::size_t{8}, std::size_t{9}, std::size_t{15},
        std::size_t{16}, std::size_t{17}, kBlockBytes - 9, kBlockBytes - 8, kBlockBytes - 7,
        kBlockBytes - 1, kBlockBytes, kBlockBytes + 1, 2 * kBlockBytes, std::size_t{100'000},
        kMaxObjectBytes}) {
    ASSERT_EQ(user_.append(bytes), 0);
  }
  EXPECT_EQ(user_.flush(), 0U);
  EXPECT_EQ(user_.objects().size(), 16U);
  user_.verify();
}

TEST_F(BackingSpaceTest, TakesNothingThatWasOnlyReserved) {
  struct Silent : BackingListener {
    int heard = 0;
    void placed(std::uint64_t, Result<BackingPosition>) override { ++heard; }
  } listener;
  {
    BackingWriter writer(user_.space(), listener);
    for (const std::size_t bytes : {std::size_t{1000}, kBlockBytes, std::size_t{3000}}) {
      const Result<MutableBytes> place = writer.reserve(bytes);
      ASSERT_TRUE(place.has_value());
      EXPECT_EQ(place->size(), stored_bytes(bytes));
    }
  }
  EXPECT_EQ(listener.heard, 0);
  EXPECT_EQ(disk_.request_count(BackingRequest::Kind::Write), 0U);
  EXPECT_EQ(user_.counters().blocks_in_use, 0U);
}

TEST_F(BackingSpaceTest, GivesAPageThatDoesNotPackABlockOfItsOwn) {
  user_.put(100, kBlockBytes);
  EXPECT_EQ(user_.counters().blocks_in_use, 100U);
  EXPECT_EQ(user_.counters().blocks_written, 100U);
  for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(blocks_read_for(i), 1U);
  user_.drop(50);
  EXPECT_EQ(user_.counters().blocks_in_use, 99U);
}

TEST_F(BackingSpaceTest, PacksObjectsManyToABlock) {
  user_.put(400, 1000);
  // 1008 bytes each: 99 blocks, and what the ends of two runs waste.
  EXPECT_LE(user_.counters().blocks_in_use, 101U);
  for (std::size_t i = 0; i < 400; ++i) EXPECT_LE(blocks_read_for(i), 2U);
  user_.verify();
}

TEST_F(BackingSpaceTest, KeepsPagesAndPackedObjectsApart) {
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(user_.append(kBlockBytes), 0);
    ASSERT_EQ(user_.append(500), 0);
  }
  EXPECT_EQ(user_.flush(), 0U);
  EXPECT_EQ(user_.counters().blocks_in_use, 50U + 7U);
  user_.verify();
}

TEST_F(BackingSpaceTest, TakesMoreSmallObjectsThanARunHasRoomFor) {
  user_.put(5000, 3);
  EXPECT_EQ(user_.objects().size(), 5000U);
  EXPECT_EQ(user_.counters().live_bytes, 5000U * 16);
}

TEST_F(BackingSpaceTest, ReadsNeighboursWithOneRead) {
  user_.put(30, 1000);
  const auto& objects = user_.objects();
  const BlockRange range =
      hull_of(blocks_of(objects[3].position, 1000), blocks_of(objects[20].position, 1000));
  const std::uint64_t requests = disk_.request_count(BackingRequest::Kind::Read);
  auto window = user_.space().read_window(range);
  ASSERT_TRUE(window.has_value());
  std::vector<std::byte> out(1000);
  for (std::size_t i = 3; i <= 20; ++i) {
    ASSERT_TRUE(window->covers(objects[i].position, 1000));
    ASSERT_TRUE(window->copy_object(objects[i].position, out).has_value());
    EXPECT_EQ(out, object_of(1000, objects[i].seed));
  }
  EXPECT_EQ(disk_.request_count(BackingRequest::Kind::Read), requests + 1);
  EXPECT_FALSE(window->covers(objects[29].position, 1000));
  EXPECT_FALSE(window->copy_object(objects[29].position, out).has_value());
}

TEST_F(BackingSpaceTest, FreesABlockWithTheLastObjectInIt) {
  user_.put(4, 1008);  // 1016 and padding: 1024 each, exactly a block.
  EXPECT_EQ(user_.counters().blocks_in_use, 1U);
  for (int left = 3; left > 0; --left) {
    user_.drop(0);
    EXPECT_EQ(user_.counters().blocks_in_use, 1U);
  }
  user_.drop(0);
  EXPECT_EQ(user_.counters().blocks_in_use, 0U);
  EXPECT_EQ(user_.counters().live_bytes, 0U);
}

TEST_F(BackingSpaceTest, SaysWhenItIsFullAndGoesOnWhenItIsNot) {
  int error = 0;
  while ((error = user_.append(kBlockBytes)) == 0) continue;
  EXPECT_EQ(error, ENOSPC);
  EXPECT_EQ(user_.flush(), 0U);
  EXPECT_EQ(user_.counters().blocks_in_use, kBlocks);
  user_.verify();
  for (int i = 0; i < 10; ++i) user_.drop(7 * static_cast<std::size_t>(i));
  user_.put(10, kBlockBytes);
  EXPECT_EQ(user_.append(kBlockBytes), ENOSPC);
  EXPECT_EQ(user_.append(1), ENOSPC);
  user_.verify();
}

TEST_F(BackingSpaceTest, FillsSingleFreeBlocks) {
  user_.put(kBlocks, kBlockBytes);
  std::vector<BackingPosition> odd;
  for (const auto& object : user_.objects()) {
    if (object.position.value / kStepsPerBlock % 2 == 1) odd.push_back(object.position);
  }
  for (const BackingPosition position : odd) {
    std::size_t index = 0;
    while (!(user_.objects()[index].position == position)) ++index;
    user_.drop(index);
  }
  EXPECT_EQ(user_.append(kBlockBytes + 1), ENOSPC) << "it needs two blocks in a row";
  user_.put(kBlocks / 4, kBlockBytes);
  user_.put(kBlocks / 4 * 3, 1300);
  EXPECT_EQ(user_.counters().blocks_in_use, kBlocks);
  user_.verify();
}

TEST_F(BackingSpaceTest, TellsWhichObjectsStandInAlmostEmptyBlocks) {
  user_.put(4, 1008);
  EXPECT_FALSE(user_.space().is_in_sparse_block(user_.objects()[0].position, 1008));
  for (int i = 0; i < 3; ++i) user_.drop(1);
  EXPECT_TRUE(user_.space().is_in_sparse_block(user_.objects()[0].position, 1008));
}

TEST_F(BackingSpaceTest, DiscardsWhatWasFreed) {
  user_.put(100, kBlockBytes);
  user_.put(5, kBlockBytes);
  for (std::size_t left = 5; user_.objects().size() > left;) user_.drop(0);
  const Result<std::uint64_t> told = user_.space().discard_freed_blocks(kBlocks);
  ASSERT_TRUE(told.has_value());
  EXPECT_GE(*told, 90U);
  EXPECT_EQ(*user_.space().discard_freed_blocks(kBlocks), 0U) << "nothing was freed since";
  user_.verify();
  disk_.fail(BackingRequest::Kind::Discard, EOPNOTSUPP);
  user_.put(100, kBlockBytes);
  while (user_.objects().size() > 5) user_.drop(5);
  EXPECT_EQ(user_.space().discard_freed_blocks(kBlocks).error().code, EOPNOTSUPP);
  EXPECT_EQ(user_.counters().blocks_in_use, 5U);
  user_.verify();
}

// --- what is on the disk, and what passes for it

TEST_F(BackingSpaceTest, WritesNoPlainText) {
  for (const std::size_t bytes : {std::size_t{200}, kBlockBytes, std::size_t{9000}})
    ASSERT_EQ(user_.append(bytes), 0);
  EXPECT_EQ(user_.flush(), 0U);
  for (const auto& object : user_.objects()) {
    const std::vector<std::byte> plain = object_of(object.bytes, object.seed);
    for (std::size_t at = 0; at + 16 <= plain.size(); at += 16)
      ASSERT_FALSE(disk_.holds(ConstBytes(plain).subspan(at, 16)));
  }
}

// Changes between a write and a read what decides whether a content is the right one.
class BackingContent : public ::testing::TestWithParam<bool> {
 protected:
  FakeDisk disk_{kBlocks};
  SpaceUser user_{disk_};

  void SetUp() override {
    user_.set_encrypt(GetParam());
    user_.reopen();
    user_.put(1, kBlockBytes);
    user_.put(1, 700);
    user_.put(1, 9000);
  }
  [[nodiscard]] std::uint64_t first_block(std::size_t index) const {
    return user_.objects()[index].position.value / kStepsPerBlock;
  }
  // Comes back with other settings.
  void come_back() {
    user_.reopen();
    ASSERT_EQ(user_.adopt_all(), user_.objects().size());
  }
  void expect_all(int error) {
    for (std::size_t i = 0; i < user_.objects().size(); ++i) EXPECT_EQ(user_.read(i), error) << i;
  }
};

TEST_P(BackingContent, IsFoundAgainWithTheSameKey) {
  come_back();
  expect_all(0);
}

TEST_P(BackingContent, OfAnotherKeyDoesNotPass) {
  user_.set_key(key_of(78));
  come_back();
  expect_all(EIO);
}

TEST_P(BackingContent, DoesNotPassWithASingleBitChanged) {
  for (const std::size_t index : {std::size_t{0}, std::size_t{1}, std::size_t{2}}) {
    const auto& object = user_.objects()[index];
    const std::uint64_t first = object.position.value * kPlaceStepBytes;
    for (const std::size_t at : {std::size_t{0}, object.bytes / 2, object.bytes - 1}) {
      disk_.bytes()[first + at] ^= std::byte{4};
      EXPECT_EQ(user_.read(index), EIO) << object.bytes << " bytes, byte " << at;
      disk_.bytes()[first + at] ^= std::byte{4};
      EXPECT_EQ(user_.read(index), 0);
    }
  }
}

TEST_P(BackingContent, OfAnotherBlockDoesNotPass) {
  user_.put(1, kBlockBytes);
  const std::uint64_t other = first_block(3);
  std::vector<std::byte> saved(disk_.block(other).begin(), disk_.block(other).end());
  std::copy_n(disk_.block(first_block(0)).begin(), kBlockBytes, disk_.block(other).begin());
  EXPECT_EQ(user_.read(3), EIO);
  std::copy(saved.begin(), saved.end(), disk_.block(other).begin());
  EXPECT_EQ(user_.read(3), 0);
}

// The disk lost a write: an older object of the same size is still there.
TEST_P(BackingContent, OfAnEarlierTimeDoesNotPass) {
  for (const std::size_t bytes : {kBlockBytes, std::size_t{700}, std::size_t{9000}}) {
    SCOPED_TRACE(bytes);
    FakeDisk disk(4);
    SpaceUser user(disk);
    user.set_encrypt(GetParam());
    user.reopen();
    user.put(1, bytes);
    const BackingPosition position = user.objects()[0].position;
    const std::vector<std::byte> old(disk.bytes().begin(), disk.bytes().end());
    user.drop(0);
    while (user.objects().empty() || !(user.objects()[0].position == position)) {
      user.drop_all();
      user.put(1, bytes);
    }
    EXPECT_EQ(user.read(0), 0);
    std::copy(old.begin(), old.end(), disk.bytes().begin());
    EXPECT_EQ(user.read(0), EIO);
  }
}

TEST_P(BackingContent, OfTheSameBytesLooksDifferentEachTime) {
  struct Listener final : BackingListener {
    std::vector<BackingPosition> positions;
    void placed(std::uint64_t, Result<BackingPosition> position) override {
      positions.push_back(position.value());
    }
  };
  Listener listener;
  const std::vector<std::byte> object = object_of(kBlockBytes, 5);
  BackingWriter writer(user_.space(), listener);
  for (std::uint64_t tag = 0; tag < 2; ++tag) ASSERT_TRUE(writer.append(object, tag).has_value());
  writer.flush();
  ASSERT_EQ(listener.positions.size(), 2U);
  const auto content = [&](std::size_t i) {
    return disk_.block(listener.positions[i].value / kStepsPerBlock);
  };
  EXPECT_EQ(std::equal(content(0).begin(), content(0).end(), content(1).begin()), !GetParam());
  EXPECT_EQ(disk_.holds(ConstBytes(object).first(64)), !GetParam());
}

TEST_P(BackingContent, OutsideTheStoreIsAnErrorAndNoMore) {
  std::vector<std::byte> out(700);
  EXPECT_EQ(user_.space().read({kBlocks * kStepsPerBlock - 1}, out).error().code, EIO);
  EXPECT_EQ(user_.space().read({~std::uint64_t{0}}, out).error().code, EIO);
  EXPECT_EQ(user_.space().read_window({kBlocks - 1, 2}).error().code, EIO);
  EXPECT_EQ(user_.space().read_window({0, kReadBlocks + 1}).error().code, EIO);
}

INSTANTIATE_TEST_SUITE_P(Modes, BackingContent, ::testing::Bool(), [](const auto& mode) {
  return std::string(mode.param ? "Encrypted" : "Plain");
});

TEST(BackingSpaceLife, IsRefusedWithAKeyOfTwoEqualHalves) {
  FakeDisk disk(4);
  const RecordMemory records(4);
  BackingKey key = key_of(1);
  std::copy_n(key.begin(), kBackingKeyBytes / 2, key.begin() + kBackingKeyBytes / 2);
  auto space = BackingSpace::create(std::make_unique<FakeStore>(disk, quick_options()),
                                    {key, records.bytes()});
  EXPECT_EQ(space.error().code, EINVAL);
}

TEST(BackingSpaceLife, CostsAlmostNothingOnAnUnusedTebibyte) {
  const std::unique_ptr<BlockMap> map = std::move(*BlockMap::create(kMaxBackingBlocks));
  EXPECT_EQ(map->memory_bytes(), 0U);
  EXPECT_TRUE(map->take_run(1, 64).has_value());
  EXPECT_LE(map->memory_bytes(), 1024U);
  EXPECT_EQ(BackingSpace::record_bytes(kMaxBackingBlocks), kMaxBackingBlocks * 6);
  EXPECT_EQ(BackingSpace::record_bytes(4 * kMaxBackingBlocks), kMaxBackingBlocks * 6);
}

}  // namespace
}  // namespace uzram
