// SPDX-License-Identifier: Apache-2.0
#include "store/cluster_object.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/check.h"

namespace uzram {
namespace {

constexpr std::size_t kHandleBytes = sizeof(std::uint64_t);
// So that the word of a written back cluster can tell its size.
constexpr std::size_t kStreamStepBytes = 16;
// A head's size has to fit a word.
constexpr std::size_t kMostHeadBytes = kPageBytes - 1;

std::size_t class_bytes(std::size_t bytes) {
  return kSizeClasses[class_index_for(bytes)].object_bytes;
}

}  // namespace

ClusterShape ClusterShape::for_stream(std::size_t stream_bytes) {
  ClusterShape shape;
  stream_bytes = round_up(stream_bytes, kStreamStepBytes);
  while (stream_bytes + shape.pieces * kHandleBytes > kMostHeadBytes + shape.pieces * kPageBytes) {
    ++shape.pieces;
  }
  shape.stream_bytes = std::max(stream_bytes, shape.pieces * kPageBytes);
  shape.head_bytes = shape.pieces * kHandleBytes + shape.stream_bytes - shape.pieces * kPageBytes;
  return shape;
}

ClusterShape ClusterShape::of(SlotWord word) {
  ClusterShape shape;
  shape.pieces = word.pieces();
  shape.head_bytes = word.head_bytes();
  const std::size_t handles = shape.pieces * kHandleBytes;
  shape.stream_bytes =
      shape.pieces * kPageBytes + (shape.head_bytes > handles ? shape.head_bytes - handles : 0);
  return shape;
}

std::size_t ClusterShape::pool_bytes() const {
  return pieces * kPageBytes + class_bytes(head_bytes);
}

// --- pieces

Handle ClusterObjects::piece(SlotWord word, std::size_t index) const {
  Handle handle;
  std::memcpy(&handle.value, head(word).data() + index * kHandleBytes, kHandleBytes);
  return handle;
}

void ClusterObjects::set_piece(SlotWord word, std::size_t index, Handle handle) {
  std::byte* place = head(word).data() + index * kHandleBytes;
  // One store: whoever opens the arena after a crash sees the old place or the new one. Release:
  // and the bytes that are there.
  std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(place))
      .store(handle.value, std::memory_order_release);
}

Result<SlotWord> ClusterObjects::build(MutableBytes stream, std::size_t packed_bytes,
                                       PageCheckFunction check, LimitRule rule) {
  const ClusterShape shape = ClusterShape::for_stream(kClusterCheckBytes + packed_bytes);
  UZ_CHECK(shape.pieces <= kMostClusterPieces && shape.stream_bytes <= stream.size());
  std::fill(stream.begin() + static_cast<std::ptrdiff_t>(kClusterCheckBytes + packed_bytes),
            stream.begin() + static_cast<std::ptrdiff_t>(shape.stream_bytes), std::byte{0});
  const std::uint64_t sum =
      check(stream.data() + kClusterCheckBytes, shape.stream_bytes - kClusterCheckBytes);
  std::memcpy(stream.data(), &sum, sizeof sum);

  std::array<Handle, kMostClusterPieces> pieces;
  for (std::size_t i = 0; i < shape.pieces; ++i) {
    const Result<Handle> place = pool_.allocate(kPageBytes, rule);
    if (!place) {
      for (std::size_t made = 0; made < i; ++made) pool_.free(pieces[made], kPageBytes);
      return tl::unexpected(place.error());
    }
    pieces[i] = *place;
    std::memcpy(pool_.at(*place, kPageBytes).data(), stream.data() + i * kPageBytes, kPageBytes);
  }
  const Result<Handle> head_place = pool_.allocate(shape.head_bytes, rule);
  if (!head_place) {
    for (std::size_t i = 0; i < shape.pieces; ++i) pool_.free(pieces[i], kPageBytes);
    return tl::unexpected(head_place.error());
  }
  const SlotWord word = SlotWord::cluster(*head_place, shape.head_bytes, shape.pieces);
  for (std::size_t i = 0; i < shape.pieces; ++i) set_piece(word, i, pieces[i]);
  std::memcpy(head(word).data() + shape.pieces * kHandleBytes,
              stream.data() + shape.pieces * kPageBytes,
              shape.stream_bytes - shape.pieces * kPageBytes);
  return word;
}

