// SPDX-License-Identifier: Apache-2.0
#include "store/cluster_object.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "base/random.h"
#include "pool/arena.h"
#include "store/store_fixture.h"

namespace uzram {
namespace {

using Bytes = std::vector<std::byte>;
constexpr std::size_t kMostStreamBytes =
    kMostClusterPieces * kPageBytes + kPageBytes - 1 - kMostClusterPieces * sizeof(std::uint64_t);

// --- shapes --------------------------------------------------------------------------------------

TEST(ClusterShape, HoldsEveryStreamInAsFewPiecesAsCanBe) {
  for (std::size_t bytes = 1; bytes <= 33 * kPageBytes; ++bytes) {
    const ClusterShape shape = ClusterShape::for_stream(bytes);
    ASSERT_GE(shape.stream_bytes, bytes);
    ASSERT_TRUE(shape.stream_bytes < bytes + 16 || shape.stream_bytes == shape.pieces * kPageBytes);
    ASSERT_GE(shape.stream_bytes, shape.pieces * kPageBytes) << "every piece is full";
    ASSERT_EQ(shape.head_bytes, shape.pieces * 8 + shape.stream_bytes - shape.pieces * kPageBytes);
    ASSERT_GE(shape.head_bytes, 1U) << bytes;
    ASSERT_LE(shape.head_bytes, kPageBytes - 1) << "its size has to fit the word: " << bytes;
    if (shape.pieces == 0) continue;
    const std::size_t fewer = shape.pieces - 1;
    ASSERT_GT(round_up(bytes, 16) + fewer * 8, fewer * kPageBytes + kPageBytes - 1) << bytes;
  }
}

TEST(ClusterShape, IsKnownAgainFromTheWord) {
  for (std::size_t bytes = 1; bytes <= kMostStreamBytes; bytes += bytes % 4096 < 4000 ? 37 : 1) {
    const ClusterShape shape = ClusterShape::for_stream(bytes);
    if (shape.pieces > kMostClusterPieces) continue;
    const SlotWord word = SlotWord::cluster({123'456'789}, shape.head_bytes, shape.pieces);
    ASSERT_TRUE(word.is_well_formed()) << bytes;
    ASSERT_EQ(word.handle(), Handle{123'456'789});
    const ClusterShape again = ClusterShape::of(word);
    ASSERT_EQ(again.pieces, shape.pieces) << bytes;
    ASSERT_EQ(again.head_bytes, shape.head_bytes) << bytes;
    ASSERT_EQ(again.stream_bytes, shape.stream_bytes) << bytes;
    ASSERT_EQ(again.pool_bytes(), shape.pool_bytes());
    ASSERT_EQ(ClusterObjects::object_count(word), shape.pieces + 1);
  }
}

TEST(ClusterShape, CostsItsBytesItsHandlesAndLittleMore) {
  for (std::size_t bytes = 9; bytes <= kMostStreamBytes; bytes += 11) {
    const ClusterShape shape = ClusterShape::for_stream(bytes);
    ASSERT_LE(shape.pool_bytes(), shape.stream_bytes + shape.pieces * 8 + kClassStepBytes);
    ASSERT_GE(shape.pool_bytes(), shape.stream_bytes);
  }
}

// Whatever the bits of a damaged word say, asking for its shape is safe.
TEST(ClusterShape, OfADamagedWordIsNoSmallerThanItsPieces) {
  Random random(4);
  for (int i = 0; i < 20'000; ++i) {
    const SlotWord word(random.next());
    const ClusterShape shape = ClusterShape::of(word);
    ASSERT_LE(shape.pieces, kMostClusterPieces);
    ASSERT_LE(shape.stream_bytes, shape.pieces * kPageBytes + kPageBytes);
    ASSERT_GE(shape.stream_bytes, shape.pieces * kPageBytes);
  }
}

// --- objects -------------------------------------------------------------------------------------

class ClusterObjectsTest : public testing::Test {
 protected:
  void SetUp() override { make(64); }
  void TearDown() override {
    if (pool_ != nullptr && !HasFatalFailure()) pool_->check_invariants();
  }
  void make(std::uint64_t spans) {
    objects_.reset();
    pool_.reset();
    arena_ = Arena::create(spans * kSpanBytes).value();
    make_pool();
  }
  // As after a crash: the arena is there, the pool knows nothing.
  void make_pool() {
    objects_.reset();
    pool_ = Pool::create(*arena_, 0, arena_->bytes()).value();
    objects_ = std::make_unique<ClusterObjects>(*pool_);
  }

