// SPDX-License-Identifier: Apache-2.0
#include "backing/backing_writer.h"

#include <algorithm>
#include <cstring>
#include <system_error>
#include <thread>

#include "base/check.h"

namespace uzram {

// Takes full runs one by one, in a thread of its own.
class BackingWriter::Encrypter {
 public:
  // Errors: std::system_error, std::bad_alloc.
  explicit Encrypter(BackingWriter& writer)
      : writer_(writer), waiting_(writer.runs_.size()), thread_([this] { work(); }) {}
  ~Encrypter() {
    {
      MutexLock lock(mutex_);
      is_over_ = true;
    }
    given_.notify_one();
    thread_.join();
  }
  Encrypter(const Encrypter&) = delete;
  Encrypter& operator=(const Encrypter&) = delete;

  void give(Run& run) {
    {
      MutexLock lock(mutex_);
      waiting_[(first_waiting_ + waiting_count_) % waiting_.size()] = &run;
      ++waiting_count_;
    }
    given_.notify_one();
  }
  [[nodiscard]] bool is_behind() {
    MutexLock lock(mutex_);
    return waiting_count_ > 1;
  }
  // Returns when the write of the run has been started.
  void wait_for(const Run& run) {
    MutexLock lock(mutex_);
    while (is_at_work_on(run)) started_.wait(mutex_);
  }

 private:
  [[nodiscard]] bool is_at_work_on(const Run& run) const UZ_REQUIRES(mutex_) {
    for (std::size_t i = 0; i < waiting_count_; ++i)
      if (waiting_[(first_waiting_ + i) % waiting_.size()] == &run) return true;
    return false;
  }

  void work() {
    MutexLock lock(mutex_);
    for (;;) {
      while (waiting_count_ == 0 && !is_over_) given_.wait(mutex_);
      if (waiting_count_ == 0) return;
      Run& run = *waiting_[first_waiting_];
      mutex_.unlock();
      writer_.encrypt_and_start(run);
      mutex_.lock();
      first_waiting_ = (first_waiting_ + 1) % waiting_.size();
      --waiting_count_;
      started_.notify_one();
    }
  }

