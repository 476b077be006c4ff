// SPDX-License-Identifier: Apache-2.0
// What a file is below, opening and closing it, reading, and when its changes become safe.
#include "frontend/mount/regular_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "cluster/cluster_storage.h"
#include "frontend/mount/volume.h"

namespace uzram {
namespace {

// Whether the file begins as cluster files do.
Result<bool> is_cluster_file(int file) {
  std::array<std::byte, kRootMagicBytes> first{};
  const ssize_t got = ::pread(file, first.data(), first.size(), 0);
  if (got < 0) return fail_errno();
  return static_cast<std::size_t>(got) == first.size() && has_root_magic(first);
}

// The size of the content of a cluster file; nothing of a damaged one can be read.
Result<std::uint64_t> content_bytes(int file) {
  std::array<std::byte, kRootsBytes> first_bytes;
  const ssize_t got = ::pread(file, first_bytes.data(), first_bytes.size(), 0);
  if (got < 0) return fail_errno();
  const auto root = newest_root(ConstBytes(first_bytes).first(static_cast<std::size_t>(got)));
  return root ? root->size_bytes : 0;
}

bool is_same_time(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

}  // namespace

// --- open and closed -------------------------------------------------------------------------

bool RegularFile::wants_young() const {
  return is_writable_ && !volume_.options().is_user_mode && volume_.wants_compression(inode_);
}

ClusterFileLimits RegularFile::limits() const {
  return {volume_.options().cache_bytes, volume_.options().thread_count};
}

void RegularFile::forget() {
  state_ = FileState::Closed;
  cluster_.reset();
  file_.reset();
  young_ = {};
  is_writable_ = may_grow_ = has_whole_head_ = false;
}

Result<void> RegularFile::open_cluster(FileDescriptor file) {
  const StorageMode mode = is_writable_ ? StorageMode::Write : StorageMode::Read;
  // Only the mount changes what lies below: somebody who may read it does not stop that.
  auto storage = adopt_cluster_storage(std::move(file), mode, LockRule::WritersOnly);
  if (!storage) return fail(storage.error().code);
  auto opened = ClusterFile::open(*std::move(storage), mode, limits());
  if (!opened) return fail(opened.error().code);
  cluster_ = *std::move(opened);
  is_released_ = inode_.flags().is_released;
  state_ = FileState::Cluster;
  return {};
}

// Requires: Closed.
Result<void> RegularFile::open_below(bool will_write) {
  is_writable_ = will_write;
  auto opened = inode_.open(will_write);
  if (!opened) return fail(opened.error().code);
  FileDescriptor file = *std::move(opened);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return fail_errno();
  const auto is_cluster = is_cluster_file(file.get());
  if (!is_cluster) return fail(is_cluster.error().code);
  if (*is_cluster) return open_cluster(std::move(file));
  file_ = std::move(file);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const bool is_small = is_writable_ && size < volume_.small_file_bytes() && wants_young();
  state_ = is_small && size == 0 ? FileState::Young : FileState::Plain;
  may_grow_ = is_small && size != 0 && status.st_nlink == 1;
  has_whole_head_ = size >= kRootMagicBytes;
  return {};
}

Result<void> RegularFile::ensure_open(bool will_write) {
  // Open for reading only: nothing has changed.
  if (state_ != FileState::Closed && will_write && !is_writable_) forget();
  if (state_ != FileState::Closed) return {};
  auto opened = open_below(will_write);
  if (!opened) forget();
  return opened;
}

Result<void> RegularFile::open(bool will_write) {
  const Lock lock(mutex_);
  if (auto opened = ensure_open(will_write); !opened) return opened;
  ++open_count_;
  if (will_write) ++writer_count_;
  return {};
}

void RegularFile::open_new(FileDescriptor file, bool is_to_be_compressed) {
  const Lock lock(mutex_);
  ++open_count_;
  ++writer_count_;
  if (state_ != FileState::Closed) return;  // Somebody was faster.
  file_ = std::move(file);
  is_writable_ = true;
  const bool is_young = is_to_be_compressed && !volume_.options().is_user_mode;
  state_ = is_young ? FileState::Young : FileState::Plain;
}

void RegularFile::close(bool could_write) {
  {
    const Lock lock(mutex_);
    if (could_write) --writer_count_;
    if (--open_count_ != 0) return;
    if (is_without_name()) {
      has_changes_ = false;  // Nobody will ever read it.
    } else if (state_ == FileState::Young) {
      if (auto settled = settle(); !settled) error_ = settled.error().code;
    }
    if (!has_changes_) return forget();
  }
  volume_.committer().note_close(inode_);  // It may commit another file: no lock is held.
}

unsigned RegularFile::writer_count() {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  return writer_count_;
}

Result<std::uint64_t> RegularFile::size_bytes(const struct stat& status) {
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    if (state_ == FileState::Young) return young_.size();
    if (state_ == FileState::Cluster) return cluster_->size_bytes();
    if (state_ == FileState::Plain) return static_cast<std::uint64_t>(status.st_size);
  }
  return size_of_closed(status);
}

Result<std::uint64_t> RegularFile::size_of_closed(const struct stat& status) {
  const auto stored_bytes = static_cast<std::uint64_t>(status.st_size);
  if (stored_bytes < kPageBytes) return stored_bytes;
  const MutexLock lock(shown_mutex_);
  if (shown_ && shown_->stored_bytes == stored_bytes &&
      is_same_time(shown_->changed, status.st_ctim)) {
    return shown_->size_bytes;
  }
  Shown shown{stored_bytes, status.st_ctim, stored_bytes};
  // What is stored may be more or less than the content: without a look there is no answer.
  const auto file = inode_.open(false);
  if (!file) return fail(file.error().code);
  const auto is_cluster = is_cluster_file(file->get());
  if (!is_cluster) return fail(is_cluster.error().code);
  if (*is_cluster) {
    const auto content = content_bytes(file->get());
    if (!content) return content;
    shown.size_bytes = *content;
  }
  shown_ = shown;
  return shown.size_bytes;
}

// --- reading ---------------------------------------------------------------------------------

Result<std::size_t> RegularFile::read(std::uint64_t offset, MutableBytes out) {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  if (state_ == FileState::Cluster) return cluster_->read(offset, out);
  if (state_ == FileState::Young) {
    if (offset >= young_.size()) return std::size_t{0};
    const std::size_t bytes = std::min<std::uint64_t>(out.size(), young_.size() - offset);
    std::memcpy(out.data(), &young_[offset], bytes);
    return bytes;
  }
  const ssize_t got = ::pread(file_.get(), out.data(), out.size(), static_cast<off_t>(offset));
  if (got < 0) return fail_errno();
  return static_cast<std::size_t>(got);
}

Result<std::uint64_t> RegularFile::next_hole(std::uint64_t offset) {
  const std::uint64_t end = cluster_->size_bytes();
  const std::uint64_t cluster_bytes = cluster_->options().cluster_bytes();
  while (offset < end) {
    const auto data = cluster_->next_data(offset);
    if (!data) return data;
    if (*data != offset) return offset;
    offset = (offset / cluster_bytes + 1) * cluster_bytes;
  }
  return end;
}

Result<std::uint64_t> RegularFile::seek(std::uint64_t offset, bool to_data) {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  if (state_ == FileState::Plain) {
    const off_t found =
        ::lseek(file_.get(), static_cast<off_t>(offset), to_data ? SEEK_DATA : SEEK_HOLE);
    if (found < 0) return fail_errno();
    return static_cast<std::uint64_t>(found);
  }
  const std::uint64_t end = state_ == FileState::Cluster ? cluster_->size_bytes() : young_.size();
  if (offset >= end) return fail(ENXIO);
  if (state_ == FileState::Young) return to_data ? offset : end;
  if (!to_data) return next_hole(offset);
  const auto found = cluster_->next_data(offset);
  if (found && *found >= end) return fail(ENXIO);
  return found;
}

// --- safe ------------------------------------------------------------------------------------

void RegularFile::note_change() {
  if (!has_changes_.exchange(true)) volume_.committer().note_change(inode_);
}

int RegularFile::take_error() { return error_.exchange(0); }

// Young becomes Plain. Requires: the lock alone.
Result<void> RegularFile::settle() {
  if (young_.empty()) {
    has_changes_ = false;
    return {};
  }
  if (has_root_magic(young_)) return become_cluster_in_place();
  const KeptTimes times(volume_.change_times(), inode_);
  for (std::size_t done = 0; done < young_.size();) {
    const ssize_t written =
        ::pwrite(file_.get(), &young_[done], young_.size() - done, static_cast<off_t>(done));
    if (written < 0) {
      const int code = errno;
      static_cast<void>(!::ftruncate(file_.get(), 0));
      return fail(code);
    }
    done += static_cast<std::size_t>(written);
  }
  has_whole_head_ = young_.size() >= kRootMagicBytes;
  young_ = {};
  state_ = FileState::Plain;
  may_grow_ = true;
  has_changes_ = false;
  return {};
}

// Requires: the lock, shared or alone.
Result<void> RegularFile::sync_cluster() {
  if (!is_writable_) return {};
  const KeptTimes times(volume_.change_times(), inode_);
  has_changes_ = false;  // Changes from here on count anew.
  auto synced = cluster_->sync();
  if (!synced) has_changes_ = true;
  return synced;
}

Result<void> RegularFile::flush() {
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    if (const int code = take_error(); code != 0) return fail(code);
    if (state_ == FileState::Cluster && has_changes_) {
      const KeptTimes times(volume_.change_times(), inode_);
      return cluster_->flush();
    }
    if (state_ != FileState::Young) return {};
  }
  // Others may still write to it: then it need not stay small.
  const Lock lock(mutex_);
  if (state_ != FileState::Young || open_count_ != 1) return {};
  return settle();
}

