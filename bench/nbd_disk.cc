// SPDX-License-Identifier: Apache-2.0
// NBD servers through libnbd, one connection.
#include <libnbd.h>

#include <memory>

#include "bench/io_client.h"

namespace uzram::bench {
namespace {

class NbdDisk final : public AsyncDisk {
 public:
  NbdDisk(nbd_handle* handle, unsigned depth) : handle_(handle), requests_(depth) {
    for (unsigned slot = 0; slot < depth; ++slot) requests_[slot] = {this, slot};
    done_.reserve(depth);
  }
  ~NbdDisk() override {
    ::nbd_shutdown(handle_, 0);
    ::nbd_close(handle_);
  }
  NbdDisk(const NbdDisk&) = delete;
  NbdDisk& operator=(const NbdDisk&) = delete;

  Result<void> read(unsigned slot, std::uint64_t offset, MutableBytes out) override {
    return started(::nbd_aio_pread(handle_, out.data(), out.size(), offset, when_done(slot), 0));
  }

  Result<void> write(unsigned slot, std::uint64_t offset, ConstBytes data) override {
    return started(::nbd_aio_pwrite(handle_, data.data(), data.size(), offset, when_done(slot), 0));
  }

  Result<void> wait(std::vector<unsigned>& done) override {
    while (done_.empty()) {
      if (::nbd_poll(handle_, -1) == -1) return fail(last_error());
    }
    done.insert(done.end(), done_.begin(), done_.end());
    done_.clear();
    if (error_ != 0) return fail(error_);
    return {};
  }

 private:
  struct Request {
    NbdDisk* disk = nullptr;
    unsigned slot = 0;
  };

  static int last_error() { return ::nbd_get_errno() != 0 ? ::nbd_get_errno() : EIO; }

  static Result<void> started(std::int64_t cookie) {
    if (cookie == -1) return fail(last_error());
    return {};
  }

  nbd_completion_callback when_done(unsigned slot) {
    return {&NbdDisk::complete, &requests_[slot], nullptr};
  }

  static int complete(void* context, int* error) {
    const Request& request = *static_cast<Request*>(context);
    request.disk->done_.push_back(request.slot);
    if (*error != 0) request.disk->error_ = *error;
    return 1;  // The library forgets the command.
  }

  nbd_handle* const handle_;
  std::vector<Request> requests_;
  std::vector<unsigned> done_;
  int error_ = 0;
};

}  // namespace

Result<std::unique_ptr<AsyncDisk>> open_nbd_disk(const std::string& uri, unsigned depth) {
  nbd_handle* handle = ::nbd_create();
  if (handle == nullptr) return fail(ENOMEM);
  if (::nbd_connect_uri(handle, uri.c_str()) == -1) {
    const int code = ::nbd_get_errno();
    ::nbd_close(handle);
    return fail(code != 0 ? code : ECONNREFUSED);
  }
  return std::make_unique<NbdDisk>(handle, depth);
}

}  // namespace uzram::bench