  static Bytes packed_of(std::size_t packed_bytes, std::uint64_t seed) {
    Bytes packed(packed_bytes);
    Random random(seed);
    for (std::byte& byte : packed) byte = static_cast<std::byte>(random.next());
    return packed;
  }
  Result<SlotWord> try_build(const Bytes& packed, LimitRule rule = LimitRule::Obey) {
    // Room for the zeros behind; what stands there must not matter.
    Bytes stream(kClusterCheckBytes + packed.size() + kPageBytes, std::byte{0xee});
    std::memcpy(stream.data() + kClusterCheckBytes, packed.data(), packed.size());
    return objects_->build(stream, packed.size(), check_, rule);
  }
  SlotWord build(const Bytes& packed) {
    const Result<SlotWord> word = try_build(packed);
    EXPECT_TRUE(word) << packed.size() << " bytes";
    return word.value_or(SlotWord());
  }
  // The packed cluster behind the word; empty when it is damaged.
  [[nodiscard]] Bytes read(SlotWord word) const {
    Bytes stream(33 * kPageBytes, std::byte{0xdd});
    const std::size_t stream_bytes = objects_->copy_out(word, stream);
    EXPECT_EQ(stream_bytes, ClusterShape::of(word).stream_bytes);
    const ConstBytes packed = checked_cluster(ConstBytes(stream).first(stream_bytes), check_);
    return {packed.begin(), packed.end()};
  }
  // It is what was built, and zeros behind.
  [[nodiscard]] bool holds(SlotWord word, const Bytes& packed) const {
    const Bytes found = read(word);
    if (found.size() < packed.size()) return false;
    const auto end = found.begin() + static_cast<std::ptrdiff_t>(packed.size());
    return std::equal(packed.begin(), packed.end(), found.begin()) &&
           std::all_of(end, found.end(), [](std::byte byte) { return byte == std::byte{0}; });
  }
  [[nodiscard]] std::byte* head(SlotWord word) const {
    return pool_->at(word.handle(), word.head_bytes()).data();
  }
  [[nodiscard]] Handle piece(SlotWord word, std::size_t index) const {
    Handle handle;
    std::memcpy(&handle.value, head(word) + index * 8, 8);
    return handle;
  }
  void set_piece(SlotWord word, std::size_t index, std::uint64_t value) const {
    std::memcpy(head(word) + index * 8, &value, 8);
  }
  void expect_empty() const {
    EXPECT_EQ(pool_->check_invariants(), 0U);
    pool_->trim(0);
    EXPECT_EQ(pool_->resident_pages(), 0U);
    EXPECT_LE(arena_->resident_bytes(), 0U);
  }
  // Around every border that a stream has.
  static std::vector<std::size_t> border_sizes() {
    std::vector<std::size_t> sizes = {1, 2, 7, 8, 9, 100};
    for (std::size_t pieces = 1; pieces <= 31; ++pieces) {
      const std::size_t full_head = pieces * kPageBytes - pieces * 8 - 1 + 8 - kClusterCheckBytes;
      for (const std::size_t border : {pieces * kPageBytes - kClusterCheckBytes, full_head})
        for (int off = -18; off <= 18; off += pieces % 5 == 1 ? 1 : 6)
          sizes.push_back(border + static_cast<std::size_t>(off));
    }
    std::erase_if(sizes, [](std::size_t bytes) {
      return ClusterShape::for_stream(bytes + kClusterCheckBytes).pieces > kMostClusterPieces;
    });
    return sizes;
  }

