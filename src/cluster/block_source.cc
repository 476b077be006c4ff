// SPDX-License-Identifier: Apache-2.0
#include "cluster/block_source.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/file_descriptor.h"

namespace uzram {
namespace {

class FileBlockSource final : public BlockSource {
 public:
  FileBlockSource(FileDescriptor file, std::uint64_t block_count)
      : file_(std::move(file)), block_count_(block_count) {}

  std::uint64_t block_count() const override { return block_count_; }

  Result<void> read(std::uint64_t first_block, MutableBytes out) const override {
    UZ_CHECK(out.size() % kPageBytes == 0);
    const std::uint64_t wanted = out.size() / kPageBytes;
    if (first_block > block_count_ || wanted > block_count_ - first_block) return fail(EINVAL);
    std::size_t done = 0;
    while (done < out.size()) {
      const auto place = static_cast<off_t>(first_block * kPageBytes + done);
      const ssize_t got = ::pread(file_.get(), &out[done], out.size() - done, place);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno();
      if (got == 0) return fail(EIO);  // It has become shorter.
      done += static_cast<std::size_t>(got);
    }
    return {};
  }

 private:
  const FileDescriptor file_;
  const std::uint64_t block_count_;
};

}  // namespace

Result<std::unique_ptr<BlockSource>> open_block_source(const std::string& path) {
  // Without waiting for whoever writes into a pipe: that is no image.
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) return fail_errno();
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return fail_errno();
  if (S_ISDIR(status.st_mode)) return fail(EISDIR);
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) return fail(ENODEV);
  const off_t bytes = ::lseek(file.get(), 0, SEEK_END);
  if (bytes < 0) return fail_errno();
  return std::make_unique<FileBlockSource>(std::move(file),
                                           static_cast<std::uint64_t>(bytes) / kPageBytes);
}

}  // namespace uzram
