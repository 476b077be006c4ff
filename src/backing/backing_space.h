// SPDX-License-Identifier: Apache-2.0
// backing/backing_space.h: objects on a backing store: packed, encrypted, checked.
//
// What:    knows which blocks of a BackingStore are in use and reads objects out of them.
//          BackingWriter (backing_writer.h) puts objects in, object_place.h says how they lie in
//          blocks. Not here: which page an object is, what it is packed with (store/).
// Shapes:  objects of 1 to kMaxObjectBytes bytes. The first kMaxBackingBlocks of a store are used.
// Units:   counters are in blocks of 4 KiB.
// Owns:    the store, and what can be rebuilt by adopt(): live bytes of each block, in sparse
//          private memory. The caller owns block_records: a 16-bit generation of each block, raised
//          whenever the block is written again, and 32 bits of check of each object that has a
//          block to itself. They must outlive a crash together with the positions.
// Encryption: AES-256-XTS, one unit a block; the tweak is the block's number and generation, so an
//          older content of a block (of its last 65,535), or another block's, decrypts to noise.
// Checks:  XXH3 over the object, seeded with its place, the generations of its blocks and the key:
//          an older, misplaced, damaged or foreign content is EIO, encrypted or not.
// Errors:  EIO as above, and those of the store.
// Threads: every member from any thread unless said otherwise. An object must stay allocated while
//          it is read: one that is freed meanwhile reads as EIO or as what it was.
// Memory:  reads and frees allocate nothing.
// Laws:    2, 5, 6, 7.
// Proof:   backing_space_test.cc, backing_fault_test.cc, backing_recovery_test.cc,
//          backing_model_test.cc, backing_thread_test.cc, backing_allocation_test.cc.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "backing/backing_store.h"
#include "backing/block_cipher.h"
#include "backing/block_map.h"
#include "backing/block_records.h"
#include "backing/object_place.h"
#include "base/content_hash.h"

namespace uzram {

struct BackingSpaceConfig {
  // Random bytes that nobody else has, also when encrypt is false: they make the checks differ from
  // those of other devices. The two halves must differ.
  std::span<const std::byte, kBackingKeyBytes> key;
  // BackingSpace::record_bytes(store.block_count()) bytes, aligned to kPageBytes, zeros at first;
  // outlives the space.
  MutableBytes block_records;
  bool encrypt = true;
};

struct BackingCounters {
  std::uint64_t blocks_in_use = 0;
  std::uint64_t blocks_read = 0;
  std::uint64_t blocks_written = 0;
  std::uint64_t live_bytes = 0;      // In blocks in use, checks included; the rest there is waste.
  std::uint64_t retired_blocks = 0;  // In use for good: a write to them may still happen.
};

class BackingSpace;

// Some blocks, read once; objects that lie in them are taken out one by one. Holds one of the
// store's read requests: keep it for a moment only.
class BackingWindow {
 public:
  BackingWindow(BackingSpace& space, BackingLease lease, BlockRange range)
      : space_(&space), lease_(std::move(lease)), range_(range) {}

  // Copies the object out. Requires: covers(position, out.size()). Errors: EIO.
  Result<void> copy_object(BackingPosition position, MutableBytes out);
  [[nodiscard]] bool covers(BackingPosition position, std::size_t bytes) const {
    return contains(range_, blocks_of(position, bytes));
  }

 private:
  void decrypt(BlockRange range);

  BackingSpace* space_;
  BackingLease lease_;
  BlockRange range_;
  std::uint64_t decrypted_mask_ = 0;  // By block of the range.
};
static_assert(kReadBlocks <= 64);

class BackingSpace {
 public:
  static std::uint64_t record_bytes(std::uint64_t block_count) {
    return BlockRecords::bytes_for(block_count);
  }
  // Errors: EINVAL when the key's halves are the same or the system's OpenSSL has no AES-XTS,
  // ENOMEM.
  static Result<std::unique_ptr<BackingSpace>> create(std::unique_ptr<BackingStore> store,
                                                      const BackingSpaceConfig& config);
  ~BackingSpace();
  BackingSpace(const BackingSpace&) = delete;
  BackingSpace& operator=(const BackingSpace&) = delete;

