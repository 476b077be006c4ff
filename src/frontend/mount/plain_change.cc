// SPDX-License-Identifier: Apache-2.0
// How a plain file changes. Every change asks first how the file will begin.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "frontend/mount/regular_file.h"
#include "frontend/mount/volume.h"

namespace uzram {

// Requires: Plain. Where the change would make it begin as cluster files do, it becomes one.
// Returns: whether it did; the change is then still to be made.
Result<bool> RegularFile::becomes_cluster_for(const PlainHead& next) {
  if (!next.is_of_a_cluster_file()) return false;
  const auto now = PlainHead::read(file_.get());
  if (!now) return fail(now.error().code);
  auto become = now->size_bytes() == 0 ? become_cluster_in_place() : become_cluster_beside();
  if (!become) return fail(become.error().code);
  return true;
}

Result<void> RegularFile::write_plain(std::uint64_t offset, ConstBytes bytes) {
  if (may_grow_ && offset + bytes.size() >= volume_.small_file_bytes()) {
    may_grow_ = false;
    // If that cannot be, it stays what it is.
    if (become_cluster_beside()) return write_alone(offset, bytes);
  }
  if (has_whole_head_ && offset >= kRootMagicBytes)
    return write_plain_bytes(file_.get(), offset, bytes);
  auto head = PlainHead::read(file_.get());
  if (!head) return fail(head.error().code);
  head->write(offset, bytes);
  const auto became = becomes_cluster_for(*head);
  if (!became) return fail(became.error().code);
  if (*became) return write_alone(offset, bytes);
  auto written = write_plain_bytes(file_.get(), offset, bytes);
  if (written) has_whole_head_ = head->is_whole();
  return written;
}

Result<void> RegularFile::truncate_plain(std::uint64_t size_bytes) {
  if (may_grow_ && size_bytes >= volume_.small_file_bytes()) {
    may_grow_ = false;
    if (become_cluster_beside()) {
      note_change();
      return cluster_->truncate(size_bytes);
    }
  }
  auto head = PlainHead::read(file_.get());
  if (!head) return fail(head.error().code);
  head->set_size(size_bytes);
  const auto became = becomes_cluster_for(*head);
  if (!became) return fail(became.error().code);
  if (*became) {
    note_change();
    return cluster_->truncate(size_bytes);
  }
  // Before: a truncation that fails half-way may have cut it.
  has_whole_head_ = false;
  if (::ftruncate(file_.get(), static_cast<off_t>(size_bytes)) != 0) return fail_errno();
  has_whole_head_ = head->is_whole();
  if (size_bytes == 0 && wants_young()) {
    may_grow_ = false;
    state_ = FileState::Young;
  }
  return {};
}

// What memory holds of a new file finds no room below: what does is kept, and an error is told.
void RegularFile::give_up_young(std::uint64_t size_bytes) {
  PlainHead head;
  head.write(0, young_);
  head.set_size(std::max<std::uint64_t>(size_bytes, young_.size()));
  if (head.is_of_a_cluster_file()) return;
  if (auto written = write_plain_bytes(file_.get(), 0, young_); !written)
    error_ = written.error().code;
  if (::ftruncate(file_.get(), static_cast<off_t>(head.size_bytes())) != 0) error_ = errno;
  young_ = {};
  state_ = FileState::Plain;
  has_changes_ = may_grow_ = has_whole_head_ = false;
}

void RegularFile::reach(std::uint64_t size_bytes) {
  const Lock lock(mutex_);
  if (!is_writable_) return;
  Result<void> reached;
  if (state_ == FileState::Young && young_.size() < size_bytes) {
    if (!truncate_young(size_bytes)) give_up_young(size_bytes);
  } else if (state_ == FileState::Cluster && cluster_->size_bytes() < size_bytes) {
    note_change();
    reached = cluster_->truncate(size_bytes);
  } else if (state_ == FileState::Plain) {
    const auto head = PlainHead::read(file_.get());
    if (head && head->size_bytes() < size_bytes) reached = truncate_plain(size_bytes);
  }
  if (!reached) error_ = reached.error().code;
}

Result<void> RegularFile::allocate_plain(int mode, std::uint64_t offset, std::uint64_t bytes) {
  const bool is_zeroing = (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0;
  if (may_grow_ && !is_zeroing) return fail(EOPNOTSUPP);
  auto head = PlainHead::read(file_.get());
  if (!head) return fail(head.error().code);
  if (is_zeroing) head->zero(offset, bytes);
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0)
    head->set_size(std::max(head->size_bytes(), offset + bytes));
  const auto became = becomes_cluster_for(*head);
  if (!became) return fail(became.error().code);
  if (*became) return allocate_cluster(mode, offset, bytes);
  if (::fallocate(file_.get(), mode, static_cast<off_t>(offset), static_cast<off_t>(bytes)) != 0)
    return fail_errno();
  has_whole_head_ = head->is_whole();
  return {};
}

}  // namespace uzram
