// SPDX-License-Identifier: Apache-2.0
// pool/arena.h: the shared memory that outlives a crash: one sparse memfd and its mapping.
//
// What:    addresses by offset, returns memory by punching holes. Not here: what lies where
//          (store/arena_header.h), who owns which bytes (pool.h).
// Owns:    the memfd and the mapping. Neither is written to core dumps nor inherited by children.
// Errors:  ENOMEM, EMFILE and the like from the system; EINVAL for a descriptor that is not an
//          arena's.
// Threads: immutable after construction; the bytes are synchronized by their owners.
// Laws:    2.
// Proof:   arena_test.cc.
#pragma once

#include <memory>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "base/units.h"

namespace uzram {

class Arena {
 public:
  // A sparse arena: pages cost memory only once they are written.
  // Requires: bytes is a multiple of kPageBytes.
  static Result<std::unique_ptr<Arena>> create(std::uint64_t bytes);
  // Maps the arena that another process has made; its size is the file's.
  static Result<std::unique_ptr<Arena>> open(FileDescriptor memfd);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  [[nodiscard]] std::byte* base() const { return base_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] int descriptor() const { return memfd_.get(); }
  // Gives the pages back to the kernel; they read as zeros afterwards.
  // Requires: both are multiples of kPageBytes. Errors: as fallocate(2); the content is then
  // unspecified.
  Result<void> punch(std::uint64_t offset, std::uint64_t bytes) const;
  // Makes the pages resident now, so that no later touch has to. Errors: ENOMEM.
  Result<void> populate(std::uint64_t offset, std::uint64_t bytes) const;
  // The first offset at or after `offset` whose page is resident; bytes() when there is none.
  [[nodiscard]] std::uint64_t next_resident(std::uint64_t offset) const;
  // Resident bytes as the kernel counts them (st_blocks).
  [[nodiscard]] std::uint64_t resident_bytes() const;

 private:
  Arena(FileDescriptor memfd, std::byte* base, std::uint64_t bytes)
      : memfd_(std::move(memfd)), base_(base), bytes_(bytes) {}
  static Result<std::unique_ptr<Arena>> map(FileDescriptor memfd, std::uint64_t bytes);

  // constant after construction
  const FileDescriptor memfd_;
  std::byte* const base_;
  const std::uint64_t bytes_;
};

}  // namespace uzram
