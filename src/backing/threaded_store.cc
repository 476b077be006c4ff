// SPDX-License-Identifier: Apache-2.0
#include "backing/threaded_store.h"

#include <fcntl.h>
#include <linux/falloc.h>

#include <new>
#include <system_error>
#include <thread>

#include "backing/request_board.h"

namespace uzram {
namespace {

// What the threads use; a thread that is left behind keeps it.
struct Shared {
  Shared(BackingFile opened, std::size_t request_count)
      : file(std::move(opened.descriptor)),
        keeps_space(opened.is_set_aside),
        board(request_count) {}
  const FileDescriptor file;
  const bool keeps_space;  // Freed blocks stay the file's.
  RequestBoard board;
};

// Returns: 0 or an errno value.
int transfer(int file, const RequestBoard::Job& job) {
  const bool reads = job.kind == BackingRequest::Kind::Read;
  const std::uint64_t offset = job.range.first * kBlockBytes;
  std::size_t done = 0;
  while (done < job.buffer.size()) {
    std::byte* place = job.buffer.data() + done;
    const std::size_t left = job.buffer.size() - done;
    const auto at = static_cast<off_t>(offset + done);
    const ssize_t moved = reads ? ::pread(file, place, left, at) : ::pwrite(file, place, left, at);
    if (moved < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (moved < 0) return errno;
    // Nothing where something was asked for: the file has become shorter.
    if (moved == 0) return EIO;
    done += static_cast<std::size_t>(moved);
  }
  return 0;
}

int discard(const Shared& shared, BlockRange range) {
  if (shared.keeps_space) return 0;
  while (::fallocate(shared.file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     static_cast<off_t>(range.first * kBlockBytes),
                     static_cast<off_t>(range.count * kBlockBytes)) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

void serve(const std::shared_ptr<Shared>& shared, std::size_t index) {
  while (const std::optional<RequestBoard::Job> job = shared->board.wait_for_job(index)) {
    const int error = job->kind == BackingRequest::Kind::Discard
                          ? discard(*shared, job->range)
                          : transfer(shared->file.get(), *job);
    shared->board.complete(index, error, false);
  }
}

class ThreadedStore final : public BackingStore {
 public:
  // Errors: std::bad_alloc, std::system_error.
  ThreadedStore(BackingFile file, const BackingOptions& options)
      : BackingStore(file.block_count, options),
        shared_(std::make_shared<Shared>(std::move(file), requests().size())) {
    try {
      while (threads_.size() < requests().size())
        threads_.emplace_back(serve, shared_, threads_.size());
    } catch (...) {
      end_threads();
      throw;
    }
  }
  ~ThreadedStore() override {
    say_farewell();
    end_threads();
  }

  [[nodiscard]] const char* kind() const override { return "threads"; }
  [[nodiscard]] int descriptor() const override { return shared_->file.get(); }

 private:
  void submit(BackingRequest& request) override { shared_->board.post(request); }
  bool poll(BackingRequest& request, Clock::time_point until) override {
    return shared_->board.wait(request, until);
  }
  void end_threads() {
    shared_->board.end();
    for (std::size_t index = 0; index < threads_.size(); ++index) {
      if (shared_->board.is_idle(index)) {
        threads_[index].join();
      } else {
        threads_[index].detach();
      }
    }
  }

  const std::shared_ptr<Shared> shared_;
  std::vector<std::thread> threads_;  // By request.
};

}  // namespace

Result<std::unique_ptr<BackingStore>> make_threaded_store(BackingFile file,
                                                          const BackingOptions& options) {
  try {
    return std::make_unique<ThreadedStore>(std::move(file), options);
  } catch (const std::bad_alloc&) {
    return fail(ENOMEM);
  } catch (const std::system_error& error) {
    return fail(error.code().value());
  }
}

}  // namespace uzram
