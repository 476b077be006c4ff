// SPDX-License-Identifier: Apache-2.0
// Block devices and files through io_uring, past the page cache.
#include <fcntl.h>
#include <liburing.h>

#include "base/file_descriptor.h"
#include "bench/io_client.h"

namespace uzram::bench {
namespace {

class BlockDisk final : public AsyncDisk {
 public:
  explicit BlockDisk(FileDescriptor file) : file_(std::move(file)) {}
  ~BlockDisk() override {
    if (has_ring_) ::io_uring_queue_exit(&ring_);
  }
  BlockDisk(const BlockDisk&) = delete;
  BlockDisk& operator=(const BlockDisk&) = delete;

  Result<void> make_ring(unsigned depth) {
    const int outcome = ::io_uring_queue_init(depth, &ring_, 0);
    if (outcome < 0) return fail(-outcome);
    has_ring_ = true;
    return {};
  }

  Result<void> read(unsigned slot, std::uint64_t offset, MutableBytes out) override {
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    if (entry == nullptr) return fail(EAGAIN);
    ::io_uring_prep_read(entry, file_.get(), out.data(), static_cast<unsigned>(out.size()), offset);
    return note(entry, slot, out.size());
  }

  Result<void> write(unsigned slot, std::uint64_t offset, ConstBytes data) override {
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    if (entry == nullptr) return fail(EAGAIN);
    ::io_uring_prep_write(entry, file_.get(), data.data(), static_cast<unsigned>(data.size()),
                          offset);
    return note(entry, slot, data.size());
  }

  Result<void> wait(std::vector<unsigned>& done) override {
    const int outcome = ::io_uring_submit_and_wait(&ring_, 1);
    if (outcome < 0 && outcome != -EINTR) return fail(-outcome);
    io_uring_cqe* entry = nullptr;
    unsigned head = 0;
    unsigned seen = 0;
    int error = 0;
    io_uring_for_each_cqe(&ring_, head, entry) {
      const auto slot = static_cast<unsigned>(entry->user_data);
      if (entry->res < 0) error = -entry->res;
      if (entry->res >= 0 && static_cast<std::size_t>(entry->res) != bytes_[slot]) error = EIO;
      done.push_back(slot);
      ++seen;
    }
    ::io_uring_cq_advance(&ring_, seen);
    if (error != 0) return fail(error);
    return {};
  }

 private:
  Result<void> note(io_uring_sqe* entry, unsigned slot, std::size_t bytes) {
    entry->user_data = slot;
    if (bytes_.size() <= slot) bytes_.resize(slot + 1);
    bytes_[slot] = bytes;
    return {};
  }

  FileDescriptor file_;
  io_uring ring_{};
  bool has_ring_ = false;
  std::vector<std::size_t> bytes_;  // Of the request in each slot.
};

}  // namespace

Result<std::unique_ptr<AsyncDisk>> open_block_disk(const std::string& path, unsigned depth) {
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
  if (!file.is_open()) return fail_errno();
  auto disk = std::make_unique<BlockDisk>(std::move(file));
  if (const Result<void> made = disk->make_ring(depth); !made) return fail(made.error().code);
  return disk;
}

}  // namespace uzram::bench