  const PageCheckFunction check_ = choose_page_check();
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<ClusterObjects> objects_;
};

TEST_F(ClusterObjectsTest, HoldStreamsAroundEveryBorder) {
  for (const std::size_t bytes : border_sizes()) {
    const Bytes packed = packed_of(bytes, bytes);
    const SlotWord word = build(packed);
    ASSERT_TRUE(word.is_well_formed());
    ASSERT_EQ(pool_->check_invariants(), ClusterObjects::object_count(word));
    ASSERT_TRUE(holds(word, packed)) << bytes;
    ASSERT_EQ(objects_->page_count(word), std::to_integer<std::size_t>(packed[0]));
    objects_->free(word);
    ASSERT_EQ(pool_->check_invariants(), 0U) << bytes;
  }
  expect_empty();
}

TEST_F(ClusterObjectsTest, LiveSideBySide) {
  make(256);
  std::vector<std::pair<SlotWord, Bytes>> clusters;
  for (std::size_t i = 0; i < 150; ++i) {
    Bytes packed = packed_of(1 + i * 811 % kMostStreamBytes, i);
    clusters.emplace_back(build(packed), std::move(packed));
  }
  Random random(6);
  while (!clusters.empty()) {
    const std::size_t which = random.below(clusters.size());
    ASSERT_TRUE(holds(clusters[which].first, clusters[which].second));
    objects_->free(clusters[which].first);
    clusters.erase(clusters.begin() + static_cast<std::ptrdiff_t>(which));
  }
  expect_empty();
}

TEST_F(ClusterObjectsTest, CopyNothingIntoTooLittleRoom) {
  const SlotWord word = build(packed_of(9000, 1));
  const std::size_t stream_bytes = ClusterShape::of(word).stream_bytes;
  for (const std::size_t room : {std::size_t{0}, std::size_t{1}, stream_bytes - 1}) {
    Bytes stream(stream_bytes, std::byte{0x5a});
    EXPECT_EQ(objects_->copy_out(word, MutableBytes(stream).first(room)), 0U);
    EXPECT_EQ(stream, Bytes(stream_bytes, std::byte{0x5a}));
  }
  Bytes stream(stream_bytes);
  EXPECT_EQ(objects_->copy_out(word, stream), stream_bytes);
}

TEST_F(ClusterObjectsTest, AreCheckedToTheLastBit) {
  for (const std::size_t bytes :
       {std::size_t{1}, std::size_t{3000}, std::size_t{4085}, std::size_t{9001}}) {
    const Bytes packed = packed_of(bytes, 5);
    const SlotWord word = build(packed);
    const ClusterShape shape = ClusterShape::of(word);
    for (std::size_t at = 0; at < shape.stream_bytes; at += at < 40 ? 1 : 13) {
      std::byte* const place =
          at < shape.pieces * kPageBytes
              ? pool_->at(piece(word, at / kPageBytes), kPageBytes).data() + at % kPageBytes
              : head(word) + shape.pieces * 8 + (at - shape.pieces * kPageBytes);
      *place ^= std::byte{0x20};
      ASSERT_TRUE(read(word).empty()) << "byte " << at << " of " << bytes;
      *place ^= std::byte{0x20};
    }
    ASSERT_TRUE(holds(word, packed));
  }
}

TEST_F(ClusterObjectsTest, AreNoClusterWithoutBytesBehindTheCheck) {
  const Bytes zeros(kClusterCheckBytes);
  for (std::size_t bytes = 0; bytes <= kClusterCheckBytes; ++bytes)
    EXPECT_TRUE(checked_cluster(ConstBytes(zeros).first(bytes), check_).empty());
}

// --- no room -------------------------------------------------------------------------------------

TEST_F(ClusterObjectsTest, LeaveNothingWhereverTheLimitStopsThem) {
  const Bytes packed = packed_of(40'000, 7);
  const Bytes other = packed_of(5000, 8);
  const SlotWord kept = build(other);
  const std::uint64_t objects = pool_->check_invariants();
  for (std::uint64_t limit = 1; limit < 14; ++limit) {
    pool_->set_limit_pages(limit);
    const Result<SlotWord> word = try_build(packed);
    if (word) {
      EXPECT_GE(limit, 11U);
      objects_->free(*word);
    } else {
      EXPECT_EQ(word.error().code, ENOSPC);
    }
    ASSERT_EQ(pool_->check_invariants(), objects) << "limit " << limit;
    ASSERT_TRUE(holds(kept, other));
  }
  pool_->set_limit_pages(1);
  const Result<SlotWord> beyond = try_build(packed, LimitRule::Exceed);
  ASSERT_TRUE(beyond);
  EXPECT_TRUE(holds(*beyond, packed));
}

TEST_F(ClusterObjectsTest, LeaveNothingWhenThePoolIsFull) {
  // Of each count of free spans: some for the pieces, none for the head, and so on.
  for (std::uint64_t spans = 1; spans <= 3; ++spans) {
    make(spans);
    std::vector<SlotWord> clusters;
    std::uint64_t objects = 0;
    for (std::size_t bytes = 20'000;; bytes += 16) {
      const Result<SlotWord> word = try_build(packed_of(bytes, bytes));
      if (!word) {
        EXPECT_EQ(word.error().code, ENOMEM);
        break;
      }
      clusters.push_back(*word);
      objects += ClusterObjects::object_count(*word);
    }
    ASSERT_EQ(pool_->check_invariants(), objects);
    for (const SlotWord word : clusters) objects_->free(word);
    expect_empty();
  }
}

// --- compaction ----------------------------------------------------------------------------------

TEST_F(ClusterObjectsTest, AreMovedTogether) {
  std::vector<std::pair<SlotWord, Bytes>> clusters;
  // Heads of few classes, most of which then go.
  for (std::size_t i = 0; i < 400; ++i) {
    Bytes packed = packed_of(4096 * (i % 4) + 1000 + i % 3 * 16, i);
    clusters.emplace_back(build(packed), std::move(packed));
  }
  for (std::size_t i = 0; i < clusters.size(); ++i)
    if (i % 8 != 0) objects_->free(clusters[i].first);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < clusters.size(); i += 8) clusters[kept++] = clusters[i];
  clusters.resize(kept);

  ASSERT_GT(pool_->begin_compaction(), 0U);
  std::size_t moved = 0;
  for (auto& [word, packed] : clusters) {
    const std::optional<SlotWord> now = objects_->move(word);
    ASSERT_TRUE(now);
    ASSERT_TRUE(holds(word, packed)) << "the old head is good until it is freed";
    if (now->handle() != word.handle()) {
      pool_->free(word.handle(), word.head_bytes());
      ++moved;
    }
    ASSERT_EQ(now->moved_to({0}), word.moved_to({0})) << "only the place has changed";
    ASSERT_FALSE(pool_->must_move(now->handle(), now->head_bytes()));
    word = *now;
  }
  pool_->end_compaction();
  pool_->trim(0);
  EXPECT_GT(moved, 10U);
  EXPECT_LE(pool_->resident_pages(), pool_->tight_pages());
  for (const auto& [word, packed] : clusters) {
    ASSERT_TRUE(holds(word, packed));
    objects_->free(word);
  }
  expect_empty();
}

TEST_F(ClusterObjectsTest, StayWhereTheyAreWhenNothingIsInTheWay) {
  const Bytes packed = packed_of(30'000, 1);
  const SlotWord word = build(packed);
  EXPECT_EQ(objects_->move(word), word);
  static_cast<void>(pool_->begin_compaction());
  EXPECT_EQ(objects_->move(word), word);
  pool_->end_compaction();
  EXPECT_TRUE(holds(word, packed));
}

// --- recovery ------------------------------------------------------------------------------------

class ClusterAdoption : public ClusterObjectsTest {
 protected:
  // Four clusters, and a raw page that belongs to none. Three of the heads are of one size class:
  // one wrong vote for the class of their span does not matter.
  void SetUp() override {
    make(6);
    for (std::uint64_t i = 0; i < neighbours_.size(); ++i)
      neighbours_[i] = build(packed_of(20'000, 2 + i));
    raw_ = pool_->allocate(kPageBytes, LimitRule::Obey).value();
    victim_ = build(packed_of(30'000, 1));
    ASSERT_EQ(victim_.pieces(), 7U);
    image_.assign(arena_->base(), arena_->base() + arena_->bytes());
  }
  // What a recovery has given back to the kernel is there again.
  void restore() const { std::memcpy(arena_->base(), image_.data(), image_.size()); }
  // A new process asks for the raw page, the victim and its neighbours.
  // Returns: whether the victim was taken.
  bool recover(SlotWord victim) {
    make_pool();
    objects_->survey(victim);
    for (const SlotWord neighbour : neighbours_) objects_->survey(neighbour);
    pool_->survey(raw_, kPageBytes);
    EXPECT_TRUE(pool_->adopt(raw_, kPageBytes));
    const bool is_taken = objects_->adopt(victim);
    std::uint64_t expected = 1 + (is_taken ? ClusterObjects::object_count(victim) : 0);
    lost_neighbours_ = 0;
    for (SlotWord& neighbour : neighbours_) {
      const bool is_lost = !objects_->adopt(neighbour);
      lost_neighbours_ += is_lost ? 1 : 0;
      expected += is_lost ? 0 : ClusterObjects::object_count(neighbour);
    }
    EXPECT_TRUE(pool_->finish_adoption());
    EXPECT_EQ(pool_->check_invariants(), expected) << "of a refused one nothing stays";
    return is_taken;
  }
  [[nodiscard]] bool holds_neighbour(std::size_t i) const {
    return holds(neighbours_[i], packed_of(20'000, 2 + i));
  }
  void expect_refused_alone(SlotWord victim) {
    EXPECT_FALSE(recover(victim));
    EXPECT_EQ(lost_neighbours_, 0);
    for (std::size_t i = 0; i < neighbours_.size(); ++i) EXPECT_TRUE(holds_neighbour(i));
    restore();
  }
  // Damages one handle of the head, and expects the victim to be refused.
  void refuses_piece(std::size_t index, std::uint64_t value) {
    SCOPED_TRACE(testing::Message() << "piece " << index << " as " << value);
    set_piece(victim_, index, value);
    expect_refused_alone(victim_);
  }

  Bytes image_;
  std::array<SlotWord, 3> neighbours_;
  SlotWord victim_;
  Handle raw_;
  int lost_neighbours_ = 0;
};

TEST_F(ClusterAdoption, TakesWhatIsSoundAndGoesOn) {
  ASSERT_TRUE(recover(victim_));
  ASSERT_EQ(lost_neighbours_, 0);
  EXPECT_TRUE(holds(victim_, packed_of(30'000, 1)));
  EXPECT_EQ(objects_->page_count(victim_), std::to_integer<std::size_t>(packed_of(1, 1)[0]));
  objects_->free(victim_);
  for (const SlotWord neighbour : neighbours_) objects_->free(neighbour);
  pool_->free(raw_, kPageBytes);
  expect_empty();
}

TEST_F(ClusterAdoption, RefusesPiecesThatAreNone) {
  const std::uint64_t end = arena_->bytes() / kClassStepBytes;
  for (std::size_t index = 0; index < victim_.pieces(); ++index) {
    for (const std::uint64_t value :
         {end, end + 256, ~std::uint64_t{0}, std::uint64_t{1} << 63,
          piece(victim_, index).value | std::uint64_t{1} << 40, piece(victim_, index).value + 1,
          piece(victim_, index).value ^ 0x80}) {
      refuses_piece(index, value);
    }
  }
}

TEST_F(ClusterAdoption, RefusesAPieceThatIsAnotherPagesObject) {
  refuses_piece(0, raw_.value);
  refuses_piece(6, raw_.value);
}

TEST_F(ClusterAdoption, RefusesTheSamePieceTwiceAndItsOwnHead) {
  for (std::size_t index = 0; index < victim_.pieces(); ++index) {
    refuses_piece(index, piece(victim_, (index + 1) % victim_.pieces()).value);
    refuses_piece(index, victim_.handle().value);
    refuses_piece(index, neighbours_[index % 3].handle().value);
  }
}

TEST_F(ClusterAdoption, RefusesHeadsThatAreNone) {
  const std::uint64_t end = arena_->bytes() / kClassStepBytes;
  for (const std::uint64_t value :
       {end, (std::uint64_t{1} << kHandleBits) - 1, victim_.handle().value + 1, raw_.value + 3})
    expect_refused_alone(victim_.moved_to({value}));
  const SlotWord of_raw = SlotWord::cluster(raw_, 4090, 0);
  expect_refused_alone(of_raw);
  ASSERT_TRUE(recover(victim_));
}

TEST_F(ClusterAdoption, RefusesHeadsTooSmallForTheirHandles) {
  for (std::size_t head_bytes = 1; head_bytes < 7 * 8; ++head_bytes)
    expect_refused_alone(SlotWord::cluster(victim_.handle(), head_bytes, 7));
  expect_refused_alone(SlotWord::cluster(victim_.handle(), 31 * 8 - 1, 31));
}

// Another piece count turns bytes of the stream into handles, or handles into bytes.
TEST_F(ClusterAdoption, RefusesOrFindsDamagedAnotherCountOfPieces) {
  for (std::size_t pieces = 0; pieces <= kMostClusterPieces; ++pieces) {
    if (pieces == victim_.pieces()) continue;
    const SlotWord word = SlotWord::cluster(victim_.handle(), victim_.head_bytes(), pieces);
    const bool is_taken = recover(word);
    EXPECT_EQ(lost_neighbours_, 0);
    EXPECT_TRUE(!is_taken || pieces < victim_.pieces());
    if (is_taken) {
      EXPECT_TRUE(read(word).empty()) << "the check sees it";
    }
    restore();
  }
}

// One cluster may take a piece of the other, but then neither reads as something else.
TEST_F(ClusterAdoption, NeverReadsOtherBytesWhateverAHandleHolds) {
  Random random(19);
  const Bytes victim_packed = packed_of(30'000, 1);
  for (int round = 0; round < 300; ++round) {
    const std::size_t index = random.below(victim_.pieces());
    restore();
    const std::uint64_t good = piece(victim_, index).value;
    std::uint64_t bad = random.next();
    if (round % 3 == 1) bad = good ^ std::uint64_t{1} << random.below(64);
    if (round % 3 == 2) bad = random.below(64) * (kPageBytes / kClassStepBytes);
    set_piece(victim_, index, bad);
    if (recover(victim_)) {
      ASSERT_TRUE(bad == good || read(victim_).empty()) << index << " as " << bad;
    }
    ASSERT_LE(lost_neighbours_, 1);
    for (std::size_t i = 0; i < neighbours_.size(); ++i)
      ASSERT_TRUE(lost_neighbours_ == 1 || holds_neighbour(i));
  }
  restore();
  ASSERT_TRUE(recover(victim_));
  EXPECT_TRUE(holds(victim_, victim_packed));
}

}  // namespace
}  // namespace uzram
