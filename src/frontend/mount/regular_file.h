// SPDX-License-Identifier: Apache-2.0
// frontend/mount/regular_file.h: the content of one regular file, plain or compressed.
//
// What:    read, write, truncate and the like, for all who have the file open at once; what lies
//          below is a plain file or a cluster file. Not here: requests and names
//          (mount_operations.h), when to commit (committer.h).
// Shapes:  Closed: nobody has it open. Young: new, small, in memory; nothing is below yet. Plain:
//          below it is as it reads. Cluster: below is a cluster file, known by its first bytes; so
//          no plain file may begin with those, and one that would becomes a cluster file first,
//          whatever change it is (plain_change.cc).
//          Young becomes Plain when it is closed or synced, Cluster when it grows large.
// Errors:  open -> EBADMSG: a damaged cluster file; EBUSY: somebody else uses it below. Changes ->
//          EPERM: released; EMLINK: would begin as a cluster file does, and has several names; what
//          the system says: ENOSPC at a write, flush or sync. An error in the background is told to
//          the next flush or sync.
// Threads: any, at once. The lock is held alone while the file becomes something else.
// Laws:    3.
// Proof:   regular_file_test.cc, regular_file_thread_test.cc, tests/mount.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <vector>

#include "base/file_descriptor.h"
#include "base/mutex.h"
#include "cluster/cluster_file.h"
#include "frontend/mount/inode_table.h"
#include "frontend/mount/plain_head.h"

namespace uzram {

class Volume;

enum class FileState : unsigned char { Closed, Young, Plain, Cluster };

class RegularFile {
 public:
  RegularFile(Volume& volume, Inode& inode) : volume_(volume), inode_(inode) {}

  // One more who has it open. close() ends it.
  [[nodiscard]] Result<void> open(bool will_write);
  // The same for a file that was just made, and is empty: `file` is open for reading and writing.
  void open_new(FileDescriptor file, bool is_to_be_compressed);
  void close(bool could_write);
  [[nodiscard]] unsigned writer_count();
  // Whether something is not safe yet.
  [[nodiscard]] bool has_changes() const { return has_changes_; }
  // Whether changes are refused.
  [[nodiscard]] bool is_released();

  // The size that it shows; `status` is that of the file below.
  [[nodiscard]] Result<std::uint64_t> size_bytes(const struct stat& status);

  [[nodiscard]] Result<std::size_t> read(std::uint64_t offset, MutableBytes out);
  [[nodiscard]] Result<void> write(std::uint64_t offset, ConstBytes bytes);
  // Calls use(descriptor) if the file is plain and stays so meanwhile. Returns: whether it did.
  // What it answers may be followed by a close at once; that waits for the lock.
  template <typename Use>
  bool try_plain_read(const Use& use) {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    if (state_ != FileState::Plain) return false;
    use(file_.get());
    return true;
  }
  template <typename Use>
  bool try_plain_write(std::uint64_t offset, const Use& use) {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    // The first bytes are looked at, and so is a small file that may become a large one.
    const bool is_looked_at = may_grow_ || !has_whole_head_ || offset < kRootMagicBytes;
    if (state_ != FileState::Plain || !is_writable_ || is_looked_at) return false;
    use(file_.get());
    return true;
  }

  // After a write up to there was refused: what is not there reads as zeros.
  void reach(std::uint64_t size_bytes);

  // The file must be open for what follows, for writing if it changes.
  [[nodiscard]] Result<void> truncate(std::uint64_t size_bytes);
  // `mode` as for fallocate(2). Errors: EOPNOTSUPP: a compressed file cannot set space aside.
  [[nodiscard]] Result<void> allocate(int mode, std::uint64_t offset, std::uint64_t bytes);
  // Errors: ENXIO: nothing there.
  [[nodiscard]] Result<std::uint64_t> seek(std::uint64_t offset, bool to_data);
  // Somebody closes it: what has changed is written, not synced.
  [[nodiscard]] Result<void> flush();
  [[nodiscard]] Result<void> sync();
  [[nodiscard]] Result<void> commit_in_background();
  // Drops the changes of one that nobody has open, and that no name leads to. Returns: whether.
  bool drop_if_gone();
  [[nodiscard]] Result<void> set_times(const struct timespec (&times)[2]);

