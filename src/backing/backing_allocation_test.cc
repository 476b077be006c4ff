// SPDX-License-Identifier: Apache-2.0
// Counts every call of the allocator by this thread while objects are written, read and freed: what
// brings a swapped page back must not ask for memory. (operator new calls malloc too.)
#include <cerrno>
#include <cstdlib>

#include "backing/backing_fixture.h"
#include "backing/backing_store_rows.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define UZ_OWN_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UZ_OWN_MALLOC 0
#endif
#endif
#ifndef UZ_OWN_MALLOC
#define UZ_OWN_MALLOC 1
#endif

namespace {
thread_local std::size_t allocation_count = 0;
}  // namespace

#if UZ_OWN_MALLOC
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* old, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);
void __libc_free(void* memory);

void* malloc(std::size_t bytes) {
  ++allocation_count;
  return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) {
  ++allocation_count;
  return __libc_calloc(count, bytes);
}
void* realloc(void* old, std::size_t bytes) {
  ++allocation_count;
  return __libc_realloc(old, bytes);
}
void* memalign(std::size_t alignment, std::size_t bytes) {
  ++allocation_count;
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  ++allocation_count;
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  ++allocation_count;
  *memory = __libc_memalign(alignment, bytes);
  return *memory == nullptr ? ENOMEM : 0;
}
void free(void* memory) { __libc_free(memory); }
}
#endif

namespace uzram {
namespace {

constexpr std::uint64_t kBlocks = 512;
constexpr std::size_t kObjects = 200;

class BackingAllocation : public ::testing::TestWithParam<FileEngine>, public BackingListener {
 protected:
  void SetUp() override {
    if (!UZ_OWN_MALLOC) GTEST_SKIP() << "a sanitizer owns malloc";
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
