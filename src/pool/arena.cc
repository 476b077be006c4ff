// SPDX-License-Identifier: Apache-2.0
#include "pool/arena.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/check.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14; absent from older C library headers.
#endif

namespace uzram {

Result<std::unique_ptr<Arena>> Arena::create(std::uint64_t bytes) {
  UZ_CHECK(bytes > 0 && bytes % kPageBytes == 0);
  FileDescriptor memfd(::memfd_create("uzram-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memfd.is_open()) return fail_errno();
  if (::ftruncate(memfd.get(), static_cast<off_t>(bytes)) != 0) return fail_errno();
  // Whoever is handed the descriptor can count on its size.
  if (::fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) return fail_errno();
  return map(std::move(memfd), bytes);
}

Result<std::unique_ptr<Arena>> Arena::open(FileDescriptor memfd) {
  struct stat status {};
  if (::fstat(memfd.get(), &status) != 0) return fail_errno();
  // A descriptor that came through exec or dup has lost the mark.
  if (::fcntl(memfd.get(), F_SETFD, FD_CLOEXEC) != 0) return fail_errno();
  const auto bytes = static_cast<std::uint64_t>(status.st_size);
  if (!S_ISREG(status.st_mode) || bytes == 0 || bytes % kPageBytes != 0) return fail(EINVAL);
  return map(std::move(memfd), bytes);
}

Result<std::unique_ptr<Arena>> Arena::map(FileDescriptor memfd, std::uint64_t bytes) {
  void* base =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memfd.get(), 0);
  if (base == MAP_FAILED) return fail_errno();
  // Advice only: page contents stay out of core dumps and out of children.
  ::madvise(base, bytes, MADV_DONTDUMP);
  ::madvise(base, bytes, MADV_DONTFORK);
  return std::unique_ptr<Arena>(new Arena(std::move(memfd), static_cast<std::byte*>(base), bytes));
}

Arena::~Arena() { ::munmap(base_, bytes_); }

Result<void> Arena::punch(std::uint64_t offset, std::uint64_t bytes) const {
  UZ_DCHECK(offset % kPageBytes == 0 && bytes % kPageBytes == 0 && offset + bytes <= bytes_);
  while (::fallocate(memfd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     static_cast<off_t>(offset), static_cast<off_t>(bytes)) != 0) {
    if (errno != EINTR) return fail_errno();
  }
  return {};
}

Result<void> Arena::populate(std::uint64_t offset, std::uint64_t bytes) const {
  UZ_DCHECK(offset % kPageBytes == 0 && bytes % kPageBytes == 0 && offset + bytes <= bytes_);
  if (::madvise(base_ + offset, bytes, MADV_POPULATE_WRITE) == 0) return {};
  if (errno != EINVAL) return fail(errno == EFAULT ? ENOMEM : errno);
  // Before Linux 5.14: allocate in the file; the mapping follows on the first touch without
  // allocating data pages.
  const int error =
      ::posix_fallocate(memfd_.get(), static_cast<off_t>(offset), static_cast<off_t>(bytes));
  if (error != 0) return fail(error == ENOSPC ? ENOMEM : error);
  return {};
}

std::uint64_t Arena::next_resident(std::uint64_t offset) const {
  if (offset >= bytes_) return bytes_;
  const off_t found = ::lseek(memfd_.get(), static_cast<off_t>(offset), SEEK_DATA);
  return found < 0 ? bytes_ : static_cast<std::uint64_t>(found);
}

std::uint64_t Arena::resident_bytes() const {
  struct stat status {};
  UZ_CHECK(::fstat(memfd_.get(), &status) == 0);
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

}  // namespace uzram
