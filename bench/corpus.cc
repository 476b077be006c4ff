// SPDX-License-Identifier: Apache-2.0
#include "bench/corpus.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "base/file_descriptor.h"

namespace uzram::bench {
namespace {

constexpr std::size_t kRunPages = 64;

Result<void> read_exactly(int file, std::byte* to, std::size_t bytes, std::size_t offset) {
  while (bytes > 0) {
    const ssize_t got = ::pread(file, to, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got < 0 ? fail_errno() : fail(EIO);
    to += got;
    offset += static_cast<std::size_t>(got);
    bytes -= static_cast<std::size_t>(got);
  }
  return {};
}

}  // namespace

void Corpus::Unmap::operator()(std::byte* data) const { ::munmap(data, bytes); }

bool Corpus::is_same_filled(PageView page) {
  return std::memcmp(page.data(), page.data() + 8, kPageBytes - 8) == 0;
}

Result<Corpus> Corpus::load(const std::string& path, std::size_t most_pages,
                            SameFilled same_filled) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!file.is_open() || ::fstat(file.get(), &status) != 0) return fail_errno();
  const std::size_t file_pages = static_cast<std::size_t>(status.st_size) / kPageBytes;
  const std::size_t wanted =
      most_pages == 0 ? file_pages : std::min<std::size_t>(most_pages, file_pages);
  if (wanted == 0) return fail(ENODATA);
  const std::size_t bytes = file_pages * kPageBytes;
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return fail_errno();
  Corpus corpus;
  corpus.data_ = {static_cast<std::byte*>(mapped), Unmap{bytes}};
  std::size_t owed = 0;  // In pages times file_pages, so that runs are spread without fractions.
  for (std::size_t first = 0; first < file_pages; first += kRunPages) {
    const std::size_t count = std::min(kRunPages, file_pages - first);
    owed += count * wanted;
    if (owed < count * file_pages) continue;
    owed -= count * file_pages;
    std::byte* end = corpus.data_.get() + corpus.page_count_ * kPageBytes;
    const Result<void> read = read_exactly(file.get(), end, count * kPageBytes, first * kPageBytes);
    if (!read) return fail(read.error().code);
    for (std::size_t i = 0; i < count; ++i) {
      const std::byte* page = end + i * kPageBytes;
      const bool is_left_out =
          same_filled == SameFilled::LeaveOut && is_same_filled(PageView(page, kPageBytes));
      if (is_left_out) continue;
      std::byte* to = corpus.data_.get() + corpus.page_count_ * kPageBytes;
      if (to != page) std::memmove(to, page, kPageBytes);
      ++corpus.page_count_;
    }
  }
  if (corpus.page_count_ == 0) return fail(ENODATA);
  return corpus;
}

}  // namespace uzram::bench
