// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/inode_table.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <vector>

#include "base/check.h"
#include "frontend/mount/regular_file.h"

namespace uzram {

Inode::Inode(FileDescriptor place, const struct stat& status)
    : place_(std::move(place)),
      type_(status.st_mode & S_IFMT),
      shown_number_(status.st_ino),
      key_{status.st_dev, status.st_ino} {}

Inode::~Inode() = default;

std::string Inode::path() const { return fmt::format("/proc/self/fd/{}", place_.get()); }

Result<FileDescriptor> Inode::open(bool will_write) {
  const std::string named = path();
  // Does not wait for the holder of a lease.
  const int flags = (will_write ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_CLOEXEC;
  const auto try_open = [&]() -> Result<FileDescriptor> {
    FileDescriptor descriptor(::open(named.c_str(), flags));
    if (!descriptor.is_open()) return fail(errno == EWOULDBLOCK ? EBUSY : errno);
    return descriptor;
  };
  auto opened = try_open();
  if (opened || opened.error().code != EACCES) return opened;
  const MutexLock lock(mode_mutex_);
  struct stat status {};
  if (::fstat(place(), &status) != 0) return fail_errno();
  // Where the group is not ours, its set-group-ID bit would not come back.
  if (status.st_uid != ::geteuid() || (status.st_mode & S_ISGID) != 0) return opened;
  const mode_t mode = status.st_mode & 07777;
  if (::chmod(named.c_str(), mode | S_IRUSR | S_IWUSR) != 0) return opened;
  opened = try_open();
  if (::chmod(named.c_str(), mode) != 0 && opened) return fail_errno();
  return opened;
}

Result<struct stat> Inode::status() {
  const MutexLock lock(mode_mutex_);
  struct stat status {};
  if (::fstat(place(), &status) != 0) return fail_errno();
  return status;
}

Result<void> Inode::set_mode(mode_t mode) {
  const MutexLock lock(mode_mutex_);
  if (::chmod(path().c_str(), mode) != 0) return fail_errno();
  return {};
}

KeptFlags Inode::flags() {
  const MutexLock lock(flags_mutex_);
  if (!flags_) flags_ = load_kept_flags(path());
  return *flags_;
}

Result<void> Inode::set_flags(const KeptFlags& flags) {
  const MutexLock lock(flags_mutex_);
  if (flags_ == flags) return {};
  if (auto stored = store_kept_flags(path(), flags); !stored) return stored;
  flags_ = flags;
  return {};
}

Inode& InodeTable::look_up(FileDescriptor place, const struct stat& status) {
  const InodeKey key{status.st_dev, status.st_ino};
  {
    const MutexLock lock(mutex_);
    if (const auto found = inodes_.find(key); found != inodes_.end()) {
      ++found->second->use_count_;
      return *found->second;
    }
  }
  auto made = std::make_unique<Inode>(std::move(place), status);
  const auto kept = made->is_regular() ? made->flags().number : std::nullopt;
  const MutexLock lock(mutex_);
  std::unique_ptr<Inode>& slot = inodes_[key];
  if (slot == nullptr) {
    slot = std::move(made);
    slot->shown_number_ = number_for(key, kept);
    prepare_(*slot);
  }
  ++slot->use_count_;
  return *slot;
}

bool InodeTable::is_free(ino_t number, const InodeKey& key) const {
  const auto given = given_.find(number);
  if (given != given_.end()) return given->second == key;
  const auto own = inodes_.find({key.device, number});
  if (number == key.number || own == inodes_.end() || own->second == nullptr) return true;
  return own->second->shown_number_ != number;
}

ino_t InodeTable::number_for(const InodeKey& key, std::optional<std::uint64_t> kept) {
  ino_t number = kept && is_free(*kept, key) ? *kept : key.number;
  constexpr ino_t kOfNoFileSystem = ino_t{1} << 63;
  while (!is_free(number, key)) number = (number | kOfNoFileSystem) + 1;
  if (number != key.number) given_[number] = key;
  return number;
}

void InodeTable::hold(Inode& inode) {
  const MutexLock lock(mutex_);
  ++inode.use_count_;
}

void InodeTable::let_go(Inode& inode, std::uint64_t use_count) {
  std::unique_ptr<Inode> gone;  // Its end may take long: not under the lock.
  const MutexLock lock(mutex_);
  UZ_CHECK(inode.use_count_ >= use_count);
  inode.use_count_ -= use_count;
  if (inode.use_count_ != 0) return;
  const auto found = inodes_.find(inode.key_);
  UZ_CHECK(found != inodes_.end());
  struct stat status {};
  if (const auto given = given_.find(inode.shown_number_);
      given != given_.end() && given->second == inode.key_ &&
      ::fstat(inode.place(), &status) == 0 && status.st_nlink == 0) {
    given_.erase(given);
  }
  gone = std::move(found->second);
  inodes_.erase(found);
}

Result<void> InodeTable::replace(Inode& inode, const FileDescriptor& place) {
  struct stat status {};
  if (::fstat(place.get(), &status) != 0) return fail_errno();
  const MutexLock lock(mutex_);
  // Under the same number, so that whoever uses it meanwhile has one or the other.
  if (::dup3(place.get(), inode.place_.get(), O_CLOEXEC) < 0) return fail_errno();
  const auto found = inodes_.find(inode.key_);
  UZ_CHECK(found != inodes_.end());
  auto node = inodes_.extract(found);
  inode.key_ = {status.st_dev, status.st_ino};
  given_[inode.shown_number_] = inode.key_;
  node.key() = inode.key_;
  UZ_CHECK(inodes_.insert(std::move(node)).inserted);
  return {};
}

void InodeTable::visit_all(const std::function<void(Inode&)>& visit) {
  std::vector<Inode*> all;
  {
    const MutexLock lock(mutex_);
    all.reserve(inodes_.size());
    for (const auto& [key, inode] : inodes_) {
      ++inode->use_count_;
      all.push_back(inode.get());
    }
  }
  for (Inode* const each : all) {
    visit(*each);
    let_go(*each);
  }
}

std::size_t InodeTable::count() const {
  const MutexLock lock(mutex_);
  return inodes_.size();
}

}  // namespace uzram
