// SPDX-License-Identifier: Apache-2.0
// How a regular file changes: its content, and what it is below. Plain ones: plain_change.cc.
#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "cluster/cluster_storage.h"
#include "frontend/mount/regular_file.h"
#include "frontend/mount/replacement.h"
#include "frontend/mount/volume.h"

namespace uzram {
namespace {

constexpr std::size_t kCopyBytes = std::size_t{1} << 20;

// Calls write(offset, bytes) for what `file` has; holes are left out.
template <typename Write>
Result<std::uint64_t> copy_plain(int file, const Write& write) {
  struct stat status {};
  if (::fstat(file, &status) != 0) return fail_errno();
  std::vector<std::byte> piece(kCopyBytes);
  for (off_t offset = 0; offset < status.st_size;) {
    const off_t data = ::lseek(file, offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data > offset)
      offset = data / static_cast<off_t>(kPageBytes) * static_cast<off_t>(kPageBytes);
    const ssize_t got = ::pread(file, piece.data(), piece.size(), offset);
    if (got < 0) return fail_errno();
    if (got == 0) break;
    const auto bytes = static_cast<std::size_t>(got);
    auto written = write(static_cast<std::uint64_t>(offset), ConstBytes(piece).first(bytes));
    if (!written) return fail(written.error().code);
    offset += got;
  }
  return static_cast<std::uint64_t>(status.st_size);
}

Result<FileDescriptor> duplicate(int file) {
  FileDescriptor copy(::fcntl(file, F_DUPFD_CLOEXEC, 0));
  if (!copy.is_open()) return fail_errno();
  return copy;
}

// An empty cluster file in a file that is empty.
Result<std::unique_ptr<ClusterFile>> create_cluster_in(int file, const ClusterOptions& options,
                                                       const ClusterFileLimits& limits) {
  auto own = duplicate(file);
  if (!own) return fail(own.error().code);
  auto storage = adopt_cluster_storage(*std::move(own), StorageMode::Write, LockRule::WritersOnly);
  if (!storage) return fail(storage.error().code);
  return ClusterFile::create(*std::move(storage), options, limits);
}

}  // namespace

// --- what it is below ------------------------------------------------------------------------

// Requires: nothing is below yet. After an error it is as it was.
Result<void> RegularFile::become_cluster_in_place() {
  auto created = create_cluster_in(file_.get(), volume_.cluster_options(inode_), limits());
  Result<void> done = created ? Result<void>{} : fail(created.error().code);
  if (done && !young_.empty()) done = (*created)->write(0, young_);
  if (!done) {
    static_cast<void>(!::ftruncate(file_.get(), 0));
    return done;
  }
  cluster_ = *std::move(created);
  file_.reset();
  young_ = {};
  may_grow_ = is_released_ = false;
  state_ = FileState::Cluster;
  note_change();
  return {};
}

// Requires: Plain.
Result<void> RegularFile::become_cluster_beside() {
  auto replacement = Replacement::begin(volume_, inode_);
  if (!replacement) return fail(replacement.error().code);
  auto made = create_cluster_in(replacement->file(), volume_.cluster_options(inode_), limits());
  if (!made) return fail(made.error().code);
  ClusterFile& cluster = **made;
  const auto size = copy_plain(file_.get(), [&](std::uint64_t offset, ConstBytes bytes) {
    return cluster.write(offset, bytes);
  });
  if (!size) return fail(size.error().code);
  if (auto sized = cluster.truncate(*size); !sized) return sized;
  if (auto synced = cluster.sync(); !synced) return synced;
  if (auto published = replacement->publish(); !published) return published;
  cluster_ = *std::move(made);
  file_.reset();
  may_grow_ = is_released_ = false;
  state_ = FileState::Cluster;
  return {};
}

// Requires: Cluster.
Result<void> RegularFile::become_plain_beside() {
  auto replacement = Replacement::begin(volume_, inode_);
  if (!replacement) return fail(replacement.error().code);
  const std::uint64_t end = cluster_->size_bytes();
  std::vector<std::byte> piece(kCopyBytes);
  for (std::uint64_t offset = 0; offset < end;) {
    const auto data = cluster_->next_data(offset);
    if (!data) return fail(data.error().code);
    if (*data >= end) break;
    const auto got = cluster_->read(*data, piece);
    if (!got) return fail(got.error().code);
    const ConstBytes bytes = ConstBytes(piece).first(*got);
    if (*data == 0 && has_root_magic(bytes)) return fail(EINVAL);
    if (auto written = write_plain_bytes(replacement->file(), *data, bytes); !written)
      return written;
    offset = *data + *got;
  }
  if (::ftruncate(replacement->file(), static_cast<off_t>(end)) != 0 ||
      ::fsync(replacement->file()) != 0) {
    return fail_errno();
  }
  auto own = duplicate(replacement->file());
  if (!own) return fail(own.error().code);
  if (auto published = replacement->publish(); !published) return published;
  file_ = *std::move(own);
  cluster_.reset();
  has_changes_ = false;
  has_whole_head_ = end >= kRootMagicBytes;
  state_ = FileState::Plain;
  return {};
}

// --- content ---------------------------------------------------------------------------------

Result<void> RegularFile::write(std::uint64_t offset, ConstBytes bytes) {
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    if (state_ == FileState::Cluster && is_writable_) {
      if (is_released_) return fail(EPERM);
      auto written = cluster_->write(offset, bytes);
      note_change();  // Afterwards: a commit in the meantime need not have seen it.
      return written;
    }
  }
  const Lock lock(mutex_);
  return write_alone(offset, bytes);
}

