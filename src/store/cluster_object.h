// SPDX-License-Identifier: Apache-2.0
// store/cluster_object.h: a packed cluster as objects of the pool.
//
// What:    a cluster is larger than a pool object may be, so it is a chain: whole pages (pieces),
//          and a head that says where they are and holds the rest. Not here: what is in the bytes
//          (codec/cluster_codec.h), which pages are members (the slot table).
// Shapes:  stream = 8 bytes check (XXH3 of what follows) | packed cluster | zeros to a multiple of
//          16, or to the end of the last piece. Piece i holds stream bytes [i * 4096, (i + 1) *
//          4096). head = one 8-byte handle for each piece | the stream's bytes behind the pieces.
// Errors:  build -> as Pool::allocate, and nothing is kept.
// Threads: as the pool; the caller holds the cluster's slot, or owns a word not yet published.
// Laws:    2 (a new process finds the pieces through the head), 3, 7.
// Proof:   cluster_object_test.cc.
#pragma once

#include <array>

#include "pool/pool.h"
#include "store/page_check.h"
#include "store/slot_word.h"

namespace uzram {

inline constexpr std::size_t kClusterCheckBytes = 8;
// Room for the largest stream.
constexpr std::size_t cluster_stream_room(std::size_t page_count) {
  return page_count * kPageBytes;
}

struct ClusterShape {
  std::size_t pieces = 0;
  std::size_t head_bytes = 0;
  std::size_t stream_bytes = 0;  // With the zeros at the end.

  // Requires: stream_bytes > 0.
  static ClusterShape for_stream(std::size_t stream_bytes);
  static ClusterShape of(SlotWord word);
  // What the pool gives up for it.
  [[nodiscard]] std::size_t pool_bytes() const;
};

class ClusterObjects {
 public:
  explicit ClusterObjects(Pool& pool) : pool_(pool) {}

  // `stream` has kClusterCheckBytes of room in front of the packed cluster, which are filled in,
  // and room for the shape's stream_bytes. Requires: packed_bytes fit a word (kMostClusterPieces).
  Result<SlotWord> build(MutableBytes stream, std::size_t packed_bytes, PageCheckFunction check,
                         LimitRule rule);
  // Puts the stream's bytes into the front of `stream`. Returns: its size; 0 when there is no room.
  [[nodiscard]] std::size_t copy_out(SlotWord word, MutableBytes stream) const;
  void free(SlotWord word);
  // How many pages it was made of, as its first bytes say (not checked).
  [[nodiscard]] std::size_t page_count(SlotWord word) const;

  // For compaction: moves what stands in the way. Returns: the word afterwards, nullopt when the
  // pool had no other place (what was moved so far stays valid).
  [[nodiscard]] std::optional<SlotWord> move(SlotWord word);
  // For recovery: the same questions as Pool::survey and Pool::adopt, for all objects of the chain;
  // of a refused one none stays adopted.
  void survey(SlotWord word) const;
  [[nodiscard]] bool adopt(SlotWord word);
  // How many objects the chain has.
  [[nodiscard]] static std::uint64_t object_count(SlotWord word) { return word.pieces() + 1; }

 private:
  [[nodiscard]] MutableBytes head(SlotWord word) const {
    return pool_.at(word.handle(), word.head_bytes());
  }
  [[nodiscard]] Handle piece(SlotWord word, std::size_t index) const;
  void set_piece(SlotWord word, std::size_t index, Handle handle);

  Pool& pool_;
};

// Whether the stream is what was built. Returns: the packed cluster in it; empty when damaged.
[[nodiscard]] ConstBytes checked_cluster(ConstBytes stream, PageCheckFunction check);

}  // namespace uzram
