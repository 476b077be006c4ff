// SPDX-License-Identifier: Apache-2.0
// Counts every call of the allocator by this thread while objects are written, read and freed: what
// brings a swapped page back must not ask for memory.
#include "backing/backing_fixture.h"
#include "backing/backing_store_rows.h"
#include "base/counted_malloc.h"

namespace uzram {
namespace {

constexpr std::uint64_t kBlocks = 512;
constexpr std::size_t kObjects = 200;

class BackingAllocation : public ::testing::TestWithParam<FileEngine>, public BackingListener {
 protected:
  void SetUp() override {
    if (!UZ_COUNTS_ALLOCATIONS) GTEST_SKIP() << "a sanitizer owns malloc";
  }
  void placed(std::uint64_t tag, Result<BackingPosition> position) override {
    if (!position) ++failed_count_;
    positions_[tag] = position.value_or(BackingPosition{});
  }
  static std::size_t bytes_of(std::size_t i) { return i % 3 == 0 ? kBlockBytes : 1 + i * 13; }

  // Writes, reads and frees the same objects again and again.
  void use(EncryptIn encrypt_in);

  TemporaryFolder folder_;
  std::array<BackingPosition, kObjects> positions_{};
  int failed_count_ = 0;
};

void BackingAllocation::use(EncryptIn encrypt_in) {
  const RecordMemory records(kBlocks);
  const BackingKey key = key_of(1);
  auto store = open_backing_store(folder_.make_file("disk", kBlocks * kBlockBytes), quick_options(),
                                  GetParam());
  ASSERT_TRUE(store.has_value());
  auto space = std::move(*BackingSpace::create(std::move(*store), {key, records.bytes()}));
  BackingWriter writer(*space, *this, ~std::size_t{0}, encrypt_in);
  const std::vector<std::byte> object = object_of(kMaxObjectBytes, 3);
  std::vector<std::byte> out(kMaxObjectBytes);
  const std::size_t before = allocation_count;
  for (int round = 0; round < 5; ++round) {
    for (std::size_t i = 0; i < kObjects; ++i) {
      if (!writer.append(ConstBytes(object).first(bytes_of(i)), i)) ++failed_count_;
    }
    writer.flush();
    for (std::size_t i = 0; i < kObjects; ++i) {
      if (!space->read(positions_[i], MutableBytes(out).first(bytes_of(i)))) ++failed_count_;
      space->free(positions_[i], bytes_of(i));
    }
    if (!space->discard_freed_blocks(kBlocks)) ++failed_count_;
    ASSERT_EQ(allocation_count, before) << "round " << round;
  }
  EXPECT_EQ(failed_count_, 0);
}

TEST_P(BackingAllocation, DoesNotHappenWhileObjectsComeAndGo) {
  for (const EncryptIn encrypt_in : {EncryptIn::CallingThread, EncryptIn::OwnThread}) {
    use(encrypt_in);
    ASSERT_FALSE(HasFatalFailure()) << static_cast<int>(encrypt_in);
  }
}

TEST_P(BackingAllocation, IsSeenWhenASpaceIsMade) {
  const std::size_t before = allocation_count;
  FakeDisk disk(kBlocks);
  const SpaceUser user(disk);
  EXPECT_GT(allocation_count, before + 10);
}

INSTANTIATE_TEST_SUITE_P(Engines, BackingAllocation,
                         testing::Values(FileEngine::Automatic, FileEngine::Threads),
                         [](const auto& engine) {
                           return std::string(engine.param == FileEngine::Threads ? "Threads"
                                                                                  : "Automatic");
                         });

}  // namespace
}  // namespace uzram