// Requires: the lock alone.
Result<void> RegularFile::write_alone(std::uint64_t offset, ConstBytes bytes) {
  if (auto opened = ensure_open(true); !opened) return opened;
  if (state_ == FileState::Young) return write_young(offset, bytes);
  if (state_ == FileState::Plain) return write_plain(offset, bytes);
  if (is_released_) return fail(EPERM);
  note_change();
  return cluster_->write(offset, bytes);
}

Result<void> RegularFile::write_young(std::uint64_t offset, ConstBytes bytes) {
  if (offset + bytes.size() >= volume_.small_file_bytes()) {
    if (auto become = become_cluster_in_place(); !become) return become;
    return cluster_->write(offset, bytes);
  }
  if (young_.size() < offset + bytes.size()) young_.resize(offset + bytes.size());
  std::copy(bytes.begin(), bytes.end(), young_.begin() + static_cast<std::ptrdiff_t>(offset));
  note_change();
  return {};
}

Result<void> RegularFile::truncate_young(std::uint64_t size_bytes) {
  if (size_bytes >= volume_.small_file_bytes()) {
    if (auto become = become_cluster_in_place(); !become) return become;
    return cluster_->truncate(size_bytes);
  }
  young_.resize(size_bytes);
  note_change();
  return {};
}

Result<void> RegularFile::truncate(std::uint64_t size_bytes) {
  const Lock lock(mutex_);
  if (auto opened = ensure_open(true); !opened) return opened;
  if (state_ == FileState::Young) return truncate_young(size_bytes);
  if (state_ == FileState::Plain) return truncate_plain(size_bytes);
  if (is_released_) {
    if (size_bytes != 0) return fail(EPERM);
    KeptFlags flags = inode_.flags();
    flags.is_released = false;
    if (auto set = inode_.set_flags(flags); !set) return set;
    is_released_ = false;
  }
  note_change();
  return cluster_->truncate(size_bytes);
}

Result<void> RegularFile::allocate_cluster(int mode, std::uint64_t offset, std::uint64_t bytes) {
  if (is_released_) return fail(EPERM);
  const bool is_punch = (mode & FALLOC_FL_PUNCH_HOLE) != 0;
  if (!is_punch && (mode & FALLOC_FL_ZERO_RANGE) == 0) return fail(EOPNOTSUPP);
  note_change();
  if (auto punched = cluster_->punch(offset, bytes); !punched) return punched;
  const std::uint64_t end = offset + bytes;
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && end > cluster_->size_bytes())
    return cluster_->truncate(end);
  return {};
}

Result<void> RegularFile::allocate_young(int mode, std::uint64_t offset, std::uint64_t bytes) {
  if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) == 0) return fail(EOPNOTSUPP);
  const std::uint64_t end = offset + bytes;
  if (offset < young_.size()) {
    const auto stop = std::min<std::uint64_t>(end, young_.size());
    std::fill(young_.begin() + static_cast<std::ptrdiff_t>(offset),
              young_.begin() + static_cast<std::ptrdiff_t>(stop), std::byte{0});
    note_change();
  }
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && end > young_.size()) return truncate_young(end);
  return {};
}

