// SPDX-License-Identifier: Apache-2.0
#include "pager/memfd_backend.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/file_descriptor.h"
#include "pager/die.h"

namespace uzram {
namespace {

class MemfdBackend final : public MemoryBackend {
 public:
  MemfdBackend(SpanShape shape, bool has_faults) : MemoryBackend(shape), has_faults_(has_faults) {}
  ~MemfdBackend() override {
    if (span_ != nullptr) ::munmap(span_, shape_.span_pages * kPageBytes);
    if (staging_ != nullptr) ::munmap(staging_, shape_.staging_pages * kPageBytes);
  }
  Result<void> prepare();

  [[nodiscard]] int fault_signal() const override { return has_faults_ ? SIGSEGV : 0; }
  Result<void> open_range(std::uint64_t, std::uint64_t) override { return {}; }
  Result<void> close_range(std::uint64_t, std::uint64_t) override { return {}; }
  Result<std::uint64_t> install(std::uint64_t first, std::uint64_t count, const std::byte* source,
                                PageAccess access) override;
  void allow_write(std::uint64_t page) override {
    if (!protect(page, 1, PROT_READ | PROT_WRITE))
      die("no more mappings (vm.max_map_count) for a pager without userfaultfd");
  }
  bool forbid_write(std::uint64_t page) override { return protect(page, 1, PROT_READ); }
  std::uint64_t take(std::uint64_t first, std::uint64_t count, std::uint64_t present,
                     std::uint64_t staging_first) override;
  void forget(std::uint64_t first, std::uint64_t count) override;
  void forget_staging(std::uint64_t first, std::uint64_t count) override;
  [[nodiscard]] bool is_present(std::uint64_t) const override { return true; }
  bool inherit(bool) override { return false; }

 private:
  bool protect(std::uint64_t first, std::uint64_t count, int protection) {
    return ::mprotect(span_ + first * kPageBytes, count * kPageBytes, protection) == 0;
  }
  bool copy_out(std::uint64_t page, std::uint64_t staging_page);
  void punch(std::uint64_t first, std::uint64_t count) {
    UZ_CHECK(::fallocate(memory_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         static_cast<off_t>(first * kPageBytes),
                         static_cast<off_t>(count * kPageBytes)) == 0);
  }

  // constant after construction
  const bool has_faults_;
  FileDescriptor memory_;
};

Result<void> MemfdBackend::prepare() {
  const std::uint64_t span_bytes = shape_.span_pages * kPageBytes;
  const std::uint64_t staging_bytes = shape_.staging_pages * kPageBytes;
  memory_ = FileDescriptor(::memfd_create("uzram-pager", MFD_CLOEXEC));
  if (!memory_.is_open() || ::ftruncate(memory_.get(), static_cast<off_t>(span_bytes)) != 0)
    return fail_errno();
  void* const span =
      ::mmap(nullptr, span_bytes, PROT_NONE, MAP_SHARED | MAP_NORESERVE, memory_.get(), 0);
  if (span == MAP_FAILED) return fail_errno();
  span_ = static_cast<std::byte*>(span);
  void* const staging = ::mmap(nullptr, staging_bytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (staging == MAP_FAILED) return fail_errno();
  staging_ = static_cast<std::byte*>(staging);
  ::madvise(staging_, staging_bytes, MADV_NOHUGEPAGE);
  ::madvise(staging_, staging_bytes, MADV_DONTFORK);
  if (::madvise(span_, span_bytes, MADV_DONTFORK) != 0) return fail_errno();
  return {};
}

Result<std::uint64_t> MemfdBackend::install(std::uint64_t first, std::uint64_t count,
                                            const std::byte* source, PageAccess access) {
  const std::size_t bytes = count * kPageBytes;
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t written = ::pwrite(memory_.get(), source + done, bytes - done,
                                     static_cast<off_t>(first * kPageBytes + done));
    if (written > 0)
      done += static_cast<std::size_t>(written);
    else if (errno != EINTR)
      break;
  }
  const int protection = access == PageAccess::Write ? PROT_READ | PROT_WRITE : PROT_READ;
  if (done == bytes && protect(first, count, protection)) return count;
  punch(first, count);
  return fail(ENOMEM);
}

bool MemfdBackend::copy_out(std::uint64_t page, std::uint64_t staging_page) {
  std::size_t done = 0;
  while (done < kPageBytes) {
    const ssize_t got = ::pread(memory_.get(), staging_ + staging_page * kPageBytes + done,
                                kPageBytes - done, static_cast<off_t>(page * kPageBytes + done));
    if (got > 0)
      done += static_cast<std::size_t>(got);
    else if (got == 0 || errno != EINTR)
      return false;
  }
  return true;
}

std::uint64_t MemfdBackend::take(std::uint64_t first, std::uint64_t count, std::uint64_t present,
                                 std::uint64_t staging_first) {
  if (!protect(first, count, PROT_NONE)) return 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    if ((present >> i & 1U) != 0 && !copy_out(first + i, staging_first + i))
      die("a page cannot be read from the memory file of a pager");
  }
  punch(first, count);
  return count;
}

void MemfdBackend::forget(std::uint64_t first, std::uint64_t count) {
  if (!protect(first, count, PROT_NONE))
    die("no more mappings (vm.max_map_count) for a pager without userfaultfd");
  punch(first, count);
}

void MemfdBackend::forget_staging(std::uint64_t first, std::uint64_t count) {
  UZ_CHECK(::madvise(staging_ + first * kPageBytes, count * kPageBytes, MADV_DONTNEED) == 0);
}

}  // namespace

Result<std::unique_ptr<MemoryBackend>> make_memfd_backend(SpanShape shape, bool has_faults) {
  auto made = std::make_unique<MemfdBackend>(shape, has_faults);
  if (const Result<void> prepared = made->prepare(); !prepared)
    return tl::unexpected(prepared.error());
  return made;
}

}  // namespace uzram
