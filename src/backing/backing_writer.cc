// SPDX-License-Identifier: Apache-2.0
#include "backing/backing_writer.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace uzram {

BackingWriter::BackingWriter(BackingSpace& space, BackingListener& listener,
                             std::size_t most_in_flight) UZ_NO_THREAD_SAFETY_ANALYSIS
    : space_(space),
      listener_(listener),
      most_in_flight_(std::max<std::size_t>(1, most_in_flight)),
      runs_(space.store().options().writer_count),
      flying_(runs_.size()) {
  for (Run& run : runs_) run.objects.reserve(kMostObjects);
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
  UZ_CHECK(!object.empty() && object.size() <= kMaxObjectBytes);
  Run*& open = has_own_block(object.size()) ? whole_run_ : packed_run_;
  const std::size_t bytes = stored_bytes(object.size());
  if (open != nullptr && !has_room(*open, bytes)) write(open);
  if (open == nullptr) {
    const Result<void> opened = open_run(open, bytes_to_pages(bytes));
    if (!opened) return opened;
  }
  put(*open, object, tag);
  return {};
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

void BackingWriter::put(Run& run, ConstBytes object, std::uint64_t tag) {
  const BackingPosition position{run.blocks.first * kStepsPerBlock +
                                 run.used_bytes / kPlaceStepBytes};
  const std::size_t bytes = stored_bytes(object.size());
  const std::uint64_t check = space_.check_of(position, object);
  std::byte* place = run.lease.buffer().data() + run.used_bytes;
  std::memcpy(place, object.data(), object.size());
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
  const std::uint64_t used_blocks = bytes_to_pages(run.used_bytes);
  const MutableBytes bytes = run.lease.buffer().first(used_blocks * kBlockBytes);
  std::memset(bytes.data() + run.used_bytes, 0, bytes.size() - run.used_bytes);
  space_.map_->give_back({run.blocks.first + used_blocks, run.blocks.count - used_blocks});
  run.blocks.count = used_blocks;
  started_blocks_ += used_blocks;
  if (!space_.ciphers_.empty()) {
    BlockCipher& cipher = space_.ciphers_[run.lease.index()];
    for (std::uint64_t i = 0; i < used_blocks; ++i)
      cipher.encrypt(space_.tweak_of(run.blocks.first + i),
                     bytes.subspan(i * kBlockBytes, kBlockBytes));
  }
  while (flying_count_ >= most_in_flight_) finish_oldest();
  run.lease.start(BackingRequest::Kind::Write, run.blocks);
  flying_[(first_flying_ + flying_count_) % flying_.size()] = &run;
  ++flying_count_;
}

void BackingWriter::finish_oldest() {
  Run& run = *flying_[first_flying_];
  first_flying_ = (first_flying_ + 1) % flying_.size();
  --flying_count_;
  finish(run);
}

void BackingWriter::finish(Run& run) {
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
