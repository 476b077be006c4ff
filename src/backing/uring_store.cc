// SPDX-License-Identifier: Apache-2.0
#include "backing/uring_store.h"

#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>

#include <array>
#include <new>
#include <thread>

#include "base/check.h"

namespace uzram {
namespace {

constexpr unsigned kRingEntries = 2;  // A request, and liburing's own timeout on old kernels.
constexpr std::chrono::milliseconds kBeforeNextTry{1};

class UringStore final : public BackingStore {
 public:
  UringStore(std::uint64_t block_count, const BackingOptions& options)
      : BackingStore(block_count, options), rings_(requests().size()) {}
  ~UringStore() override;

  // Errors: as io_uring_setup(2); ENOSYS when it lacks what is needed.
  Result<void> make_rings();
  void take_file(BackingFile& file) {
    file_ = std::move(file.descriptor);
    keeps_space_ = file.is_set_aside;
  }

  [[nodiscard]] const char* kind() const override { return "io_uring"; }
  [[nodiscard]] int descriptor() const override { return file_.get(); }

 private:
  // Belongs to whoever holds the request.
  struct Ring {
    io_uring uring{};
    bool is_made = false;
    std::uint64_t done_bytes = 0;  // Of the request; the rest is asked for again.
    bool is_submitted = false;
  };

  void submit(BackingRequest& request) override;
  bool poll(BackingRequest& request, Clock::time_point until) override;
  void push(const BackingRequest& request, Ring& ring);
  static void try_submit(Ring& ring);
  // The kernel's answer. Returns: whether the request is over.
  bool advance(BackingRequest& request, Ring& ring, int answer);

  FileDescriptor file_;
  bool keeps_space_ = false;  // Freed blocks stay the file's.
  std::vector<Ring> rings_;   // By request.
};

UringStore::~UringStore() {
  say_farewell();
  // The kernel finishes or cancels what is away; it keeps the file until then.
  for (Ring& ring : rings_) {
    if (ring.is_made) io_uring_queue_exit(&ring.uring);
  }
}

Result<void> UringStore::make_rings() {
  for (Ring& ring : rings_) {
    const int error = io_uring_queue_init(kRingEntries, &ring.uring, 0);
    if (error != 0) return fail(-error);
    ring.is_made = true;
    // Came with Linux 5.6, as did the operations used here.
    if ((ring.uring.features & IORING_FEAT_RW_CUR_POS) == 0) return fail(ENOSYS);
  }
  return {};
}

void UringStore::submit(BackingRequest& request) {
  Ring& ring = rings_[request.index];
  ring.done_bytes = 0;
  push(request, ring);
}

void UringStore::push(const BackingRequest& request, Ring& ring) {
  io_uring_sqe* entry = io_uring_get_sqe(&ring.uring);
  UZ_CHECK(entry != nullptr);
  const std::uint64_t offset = request.range.first * kBlockBytes + ring.done_bytes;
  std::byte* place = request.buffer.data() + ring.done_bytes;
  switch (request.kind) {
    case BackingRequest::Kind::Read:
      io_uring_prep_read(entry, file_.get(), place,
                         static_cast<unsigned>(request.bytes() - ring.done_bytes), offset);
      break;
    case BackingRequest::Kind::Write:
      io_uring_prep_write(entry, file_.get(), place,
                          static_cast<unsigned>(request.bytes() - ring.done_bytes), offset);
      break;
    case BackingRequest::Kind::Discard:
      if (keeps_space_) {
        io_uring_prep_nop(entry);
        break;
      }
      io_uring_prep_fallocate(entry, file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              static_cast<off_t>(offset), static_cast<off_t>(request.bytes()));
      break;
  }
  ring.is_submitted = false;
  try_submit(ring);
}

// Short of memory the kernel refuses: the entry stays, and poll tries again.
void UringStore::try_submit(Ring& ring) { ring.is_submitted = io_uring_submit(&ring.uring) == 1; }

bool UringStore::advance(BackingRequest& request, Ring& ring, int answer) {
  const bool is_discard = request.kind == BackingRequest::Kind::Discard;
  if (answer == -EINTR || answer == -EAGAIN) {
    push(request, ring);
    return false;
  }
  // Nothing where something was asked for: the file has become shorter.
  request.error = answer < 0 ? -answer : answer == 0 && !is_discard ? EIO : 0;
  if (request.error != 0 || is_discard) return true;
  ring.done_bytes += static_cast<std::uint64_t>(answer);
  UZ_CHECK(ring.done_bytes <= request.bytes());
  if (ring.done_bytes == request.bytes()) return true;
  push(request, ring);
  return false;
}

__kernel_timespec timespec_of(std::chrono::nanoseconds time) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  return {time.count() / kSecond, time.count() % kSecond};
}

bool UringStore::poll(BackingRequest& request, Clock::time_point until) {
  Ring& ring = rings_[request.index];
  for (;;) {
    const auto left = until - Clock::now();
    const bool is_late = left <= Clock::duration::zero();
    if (!ring.is_submitted) {
      try_submit(ring);
      if (!ring.is_submitted) {
        if (is_late) return false;
        std::this_thread::sleep_for(kBeforeNextTry);
        continue;
      }
    }
    io_uring_cqe* answer = nullptr;
    if (is_late) {
      if (io_uring_peek_cqe(&ring.uring, &answer) != 0) return false;
    } else {
      __kernel_timespec time = timespec_of(left);
      // Out of time, or a signal: the head of the loop decides.
      if (io_uring_wait_cqe_timeout(&ring.uring, &answer, &time) != 0) continue;
    }
    const int result = answer->res;
    io_uring_cqe_seen(&ring.uring, answer);
    if (advance(request, ring, result)) return true;
  }
}

}  // namespace

Result<std::unique_ptr<BackingStore>> make_uring_store(BackingFile& file,
                                                       const BackingOptions& options) {
  try {
    auto store = std::make_unique<UringStore>(file.block_count, options);
    const Result<void> made = store->make_rings();
    if (!made) return fail(made.error().code);
    store->take_file(file);
    return store;
  } catch (const std::bad_alloc&) {
    return fail(ENOMEM);
  }
}

}  // namespace uzram
