// SPDX-License-Identifier: Apache-2.0
// store/cluster_writer.h: packs pages together as they are written.
//
// What:    pages of one stretch of the device that leave memory at the same time become clusters at
//          once. What else of the stretch stands by itself, or in small or partly dead clusters,
//          comes along, so that a stretch that is written again and again stays packed without
//          anybody walking the table. Not here: pages that have been stored
//          for a while (cluster_maker.h).
// Shapes:  a stretch is kStretchPages pages, from a multiple of that.
// Owns:    a few compressors with room for one cluster each.
// Errors:  make -> EINVAL a size or level that clusters do not have, ENOMEM. write -> as
//          Store::write; pages that were not released to their keeper read as before.
// Threads: write from any thread at once, with different pages. Whoever writes or discards a page
//          that comes along waits until it has come; readers do not.
// Memory:  write allocates nothing.
// Laws:    1, 3, 4, 8.
// Proof:   cluster_writer_test.cc, store_thread_test.cc.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "codec/cluster_codec.h"
#include "store/store.h"

namespace uzram {

// Whoever has the content of the pages that are written.
class PageKeeper {
 public:
  // Whether page `number` of the call still is what was given. If so, nobody changes it, writes it
  // or discards it before release. Must not wait.
  virtual bool try_hold(std::size_t number) = 0;
  // It is stored.
  virtual void release(std::size_t number) = 0;

 protected:
  ~PageKeeper() = default;
};

struct PageToWrite {
  PageIndex page;
  const std::byte* content = nullptr;  // Of kPageBytes; does not change during the call.
};

struct ClusterWriteOutcome {
  std::uint64_t clustered_pages = 0;  // Of those that were given.
  std::uint64_t repacked_pages = 0;   // That came along.
};

class ClusterWriter {
 public:
  static constexpr std::uint64_t kStretchPages = 64;

  // Requires: the store outlives it.
  static Result<std::unique_ptr<ClusterWriter>> make(Store& store, std::size_t cluster_pages,
                                                     int level, std::size_t lane_count);
  ~ClusterWriter();

  // Stores the pages whose keeper wants them stored. Requires: pages of one stretch, each
  // once.
  Result<ClusterWriteOutcome> write(std::span<const PageToWrite> pages, PageKeeper& keeper);

  [[nodiscard]] std::size_t cluster_pages() const { return cluster_pages_; }
  [[nodiscard]] std::size_t memory_bytes() const { return memory_bytes_; }

 private:
  struct Lane;
  class Writing;

  ClusterWriter(Store& store, std::size_t cluster_pages, std::vector<std::unique_ptr<Lane>> lanes);

  Store& store_;
  const std::size_t cluster_pages_;
  std::size_t memory_bytes_ = 0;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace uzram
