// SPDX-License-Identifier: Apache-2.0
#include "store/arena_header.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "pool/arena.h"
#include "pool/pool.h"
#include "store/page_check.h"
#include "store/store_fixture.h"

namespace uzram {
namespace {

// Where the format keeps things, written down apart from the code.
constexpr std::size_t kVersionOffset = 8;
constexpr std::size_t kPageChecksOffset = 12;
constexpr std::size_t kDiskPagesOffset = 16;
constexpr std::size_t kLayoutOffset = 24;
constexpr std::size_t kCodecsOffset = 88;
constexpr std::size_t kDictionaryOffsetInCodec = 16;
constexpr std::size_t kDictionaryBytesInCodec = 24;
constexpr std::size_t kCheckOffset = 304;
constexpr std::size_t kSizeOffset = 312;
constexpr std::size_t kFixedBytes = 320;

class ArenaHeader : public testing::Test {
 protected:
  void write(const StoreConfig& config) {
    layout_ = make_layout(config).value();
    arena_ = std::move(Arena::create(layout_.arena_bytes).value());
    write_arena_header(*arena_, layout_, config);
  }
  [[nodiscard]] int read_error() const { return code_of(read_arena_header(*arena_)); }
  [[nodiscard]] std::byte& byte_at(std::size_t offset) const { return arena_->base()[offset]; }
  template <typename T>
  void set(std::size_t offset, T value) const {
    std::memcpy(arena_->base() + offset, &value, sizeof value);
  }
  template <typename T>
  [[nodiscard]] T get(std::size_t offset) const {
    T value{};
    std::memcpy(&value, arena_->base() + offset, sizeof value);
    return value;
  }
  // Makes the check right again, so that only what was changed on purpose can be refused.
  void seal() const {
    set<std::uint64_t>(kCheckOffset, 0);
    const PageCheckFunction check = choose_page_check();
    set<std::uint64_t>(kCheckOffset,
                       check(arena_->base(), kSizeOffset) ^
                           check(arena_->base() + kFixedBytes, layout_.header_bytes - kFixedBytes));
  }
  static StoreConfig rich_config() {
    StoreConfig config = config_of("zstd", 12345);
    config.codecs[0].params.level = -7;
    config.codecs[0].params.dictionary = std::make_shared<const std::string>(5000, 'd');
    config.codecs[2].info = find_codec("deflate");
    config.codecs[2].params.level = 9;
    config.codecs[2].params.window_bits = -10;
    config.codecs[2].params.dictionary = std::make_shared<const std::string>("words of deflate");
    config.codecs[3].info = find_codec("lz4");
    config.has_page_checks = false;
    return config;
  }