  BackingWriter& writer_;
  Mutex mutex_;
  ConditionVariable given_;
  ConditionVariable started_;
  // A ring. The first one is being encrypted.
  std::vector<Run*> waiting_ UZ_GUARDED_BY(mutex_);
  std::size_t first_waiting_ UZ_GUARDED_BY(mutex_) = 0;
  std::size_t waiting_count_ UZ_GUARDED_BY(mutex_) = 0;
  bool is_over_ UZ_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // Last: it uses everything above.
};

BackingWriter::BackingWriter(BackingSpace& space, BackingListener& listener,
                             std::size_t most_in_flight,
                             EncryptIn encrypt_in) UZ_NO_THREAD_SAFETY_ANALYSIS
    : space_(space),
      listener_(listener),
      most_in_flight_(std::max<std::size_t>(1, most_in_flight)),
      runs_(space.store().options().writer_count),
      flying_(runs_.size()) {
  for (Run& run : runs_) run.objects.reserve(kMostObjects);
  if (encrypt_in == EncryptIn::OwnThread && !space_.ciphers_.empty()) {
    try {
      encrypter_ = std::make_unique<Encrypter>(*this);
    } catch (const std::system_error&) {
      // No thread to be had: the calling one does it.
    }
  }
  space_.writer_mutex_.lock();
}

BackingWriter::~BackingWriter() UZ_NO_THREAD_SAFETY_ANALYSIS {
  flush();
  space_.writer_mutex_.unlock();
}

bool BackingWriter::has_room(const Run& run, std::size_t bytes) {
  return run.used_bytes + bytes <= run.blocks.count * kBlockBytes &&
         run.objects.size() < kMostObjects;
}

Result<void> BackingWriter::append(ConstBytes object, std::uint64_t tag) {
  const Result<MutableBytes> place = reserve(object.size());
  if (!place) return fail(place.error().code);
  std::memcpy(place->data(), object.data(), object.size());
  commit(object.size(), tag);
  return {};
}

Result<MutableBytes> BackingWriter::reserve(std::size_t object_bytes) {
  UZ_CHECK(object_bytes > 0 && object_bytes <= kMaxObjectBytes);
  Run*& open = open_run_for(object_bytes);
  const std::size_t bytes = stored_bytes(object_bytes);
  if (open != nullptr && !has_room(*open, bytes)) write(open);
  if (open == nullptr) {
    const Result<void> opened = open_run(open, bytes_to_pages(bytes));
    if (!opened) return fail(opened.error().code);
  }
  return open->lease.buffer().subspan(open->used_bytes, bytes);
}

std::uint64_t BackingWriter::blocks_with(std::size_t object_bytes) const {
  const auto blocks_of_open = [](const Run* run) {
    return run == nullptr ? 0 : bytes_to_pages(run->used_bytes);
  };
  const std::size_t bytes = stored_bytes(object_bytes);
  const Run* open = has_own_block(object_bytes) ? whole_run_ : packed_run_;
  const std::uint64_t added = open != nullptr && has_room(*open, bytes)
                                  ? bytes_to_pages(open->used_bytes + bytes) - blocks_of_open(open)
                                  : bytes_to_pages(bytes);
  return started_blocks_ + blocks_of_open(packed_run_) + blocks_of_open(whole_run_) + added;
}

void BackingWriter::flush() {
  write(packed_run_);
  write(whole_run_);
  while (flying_count_ > 0) finish_oldest();
}

Result<BackingLease> BackingWriter::take_lease() {
  for (;;) {
    BackingLease lease = space_.try_take_writer();
    if (lease.is_held()) return lease;
    if (flying_count_ > 0) {
      finish_oldest();
    } else if (packed_run_ != nullptr) {
      write(packed_run_);
    } else if (whole_run_ != nullptr) {
      write(whole_run_);
    } else {
      // All of them are away.
      return space_.take_writer();
    }
  }
}

Result<void> BackingWriter::open_run(Run*& open, std::size_t least_blocks) {
  Result<BackingLease> lease = take_lease();
  if (!lease) return fail(lease.error().code);
  std::optional<BlockRange> blocks = space_.map_->take_run(least_blocks, kRunBlocks);
  if (!blocks) {
    // What the other open run does not need may be enough.
    write(packed_run_);
    write(whole_run_);
    blocks = space_.map_->take_run(least_blocks, kRunBlocks);
  }
  if (!blocks) return fail(ENOSPC);
  const auto unused =
      std::find_if(runs_.begin(), runs_.end(), [](const Run& run) { return !run.lease.is_held(); });
  UZ_CHECK(unused != runs_.end());
  // What an earlier write left in the blocks ends here.
  for (std::uint64_t block = blocks->first; block < blocks->end(); ++block)
    space_.records_.raise_generation(block);
  open = &*unused;
  open->lease = std::move(*lease);
  open->blocks = *blocks;
  open->used_bytes = 0;
  open->objects.clear();
  open->live_steps.fill(0);
  return {};
}

void BackingWriter::commit(std::size_t object_bytes, std::uint64_t tag) {
  Run* const open = open_run_for(object_bytes);
  const std::size_t bytes = stored_bytes(object_bytes);
  UZ_CHECK(open != nullptr && has_room(*open, bytes));
  Run& run = *open;
  const BackingPosition position{run.blocks.first * kStepsPerBlock +
                                 run.used_bytes / kPlaceStepBytes};
  std::byte* place = run.lease.buffer().data() + run.used_bytes;
  const ConstBytes object(place, object_bytes);
  const std::uint64_t check = space_.check_of(position, object);
  if (has_own_block(object.size())) {
    space_.records_.set_check(position.value / kStepsPerBlock, static_cast<std::uint32_t>(check));
  } else {
    std::memcpy(place + object.size(), &check, kObjectCheckBytes);
    const std::size_t written_bytes = object.size() + kObjectCheckBytes;
    std::memset(place + written_bytes, 0, bytes - written_bytes);
  }
  const std::size_t end = run.used_bytes + bytes;
  while (run.used_bytes < end) {
    const std::size_t block = run.used_bytes / kBlockBytes;
    const std::size_t here = std::min(end, (block + 1) * kBlockBytes) - run.used_bytes;
    run.live_steps[block] =
        static_cast<std::uint16_t>(run.live_steps[block] + here / kPlaceStepBytes);
    run.used_bytes += here;
  }
  run.objects.push_back({tag, position});
}

void BackingWriter::write(Run*& open) {
  if (open == nullptr) return;
  Run& run = *std::exchange(open, nullptr);
  if (run.objects.empty()) {  // Reserved, and not committed.
    space_.map_->give_back(run.blocks);
    run.lease.end();
    return;
  }
  const std::uint64_t used_blocks = bytes_to_pages(run.used_bytes);
  const MutableBytes bytes = run.lease.buffer().first(used_blocks * kBlockBytes);
  std::memset(bytes.data() + run.used_bytes, 0, bytes.size() - run.used_bytes);
  space_.map_->give_back({run.blocks.first + used_blocks, run.blocks.count - used_blocks});
  run.blocks.count = used_blocks;
  started_blocks_ += used_blocks;
  while (flying_count_ >= most_in_flight_) finish_oldest();
  flying_[(first_flying_ + flying_count_) % flying_.size()] = &run;
  ++flying_count_;
  // This thread helps when the other one is behind.
  if (encrypter_ != nullptr && !encrypter_->is_behind()) {
    encrypter_->give(run);
  } else {
    encrypt_and_start(run);
  }
}

void BackingWriter::encrypt_and_start(Run& run) {
  if (!space_.ciphers_.empty()) {
    BlockCipher& cipher = space_.ciphers_[run.lease.index()];
    for (std::uint64_t i = 0; i < run.blocks.count; ++i)
      cipher.encrypt(space_.tweak_of(run.blocks.first + i),
                     run.lease.buffer().subspan(i * kBlockBytes, kBlockBytes));
  }
  run.lease.start(BackingRequest::Kind::Write, run.blocks);
}

void BackingWriter::finish_oldest() {
  Run& run = *flying_[first_flying_];
  first_flying_ = (first_flying_ + 1) % flying_.size();
  --flying_count_;
  finish(run);
}

void BackingWriter::finish(Run& run) {
  if (encrypter_ != nullptr) encrypter_->wait_for(run);
  const Result<void> done = run.lease.finish();
  if (done) {
    space_.map_->set_live(run.blocks, run.live_steps);
    space_.blocks_written_.fetch_add(run.blocks.count, std::memory_order_relaxed);
  } else {
    space_.give_back_after_failure(run.lease, run.blocks);
  }
  // The next run can be filled while the listener works.
  run.lease.end();
  for (const Object& object : run.objects) {
    listener_.placed(object.tag, done ? Result<BackingPosition>(object.position)
                                      : Result<BackingPosition>(fail(done.error().code)));
  }
}

}  // namespace uzram
