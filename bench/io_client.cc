// SPDX-License-Identifier: Apache-2.0
#include "bench/io_client.h"

#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "bench/measure.h"

namespace uzram::bench {
namespace {

struct FreeBytes {
  void operator()(std::byte* data) const { std::free(data); }
};
using Buffer = std::unique_ptr<std::byte, FreeBytes>;

class Client {
 public:
  Client(const Corpus& corpus, const ClientPlan& plan, AsyncDisk& disk)
      : corpus_(corpus),
        plan_(plan),
        disk_(disk),
        random_(plan.seed),
        block_count_(corpus.bytes().size() / plan.block_bytes),
        slots_(plan.depth) {
    for (Slot& slot : slots_) {
      slot.buffer.reset(static_cast<std::byte*>(std::aligned_alloc(kPageBytes, plan.block_bytes)));
    }
  }

  Result<nlohmann::json> run() {
    if (block_count_ == 0) return fail(EINVAL);
    started_at_ = now_nanoseconds();
    deadline_ = started_at_ + static_cast<std::uint64_t>(plan_.seconds * 1e9);
    unsigned in_flight = 0;
    for (unsigned slot = 0; slot < plan_.depth && !is_over(); ++slot, ++in_flight) {
      if (const Result<void> sent = send(slot); !sent) return fail(sent.error().code);
    }
    std::vector<unsigned> done;
    while (in_flight > 0) {
      done.clear();
      if (const Result<void> waited = disk_.wait(done); !waited) {
        return fail(waited.error().code);
      }
      const std::uint64_t now = now_nanoseconds();
      for (const unsigned slot : done) {
        times_.push_back(now - slots_[slot].sent_at);
        if (plan_.job == ClientJob::Verify && !is_right(slots_[slot])) return fail(EBADMSG);
        --in_flight;
        if (is_over()) continue;
        if (const Result<void> sent = send(slot); !sent) return fail(sent.error().code);
        ++in_flight;
      }
    }
    return report();
  }

 private:
  struct Slot {
    Buffer buffer;
    std::uint64_t block = 0;
    std::uint64_t sent_at = 0;
  };

  // Every block once, in order, without a deadline.
  [[nodiscard]] bool is_one_pass() const {
    return plan_.job == ClientJob::Fill || plan_.job == ClientJob::Verify;
  }

  [[nodiscard]] bool is_over() const {
    return is_one_pass() ? next_block_ >= block_count_ : now_nanoseconds() >= deadline_;
  }

  ConstBytes block_of_corpus(std::uint64_t block) const {
    return corpus_.bytes().subspan(block * plan_.block_bytes, plan_.block_bytes);
  }

  Result<void> send(unsigned index) {
    Slot& slot = slots_[index];
    const bool is_in_order = plan_.is_sequential || is_one_pass();
    slot.block = is_in_order ? next_block_++ % block_count_ : random_.below(block_count_);
    slot.sent_at = now_nanoseconds();
    const std::uint64_t offset = slot.block * plan_.block_bytes;
    switch (plan_.job) {
      case ClientJob::Fill:
        return disk_.write(index, offset, block_of_corpus(slot.block));
      case ClientJob::Write:
        return disk_.write(index, offset, block_of_corpus(random_.below(block_count_)));
      case ClientJob::Read:
      case ClientJob::Verify:
        break;
    }
    return disk_.read(index, offset, MutableBytes(slot.buffer.get(), plan_.block_bytes));
  }

  [[nodiscard]] bool is_right(const Slot& slot) const {
    return std::memcmp(slot.buffer.get(), block_of_corpus(slot.block).data(), plan_.block_bytes) ==
           0;
  }

  [[nodiscard]] nlohmann::json report() const {
    const double seconds = static_cast<double>(now_nanoseconds() - started_at_) / 1e9;
    const auto requests = static_cast<double>(times_.size());
    return {{"requests", times_.size()},
            {"seconds", seconds},
            {"requests_per_second", requests / seconds},
            {"bytes_per_second", requests / seconds * static_cast<double>(plan_.block_bytes)},
            {"p50_nanoseconds", quantile(times_, 0.5)},
            {"p99_nanoseconds", quantile(times_, 0.99)}};
  }

  const Corpus& corpus_;
  const ClientPlan& plan_;
  AsyncDisk& disk_;
  Random random_;
  const std::uint64_t block_count_;
  std::vector<Slot> slots_;
  std::vector<std::uint64_t> times_;
  std::uint64_t next_block_ = 0;
  std::uint64_t started_at_ = 0;
  std::uint64_t deadline_ = 0;
};

}  // namespace

Result<std::unique_ptr<AsyncDisk>> open_disk(const std::string& target, unsigned depth) {
  const bool is_uri = target.find("://") != std::string::npos;
  return is_uri ? open_nbd_disk(target, depth) : open_block_disk(target, depth);
}

Result<nlohmann::json> run_client(const Corpus& corpus, const ClientPlan& plan) {
  auto disk = open_disk(plan.target, plan.depth);
  if (!disk) return fail(disk.error().code);
  return Client(corpus, plan, **disk).run();
}

}  // namespace uzram::bench