  ArenaLayout layout_;
  std::unique_ptr<Arena> arena_;
};

TEST_F(ArenaHeader, GivesBackWhatWasWritten) {
  const StoreConfig config = rich_config();
  write(config);
  const Result<StoreConfig> read = read_arena_header(*arena_);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->disk_pages, config.disk_pages);
  EXPECT_FALSE(read->has_page_checks);
  for (std::size_t i = 0; i < kAlgorithmCount; ++i) {
    EXPECT_EQ(read->codecs[i].info, config.codecs[i].info) << i;
    EXPECT_EQ(read->codecs[i].params.level, config.codecs[i].params.level) << i;
    EXPECT_EQ(read->codecs[i].params.window_bits, config.codecs[i].params.window_bits) << i;
    ASSERT_EQ(read->codecs[i].params.dictionary == nullptr,
              config.codecs[i].params.dictionary == nullptr);
    if (read->codecs[i].params.dictionary == nullptr) continue;
    EXPECT_EQ(*read->codecs[i].params.dictionary, *config.codecs[i].params.dictionary) << i;
  }
  EXPECT_EQ(make_layout(*read).value(), layout_);
}

TEST_F(ArenaHeader, KeepsItsPlacesInTheFile) {
  write(config_of("zstd", 0x123456));
  EXPECT_EQ(std::memcmp(arena_->base(), "uzramAR1", 8), 0);
  EXPECT_EQ(get<std::uint32_t>(kVersionOffset), 3U);
  EXPECT_EQ(get<std::uint8_t>(kPageChecksOffset), 1U);
  EXPECT_EQ(get<std::uint64_t>(kDiskPagesOffset), 0x123456U);
  EXPECT_EQ(get<std::uint64_t>(kLayoutOffset), layout_.header_bytes);
  EXPECT_EQ(get<std::uint8_t>(kCodecsOffset), 5U) << "zstd";
  const std::uint64_t written = get<std::uint64_t>(kCheckOffset);
  seal();
  EXPECT_EQ(get<std::uint64_t>(kCheckOffset), written);
  EXPECT_EQ(read_error(), 0);
}

TEST_F(ArenaHeader, SaysHowLargeTheDiskIsNow) {
  StoreConfig config = config_of("zstd", 4000);
  config.size_pages = 1000;
  write(config);
  EXPECT_EQ(read_arena_header(*arena_)->size_pages, 1000U);
  EXPECT_EQ(get<std::uint64_t>(kSizeOffset) & 0x1ffffffff, 1000U);
  write_arena_size(*arena_, 4000);
  EXPECT_EQ(read_arena_header(*arena_)->size_pages, 4000U);
  EXPECT_EQ(read_arena_header(*arena_)->disk_pages, 4000U);
  write_arena_size(*arena_, 4001);
  EXPECT_EQ(read_error(), EINVAL) << "it is laid out for 4000";
  write_arena_size(*arena_, 0);
  EXPECT_EQ(read_error(), EINVAL);
}

TEST_F(ArenaHeader, IsLaidOutForFourTimesTheSizeAtMost) {
  EXPECT_EQ(pages_to_grow_to(1), 4U);
  EXPECT_EQ(pages_to_grow_to(1ULL << 31), 1ULL << 32);
  EXPECT_EQ(pages_to_grow_to(1ULL << 32), 1ULL << 32);
  EXPECT_EQ(pages_to_grow_to((1ULL << 32) + 1), (1ULL << 32) + 1) << "which is refused then";
}

TEST_F(ArenaHeader, IsRefusedWhenAnyByteHasChanged) {
  write(rich_config());
  ASSERT_EQ(layout_.header_bytes, 2 * kPageBytes);
  for (std::size_t offset = 0; offset < layout_.header_bytes; ++offset) {
    const auto flip = static_cast<std::byte>(1U << (offset % 8));
    byte_at(offset) ^= flip;
    ASSERT_EQ(read_error(), EINVAL) << "byte " << offset;
    byte_at(offset) ^= flip;
  }
  EXPECT_EQ(read_error(), 0);
}

TEST_F(ArenaHeader, IsRefusedWhenItsFieldsAreWrongThoughItsCheckIsRight) {
  const auto refuses = [this](std::size_t offset, auto value) {
    write(rich_config());
    set(offset, value);
    seal();
    return read_error() == EINVAL;
  };
  EXPECT_TRUE(refuses(kVersionOffset, std::uint32_t{4}));
  EXPECT_TRUE(refuses(0, 'U'));
  EXPECT_TRUE(refuses(kDiskPagesOffset, std::uint64_t{0}));
  EXPECT_TRUE(refuses(kDiskPagesOffset, std::uint64_t{1} << 60));
  EXPECT_TRUE(refuses(kDiskPagesOffset, std::uint64_t{12345 + 512}));
  EXPECT_TRUE(refuses(kCodecsOffset, std::uint8_t{200}));
  for (std::size_t field = 1; field < 8; ++field)
    EXPECT_TRUE(refuses(kLayoutOffset + 8 * field, std::uint64_t{79 * kPageBytes})) << field;
  EXPECT_TRUE(refuses(kCodecsOffset + kDictionaryOffsetInCodec, ~std::uint64_t{0}));
  EXPECT_TRUE(refuses(kCodecsOffset + kDictionaryBytesInCodec, ~std::uint64_t{0}));
}

TEST_F(ArenaHeader, IsRefusedWhenItsLengthLeavesTheArena) {
  for (const std::uint64_t header_bytes : {std::uint64_t{0}, std::uint64_t{kFixedBytes - 1},
                                           std::uint64_t{1} << 62, ~std::uint64_t{0}}) {
    write(rich_config());
    set(kLayoutOffset, header_bytes);
    EXPECT_EQ(read_error(), EINVAL) << header_bytes;
  }
}

TEST_F(ArenaHeader, IsRefusedInAnArenaOfAnotherSize) {
  write(config_of("lz4", 64));
  std::vector<std::byte> header(arena_->base(), arena_->base() + layout_.header_bytes);
  for (const std::uint64_t bytes :
       {layout_.header_bytes, layout_.pool_offset, layout_.arena_bytes - kPageBytes,
        layout_.arena_bytes + kPageBytes}) {
    const auto other = std::move(Arena::create(bytes).value());
    std::memcpy(other->base(), header.data(), header.size());
    EXPECT_EQ(code_of(read_arena_header(*other)), EINVAL) << bytes;
  }
}

TEST_F(ArenaHeader, IsRefusedWhereNothingWasWritten) {
  arena_ = std::move(Arena::create(1U << 20).value());
  EXPECT_EQ(read_error(), EINVAL);
}

TEST_F(ArenaHeader, LaysOutParts) {
  for (const std::uint64_t pages : {1ULL, 511ULL, 512ULL, 513ULL, 1ULL << 20, 1ULL << 32}) {
    const ArenaLayout layout = make_layout(config_of("lz4", pages)).value();
    EXPECT_EQ(layout.table_offset, layout.header_bytes);
    EXPECT_GE(layout.table_bytes, pages * 8);
    EXPECT_GE(layout.pool_offset, layout.table_offset + layout.table_bytes);
    EXPECT_EQ(layout.pool_offset % kSpanBytes, 0U);
    EXPECT_EQ(layout.arena_bytes, layout.pool_offset + layout.pool_bytes);
    EXPECT_LE(layout.pool_bytes / kClassStepBytes, 1ULL << kHandleBits);
  }
}

TEST_F(ArenaHeader, RefusesSizesThatItCannotLayOut) {
  EXPECT_EQ(code_of(make_layout(config_of("lz4", 0))), EINVAL);
  EXPECT_EQ(code_of(make_layout(config_of("lz4", (1ULL << 32) + 1))), ENOMEM);
  EXPECT_EQ(code_of(make_layout(config_of("lz4", ~0ULL))), ENOMEM);
  StoreConfig config = config_of("zstd", 1);
  config.codecs[0].params.dictionary = std::make_shared<const std::string>((64U << 20) + 1, 'x');
  EXPECT_EQ(code_of(make_layout(config)), EINVAL);
}

}  // namespace
}  // namespace uzram
