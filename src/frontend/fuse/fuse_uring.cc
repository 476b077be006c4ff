// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/fuse_uring.h"

#include <fcntl.h>
#include <liburing.h>
#include <sched.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <future>

#include "base/check.h"
#include "frontend/fuse/serving_buffer.h"
#include "frontend/fuse/serving_thread.h"

namespace uzram {
namespace {

constexpr unsigned kMostEntriesOfRing = 8;
constexpr unsigned kMostEntries = 64;
constexpr const char* kParameter = "/sys/module/fuse/parameters/enable_uring";

}  // namespace

// A wrong number would be fatal: the kernel holds every request back until each ring is there.
Result<unsigned> possible_processor_count() {
  const FileDescriptor file(::open("/sys/devices/system/cpu/possible", O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return fail_errno();
  std::array<char, 256> text;
  const ssize_t bytes = ::read(file.get(), text.data(), text.size());
  if (bytes < 0) return fail_errno();
  const std::string ranges(text.data(), static_cast<std::size_t>(bytes));
  const std::size_t last = ranges.find_last_of(",-");
  const std::string number = last == std::string::npos ? ranges : ranges.substr(last + 1);
  const unsigned long highest = std::strtoul(number.c_str(), nullptr, 10);
  return static_cast<unsigned>(highest) + 1;
}

bool is_fuse_uring_enabled() {
  std::ifstream file(kParameter);
  char value = 'N';
  file >> value;
  return value == 'Y' || value == '1';
}

Result<UringSwitch> UringSwitch::turn_on() {
  FileDescriptor parameter(::open(kParameter, O_RDWR | O_CLOEXEC));
  if (!parameter.is_open()) return fail_errno();
  char value = 'N';
  if (::pread(parameter.get(), &value, 1, 0) != 1) return fail_errno();
  if (value == 'Y') return UringSwitch(FileDescriptor());
  if (::pwrite(parameter.get(), "Y", 1, 0) != 1) return fail_errno();
  return UringSwitch(std::move(parameter));
}

UringSwitch::~UringSwitch() {
  if (parameter_.is_open()) static_cast<void>(!::pwrite(parameter_.get(), "N", 1, 0));
}

// One ring, for the requests of one processor. Used by its own thread after construction.
class FuseUring::Queue {
 public:
  static Result<std::unique_ptr<Queue>> make(int descriptor, DiskRequests& requests,
                                             std::uint16_t index, unsigned entry_count);
  // Registers every entry, says through `ready` how that went (an errno value, or 0), and serves.
  void run(std::promise<int>& ready);

 private:
  struct Entry {
    explicit Entry(ServingBuffer pages) : buffer(std::move(pages)) {}
    [[nodiscard]] UringHeaders& headers() const {
      return *reinterpret_cast<UringHeaders*>(buffer.bytes().data());
    }
    [[nodiscard]] MutableBytes data() const { return buffer.bytes().subspan(kPageBytes); }

    const ServingBuffer buffer;  // A page with the headers, then pages for data.
    std::array<iovec, 2> parts{};
  };

  Queue(int descriptor, DiskRequests& requests, std::uint16_t index)
      : descriptor_(descriptor), requests_(requests), index_(index) {}
  int open_ring();
  int register_entries();
  void serve();
  void answer(Entry& entry);
  io_uring_sqe& command(Entry& entry, std::uint32_t operation, std::uint64_t commit_id);

  const int descriptor_;
  DiskRequests& requests_;
  const std::uint16_t index_;
  std::vector<std::unique_ptr<Entry>> entries_;
  unsigned live_count_ = 0;  // Entries that the kernel holds or that are being answered.
  io_uring ring_{};
};

Result<std::unique_ptr<FuseUring::Queue>> FuseUring::Queue::make(int descriptor,
                                                                 DiskRequests& requests,
                                                                 std::uint16_t index,
                                                                 unsigned entry_count) {
  static_assert(sizeof(UringHeaders) <= kPageBytes);
  std::unique_ptr<Queue> queue(new Queue(descriptor, requests, index));
  for (unsigned i = 0; i < entry_count; ++i) {
    auto buffer = ServingBuffer::make(kPageBytes + kMostDataBytes);
    if (!buffer) return tl::unexpected(buffer.error());
    queue->entries_.push_back(std::make_unique<Entry>(std::move(*buffer)));
  }
  return queue;
}

void FuseUring::Queue::run(std::promise<int>& ready) {
  prepare_serving_thread("uzram-uring");
  // The kernel chooses the ring by the processor of the caller. A processor that is not there now
  // has a ring too, whose thread may sleep anywhere.
  cpu_set_t own;
  CPU_ZERO(&own);
  CPU_SET(index_, &own);
  static_cast<void>(::sched_setaffinity(0, sizeof(own), &own));
  int error = open_ring();
  if (error == 0) {
    error = register_entries();
    ready.set_value(error);
    if (error == 0) serve();
    io_uring_queue_exit(&ring_);
  } else {
    ready.set_value(error);
  }
}

int FuseUring::Queue::open_ring() {
  io_uring_params params{};
  params.flags = IORING_SETUP_SQE128 | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  return -io_uring_queue_init_params(static_cast<unsigned>(entries_.size()), &ring_, &params);
}

io_uring_sqe& FuseUring::Queue::command(Entry& entry, std::uint32_t operation,
                                        std::uint64_t commit_id) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  UZ_CHECK(sqe != nullptr);  // There is one for each entry, and an entry has one command at a time.
  std::memset(sqe, 0, 2 * sizeof(*sqe));
  sqe->opcode = IORING_OP_URING_CMD;
  sqe->fd = descriptor_;
  sqe->cmd_op = operation;
  sqe->user_data = reinterpret_cast<std::uintptr_t>(&entry);
  UringCommand arguments{};
  arguments.commit_id = commit_id;
  arguments.queue_index = index_;
  std::memcpy(sqe->cmd, &arguments, sizeof(arguments));
  return *sqe;
}

int FuseUring::Queue::register_entries() {
  for (const auto& entry : entries_) {
    entry->parts[0] = {&entry->headers(), sizeof(UringHeaders)};
    entry->parts[1] = {entry->data().data(), kMostDataBytes};
    io_uring_sqe& sqe = command(*entry, kUringRegister, 0);
    sqe.addr = reinterpret_cast<std::uintptr_t>(entry->parts.data());
    sqe.len = static_cast<std::uint32_t>(entry->parts.size());
  }
  const int sent = io_uring_submit(&ring_);
  if (sent < 0) return -sent;
  live_count_ = static_cast<unsigned>(entries_.size());
  // A registration that is refused completes at once; one that is taken, with its first request.
  io_uring_cqe* completion = nullptr;
  if (io_uring_peek_cqe(&ring_, &completion) == 0 && completion->res < 0) return -completion->res;
  return 0;
}

void FuseUring::Queue::serve() {
  while (live_count_ > 0) {
    const int waited = io_uring_submit_and_wait(&ring_, 1);
    if (waited < 0 && waited != -EINTR && waited != -EAGAIN && waited != -EBUSY) return;
    unsigned head = 0;
    unsigned seen_count = 0;
    io_uring_cqe* completion = nullptr;
    io_uring_for_each_cqe(&ring_, head, completion) {
      ++seen_count;
      // The kernel hands back the pointer that it was given, as a number.
      // NOLINTNEXTLINE(performance-no-int-to-ptr)
      Entry& entry = *reinterpret_cast<Entry*>(static_cast<std::uintptr_t>(completion->user_data));
      if (completion->res < 0) {
        --live_count_;  // The connection has ended.
      } else {
        answer(entry);
      }
    }
    io_uring_cq_advance(&ring_, seen_count);
  }
}

void FuseUring::Queue::answer(Entry& entry) {
  UringHeaders& headers = entry.headers();
  DiskRequests::Request request{};
  std::memcpy(&request.header, headers.in_out, sizeof(request.header));
  const std::uint64_t commit_id = headers.entry.commit_id;
  request.op = headers.op;
  request.payload =
      entry.data().first(std::min<std::size_t>(headers.entry.payload_bytes, kMostDataBytes));
  const DiskRequests::Reply reply = requests_.handle(request, entry.data());
  fuse_out_header out{};
  out.len = static_cast<std::uint32_t>(sizeof(out) + reply.bytes);
  out.error = -reply.error;
  out.unique = request.header.unique;
  std::memcpy(headers.in_out, &out, sizeof(out));
  headers.entry.payload_bytes = static_cast<std::uint32_t>(reply.bytes);
  command(entry, kUringCommitAndFetch, commit_id);
}

FuseUring::FuseUring() = default;

FuseUring::~FuseUring() {
  for (std::thread& thread : threads_) thread.join();
}

Result<std::unique_ptr<FuseUring>> FuseUring::make(int descriptor, DiskRequests& requests) {
  const Result<unsigned> ring_count = possible_processor_count();
  if (!ring_count) return tl::unexpected(ring_count.error());
  const unsigned entry_count = std::clamp(kMostEntries / *ring_count, 1U, kMostEntriesOfRing);
  std::unique_ptr<FuseUring> uring(new FuseUring());
  for (unsigned i = 0; i < *ring_count; ++i) {
    auto queue = Queue::make(descriptor, requests, static_cast<std::uint16_t>(i), entry_count);
    if (!queue) return tl::unexpected(queue.error());
    uring->queues_.push_back(std::move(*queue));
  }
  return uring;
}

Result<void> FuseUring::start() {
  std::vector<std::future<int>> outcomes;
  for (const auto& queue : queues_) {
    std::promise<int> ready;
    outcomes.push_back(ready.get_future());
    threads_.emplace_back(
        [&serving = *queue, promise = std::move(ready)]() mutable { serving.run(promise); });
  }
  int error = 0;
  for (std::future<int>& outcome : outcomes) {
    const int code = outcome.get();
    if (error == 0) error = code;
  }
  if (error != 0) return fail(error);
  return {};
}

}  // namespace uzram
