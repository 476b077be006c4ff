// SPDX-License-Identifier: Apache-2.0
// backing/backing_writer.h: puts objects into a backing space, many to a block, in long runs.
//
// What:    append copies an object into a run of up to kRunBlocks blocks that lie next to each
//          other; a full run is encrypted and written while the next one is filled. Objects that
//          have a block to themselves and packed ones go to runs of their own. In the order of
//          appending, so what is appended together can be read together.
// Errors:  append -> ENOSPC when no free blocks are long enough, EIO when the store takes no more:
//          this object is not taken, the listener does not hear of it, the others are not affected.
//          A run that fails is reported object by object, and its blocks are free again.
//          With EncryptIn::OwnThread that is done by a second thread, beside the copying.
// Threads: one BackingWriter at a time; a second one's constructor waits for the first one's
//          destructor. The listener is called by the thread that is in append or flush; it may read
//          and free, and must not append. append waits when all writes are in flight.
// Memory:  append and flush allocate nothing; the constructor takes 16 KiB for each write in
//          flight, and the thread.
// Laws:    3, 5.
// Proof:   backing_space_test.cc, backing_fault_test.cc, backing_allocation_test.cc.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "backing/backing_space.h"

namespace uzram {

// Hears what became of appended objects.
class BackingListener {
 public:
  virtual ~BackingListener() = default;
  // `tag` as it was appended. The object is on the store, or the error says why not.
  virtual void placed(std::uint64_t tag, Result<BackingPosition> position) = 0;
};

enum class EncryptIn : std::uint8_t { CallingThread, OwnThread };

class BackingWriter {
 public:
  // At most `most_in_flight` runs, at least one, are on their way at a time. A thread of its own is
  // used where there is something to encrypt, and a thread to be had. Errors: std::bad_alloc.
  BackingWriter(BackingSpace& space, BackingListener& listener,
                std::size_t most_in_flight = ~std::size_t{0},
                EncryptIn encrypt_in = EncryptIn::CallingThread);
  // Flushes.
  ~BackingWriter();
  BackingWriter(const BackingWriter&) = delete;
  BackingWriter& operator=(const BackingWriter&) = delete;

  // Requires: 1 to kMaxObjectBytes bytes. The bytes are copied.
  Result<void> append(ConstBytes object, std::uint64_t tag);
  // The same in two steps, for who can put the object in its place: reserve tells the place, which
  // has room for stored_bytes(object_bytes); commit takes what lies there. Nothing has happened
  // when there is no commit. Errors: as append.
  Result<MutableBytes> reserve(std::size_t object_bytes);
  void commit(std::size_t object_bytes, std::uint64_t tag);
  // How many blocks will be written if this object is appended too and nothing behind it.
  [[nodiscard]] std::uint64_t blocks_with(std::size_t object_bytes) const;
  // Returns when the listener has heard of every object.
  void flush();

 private:
  static constexpr std::size_t kMostObjects = 1024;  // In a run; a fuller one is written early.
  struct Object {
    std::uint64_t tag = 0;
    BackingPosition position;
  };
  struct Run {
    BackingLease lease;  // Holds nothing: the run is not in use.
    BlockRange blocks;
    std::size_t used_bytes = 0;
    std::vector<Object> objects;                         // Room for kMostObjects.
    std::array<std::uint16_t, kRunBlocks> live_steps{};  // Of each block.
  };
  class Encrypter;

  [[nodiscard]] Run*& open_run_for(std::size_t object_bytes) {
    return has_own_block(object_bytes) ? whole_run_ : packed_run_;
  }
  [[nodiscard]] static bool has_room(const Run& run, std::size_t bytes);
  // Errors: as append.
  Result<void> open_run(Run*& open, std::size_t least_blocks);
  Result<BackingLease> take_lease();
  void write(Run*& open);
  void encrypt_and_start(Run& run);
  void finish_oldest();
  void finish(Run& run);

  BackingSpace& space_;
  BackingListener& listener_;
  const std::size_t most_in_flight_;
  std::vector<Run> runs_;             // As many as the store has writes.
  std::uint64_t started_blocks_ = 0;  // Of all runs that are written or on their way.
  Run* packed_run_ = nullptr;
  Run* whole_run_ = nullptr;  // Of objects that have a block to themselves.
  // Runs in flight, oldest first; a ring.
  std::vector<Run*> flying_;
  std::size_t first_flying_ = 0;
  std::size_t flying_count_ = 0;
  std::unique_ptr<Encrypter> encrypter_;  // Null: the calling thread. Last: it uses the runs.
};

}  // namespace uzram