Result<void> RegularFile::sync() {
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    if (const int code = take_error(); code != 0) return fail(code);
    if (state_ == FileState::Cluster) return sync_cluster();
  }
  const Lock lock(mutex_);
  if (state_ == FileState::Young) {
    if (auto settled = settle(); !settled) return settled;
  }
  if (state_ == FileState::Cluster) return sync_cluster();
  if (file_.is_open() && ::fsync(file_.get()) != 0) return fail_errno();
  return {};
}

Result<void> RegularFile::commit_in_background() {
  Result<void> done;
  const bool is_gone = is_without_name();
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    if (state_ == FileState::Cluster && has_changes_ && !is_gone) done = sync_cluster();
  }
  Lock lock(mutex_);
  if (is_gone && open_count_ == 0) has_changes_ = false;  // Nobody will ever read it.
  // An open one may still grow: while it is small, memory holds it as it would any change.
  if (state_ == FileState::Young && has_changes_) done = settle();
  if (!done) error_ = done.error().code;
  if (open_count_ != 0) return done;
  // What can never be made safe is given up: the next one to open it finds the last commit.
  const bool is_given_up = !done && !may_succeed_later(done.error().code);
  if (is_given_up) has_changes_ = false;
  if (!has_changes_) forget();
  lock.unlock();
  if (is_given_up) volume_.write_back(inode_);
  return done;
}

bool RegularFile::is_without_name() const {
  struct stat status {};
  return ::fstat(inode_.place(), &status) == 0 && status.st_nlink == 0;
}

bool RegularFile::drop_if_gone() {
  if (!has_changes_ || !is_without_name()) return false;
  const Lock lock(mutex_);
  if (open_count_ != 0) return false;
  has_changes_ = false;
  forget();
  return true;
}

Result<void> RegularFile::set_times(const struct timespec (&times)[2]) {
  const Lock lock(mutex_);  // Whoever keeps the times has the old ones otherwise.
  if (::utimensat(AT_FDCWD, inode_.path().c_str(), times, 0) != 0) return fail_errno();
  return {};
}

}  // namespace uzram