  // Reads the blocks that the object lies in, and no others. Requires: the object was placed with
  // out.size() bytes.
  Result<void> read(BackingPosition position, MutableBytes out);
  // Reads at most kReadBlocks; blocks_of and hull_of tell which the neighbours lie in.
  Result<BackingWindow> read_window(BlockRange range);
  // Changes whenever the object's first block is written again: whoever read an object that was not
  // kept allocated meanwhile compares before and after.
  [[nodiscard]] std::uint16_t generation_of(BackingPosition position) const {
    return records_.generation(position.value / kStepsPerBlock);
  }
  // Requires: placed or adopted with the same number of bytes, and not freed. Cannot fail.
  void free(BackingPosition position, std::size_t bytes);
  // Whether less than half of the object's blocks holds live objects: writing it again elsewhere
  // would give blocks back. A hint.
  [[nodiscard]] bool is_in_sparse_block(BackingPosition position, std::size_t bytes) const;

  // --- recovery: before the first read, write or free, by one thread
  // Says that this object is live; any numbers may be asked. Returns: false when no writer can have
  // put it there, or another adopted object lies there. Its content is checked when it is read.
  [[nodiscard]] bool adopt(BackingPosition position, std::size_t bytes);
  // After the last adopt: what is not adopted is free. Not needed for a new space.
  void finish_adoption();

  // Tells the store which blocks nobody needs (holes, TRIM), in long runs, at most
  // `most_blocks`. Returns: the blocks told. Errors: as the store; EOPNOTSUPP when it cannot;
  // nothing is lost then.
  Result<std::uint64_t> discard_freed_blocks(std::uint64_t most_blocks);

  [[nodiscard]] BackingCounters counters() const;
  [[nodiscard]] BackingStore& store() const { return *store_; }
  [[nodiscard]] std::uint64_t block_count() const { return map_->block_count(); }
  // Buffers and tables in private memory.
  [[nodiscard]] std::uint64_t memory_bytes() const;
  // At a quiet moment: aborts when tables contradict one another.
  void check_invariants() const { map_->check_invariants(); }

 private:
  friend class BackingWindow;
  friend class BackingWriter;
  BackingSpace(std::unique_ptr<BackingStore> store, const BackingSpaceConfig& config,
               std::unique_ptr<BlockMap> map, std::vector<BlockCipher> ciphers);

  [[nodiscard]] std::uint64_t check_of(BackingPosition position, ConstBytes object) const;
  [[nodiscard]] BlockCipher::Tweak tweak_of(std::uint64_t block) const {
    return {block, records_.generation(block)};
  }
  // A write request, and free again what the request before in this lease left behind.
  BackingLease try_take_writer();
  Result<BackingLease> take_writer();
  void release_parked(const BackingLease& lease) UZ_EXCLUDES(parked_mutex_);
  // Gives blocks back after a write to them has failed, or as soon as it cannot happen any more.
  void give_back_after_failure(const BackingLease& lease, BlockRange range)
      UZ_EXCLUDES(parked_mutex_);

  // constant after construction
  const std::unique_ptr<BackingStore> store_;
  const BlockRecords records_;
  const ContentHash hash_;
  const std::uint64_t check_secret_;     // Derived from the key.
  const std::unique_ptr<BlockMap> map_;  // Synchronizes itself.

  // synchronizes itself: one for each request of the store, used by the request's holder; empty:
  // no encryption.
  std::vector<BlockCipher> ciphers_;
  // relaxed: plain counts that publish nothing.
  std::atomic<std::uint64_t> blocks_read_{0};
  std::atomic<std::uint64_t> blocks_written_{0};
  std::atomic<std::uint64_t> retired_blocks_{0};
  Mutex writer_mutex_;  // Held for the life of a BackingWriter.

  // guarded by parked_mutex_
  Mutex parked_mutex_;
  // By request: blocks that a request which nobody waits for any more may still change.
  std::vector<BlockRange> parked_ UZ_GUARDED_BY(parked_mutex_);
};

}  // namespace uzram