Result<void> RegularFile::allocate(int mode, std::uint64_t offset, std::uint64_t bytes) {
  constexpr int kKnown = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
  if ((mode & ~kKnown) != 0) return fail(EOPNOTSUPP);
  const Lock lock(mutex_);
  if (auto opened = ensure_open(true); !opened) return opened;
  if (state_ == FileState::Young) return allocate_young(mode, offset, bytes);
  if (state_ == FileState::Cluster) return allocate_cluster(mode, offset, bytes);
  return allocate_plain(mode, offset, bytes);
}

// --- what the f2fs calls ask for -------------------------------------------------------------

bool RegularFile::is_compressed() {
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    if (state_ == FileState::Cluster || state_ == FileState::Young) return true;
  }
  if (const CompressFlag flag = inode_.flags().compress; flag != CompressFlag::Unset)
    return flag == CompressFlag::Compress;
  return is_empty() && !volume_.options().is_user_mode && volume_.wants_compression(inode_);
}

bool RegularFile::is_released() {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  return state_ == FileState::Cluster && is_released_;
}

bool RegularFile::is_empty() {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  struct stat status {};
  if (state_ == FileState::Young) return young_.empty();
  return state_ != FileState::Cluster && ::fstat(inode_.place(), &status) == 0 &&
         status.st_blocks == 0 && status.st_size == 0;
}

std::optional<ClusterOptions> RegularFile::cluster_options() {
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    if (state_ == FileState::Cluster) return cluster_->options();
  }
  if (!is_compressed()) return std::nullopt;
  return volume_.cluster_options(inode_);
}

Result<std::uint64_t> RegularFile::saved_blocks() {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  if (state_ != FileState::Cluster) return std::uint64_t{0};
  if (is_released_) return std::uint64_t{0};
  if (is_writable_) {
    if (auto flushed = cluster_->flush(); !flushed) return fail(flushed.error().code);
  }
  const auto totals = cluster_->totals();
  if (!totals) return fail(totals.error().code);
  return totals->content_blocks - totals->stored_blocks;
}

Result<std::uint64_t> RegularFile::release() {
  const auto saved = saved_blocks();
  if (!saved) return saved;
  const Lock lock(mutex_);
  if (auto opened = ensure_open(true); !opened) return fail(opened.error().code);
  if (is_released_) return fail(EINVAL);
  if (state_ != FileState::Cluster || *saved == 0) return fail(EPERM);
  if (auto released = cluster_->release(); !released) return fail(released.error().code);
  KeptFlags flags = inode_.flags();
  flags.is_released = true;
  if (auto set = inode_.set_flags(flags); !set) return fail(set.error().code);
  is_released_ = true;
  return saved;
}

Result<std::uint64_t> RegularFile::reserve() {
  {
    const Lock lock(mutex_);
    if (auto opened = ensure_open(true); !opened) return fail(opened.error().code);
    if (state_ != FileState::Cluster || !is_released_) return fail(EINVAL);
    if (auto reserved = cluster_->reserve(); !reserved) return fail(reserved.error().code);
    KeptFlags flags = inode_.flags();
    flags.is_released = false;
    if (auto set = inode_.set_flags(flags); !set) return fail(set.error().code);
    is_released_ = false;
  }
  return saved_blocks();
}

Result<void> RegularFile::compress() {
  const Lock lock(mutex_);
  if (auto opened = ensure_open(true); !opened) return opened;
  if (state_ == FileState::Cluster) return {};
  if (state_ == FileState::Young) return become_cluster_in_place();
  struct stat status {};
  if (::fstat(file_.get(), &status) != 0) return fail_errno();
  return status.st_size == 0 ? become_cluster_in_place() : become_cluster_beside();
}

Result<void> RegularFile::decompress() {
  const Lock lock(mutex_);
  if (auto opened = ensure_open(true); !opened) return opened;
  if (is_released_) return fail(EINVAL);
  return state_ == FileState::Cluster ? become_plain_beside() : Result<void>{};
}

void RegularFile::look_again() {
  const Lock lock(mutex_);
  if (state_ == FileState::Young && !wants_young())
    state_ = FileState::Plain;
  else if (state_ == FileState::Plain && wants_young())
    state_ = FileState::Young;
}

}  // namespace uzram