std::size_t ClusterObjects::copy_out(SlotWord word, MutableBytes stream) const {
  const ClusterShape shape = ClusterShape::of(word);
  if (shape.stream_bytes > stream.size()) return 0;
  for (std::size_t i = 0; i < shape.pieces; ++i) {
    std::memcpy(stream.data() + i * kPageBytes, pool_.at(piece(word, i), kPageBytes).data(),
                kPageBytes);
  }
  std::memcpy(stream.data() + shape.pieces * kPageBytes,
              head(word).data() + shape.pieces * kHandleBytes,
              shape.stream_bytes - shape.pieces * kPageBytes);
  return shape.stream_bytes;
}

std::size_t ClusterObjects::page_count(SlotWord word) const {
  const std::byte* stream =
      word.pieces() > 0 ? pool_.at(piece(word, 0), kPageBytes).data() : head(word).data();
  return std::to_integer<std::size_t>(stream[kClusterCheckBytes]);
}

void ClusterObjects::free(SlotWord word) {
  for (std::size_t i = 0; i < word.pieces(); ++i) pool_.free(piece(word, i), kPageBytes);
  pool_.free(word.handle(), word.head_bytes());
}

// --- compaction

std::optional<SlotWord> ClusterObjects::move(SlotWord word) {
  for (std::size_t i = 0; i < word.pieces(); ++i) {
    const Handle old = piece(word, i);
    if (!pool_.must_move(old, kPageBytes)) continue;
    const Result<Handle> place = pool_.allocate(kPageBytes, LimitRule::Exceed);
    if (!place) return std::nullopt;
    std::memcpy(pool_.at(*place, kPageBytes).data(), pool_.at(old, kPageBytes).data(), kPageBytes);
    set_piece(word, i, *place);
    pool_.free(old, kPageBytes);
  }
  if (!pool_.must_move(word.handle(), word.head_bytes())) return word;
  const Result<Handle> place = pool_.allocate(word.head_bytes(), LimitRule::Exceed);
  if (!place) return std::nullopt;
  std::memcpy(pool_.at(*place, word.head_bytes()).data(), head(word).data(), word.head_bytes());
  return word.moved_to(*place);
}

// --- recovery

void ClusterObjects::survey(SlotWord word) const {
  if (!pool_.is_place(word.handle(), word.head_bytes())) return;
  if (word.head_bytes() < word.pieces() * kHandleBytes) return;
  pool_.survey(word.handle(), word.head_bytes());
  for (std::size_t i = 0; i < word.pieces(); ++i) pool_.survey(piece(word, i), kPageBytes);
}

bool ClusterObjects::adopt(SlotWord word) {
  if (word.head_bytes() < word.pieces() * kHandleBytes) return false;
  if (!pool_.adopt(word.handle(), word.head_bytes())) return false;
  for (std::size_t i = 0; i < word.pieces(); ++i) {
    if (pool_.adopt(piece(word, i), kPageBytes)) continue;
    for (std::size_t done = 0; done < i; ++done) pool_.disown(piece(word, done), kPageBytes);
    pool_.disown(word.handle(), word.head_bytes());
    return false;
  }
  return true;
}

ConstBytes checked_cluster(ConstBytes stream, PageCheckFunction check) {
  if (stream.size() <= kClusterCheckBytes) return {};
  std::uint64_t stored = 0;
  std::memcpy(&stored, stream.data(), sizeof stored);
  const ConstBytes packed = stream.subspan(kClusterCheckBytes);
  return check(packed.data(), packed.size()) == stored ? packed : ConstBytes{};
}

}  // namespace uzram