  // --- what the f2fs calls ask for --------------------------------------------------------------
  // Whether it is compressed, or would be if it had content.
  [[nodiscard]] bool is_compressed();
  [[nodiscard]] bool is_empty();
  [[nodiscard]] std::optional<ClusterOptions> cluster_options();
  [[nodiscard]] Result<std::uint64_t> saved_blocks();
  // Requires: nobody else has it open for writing.
  [[nodiscard]] Result<std::uint64_t> release();
  [[nodiscard]] Result<std::uint64_t> reserve();
  [[nodiscard]] Result<void> compress();
  [[nodiscard]] Result<void> decompress();
  // After its flag or its choice of cluster has changed. Requires: it is empty.
  void look_again();

 private:
  using Lock = std::unique_lock<std::shared_mutex>;

  Result<void> ensure_open(bool will_write);
  Result<void> open_below(bool will_write);
  Result<void> open_cluster(FileDescriptor file);
  void forget();
  [[nodiscard]] bool wants_young() const;
  [[nodiscard]] ClusterFileLimits limits() const;
  void note_change();

  Result<void> write_young(std::uint64_t offset, ConstBytes bytes);
  Result<void> write_plain(std::uint64_t offset, ConstBytes bytes);
  Result<void> write_alone(std::uint64_t offset, ConstBytes bytes);
  Result<void> truncate_young(std::uint64_t size_bytes);
  void give_up_young(std::uint64_t size_bytes);
  Result<void> allocate_young(int mode, std::uint64_t offset, std::uint64_t bytes);
  Result<void> truncate_plain(std::uint64_t size_bytes);
  Result<void> allocate_plain(int mode, std::uint64_t offset, std::uint64_t bytes);
  Result<bool> becomes_cluster_for(const PlainHead& next);
  Result<void> allocate_cluster(int mode, std::uint64_t offset, std::uint64_t bytes);
  Result<std::uint64_t> next_hole(std::uint64_t offset);
  Result<void> settle();
  Result<void> sync_cluster();
  Result<void> become_cluster_in_place();
  Result<void> become_cluster_beside();
  Result<void> become_plain_beside();
  int take_error();
  [[nodiscard]] bool is_without_name() const;

  Volume& volume_;
  Inode& inode_;

  std::shared_mutex mutex_;
  // Changed under mutex_ held alone.
  FileState state_ = FileState::Closed;
  unsigned open_count_ = 0;
  unsigned writer_count_ = 0;  // Of those.
  bool is_writable_ = false;   // What lies below is open for writing.
  bool may_grow_ = false;      // Plain since it is small; to be compressed once it is not.
  bool is_released_ = false;
  // Plain: what is written behind the first bytes leaves them as they are.
  bool has_whole_head_ = false;
  FileDescriptor file_;           // Young and Plain.
  std::vector<std::byte> young_;  // Young.
  std::unique_ptr<ClusterFile> cluster_;

  // Set after a change, cleared before what makes it safe begins; the strongest order, since
  // neither may be seen the other way round.
  std::atomic<bool> has_changes_ = false;
  std::atomic<int> error_ = 0;  // Of the background, until it is told. It publishes nothing.

  Mutex shown_mutex_;
  // What a closed file shows, as long as the file below is the same.
  struct Shown {
    std::uint64_t stored_bytes = 0;
    timespec changed{};
    std::uint64_t size_bytes = 0;
  };
  std::optional<Shown> shown_ UZ_GUARDED_BY(shown_mutex_);
  Result<std::uint64_t> size_of_closed(const struct stat& status);
};

}  // namespace uzram
