// SPDX-License-Identifier: Apache-2.0
// What a device does with pages after they were written.
#include <algorithm>

#include "device/device_running.h"

namespace uzram {

Result<void> Device::mark_idle(std::optional<std::chrono::seconds> age) {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  if (age) return mark_idle_for(*running_->store, *age);
  mark_all_idle(*running_->store);
  return {};
}

Result<BackgroundOutcome> Device::recompress(const RecompressRequest& request) {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  const Result<BackgroundOutcome> outcome =
      uzram::recompress(*running_->store, request, is_stopping_);
  running_->maintenance.settle();
  return outcome;
}

Result<BackgroundOutcome> Device::make_clusters(const ClusterRequest& request) {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  const Result<BackgroundOutcome> outcome =
      uzram::make_clusters(*running_->store, request, is_stopping_);
  running_->maintenance.settle();
  return outcome;
}

Result<WritebackOutcome> Device::write_back(const WritebackRequest& request) {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  Store& store = *running_->store;
  if (store.backing() == nullptr) return fail(ENODEV);
  for (const PageRange& range : request.ranges) {
    if (range.first.value > range.last.value || range.last.value >= store.size_pages())
      return fail(ERANGE);
  }
  const WritebackOutcome outcome = write_back_within_limit(request, is_stopping_);
  running_->maintenance.settle();
  if (outcome.error != 0) return fail(outcome.error);
  if (outcome.is_limit_reached) return fail(EIO);
  return outcome;
}

WritebackOutcome Device::write_back_within_limit(const WritebackRequest& request,
                                                 const StopSignal& stop) {
  // One at a time also here, or two callers could spend the same limit.
  MutexLock lock(writeback_mutex_);
  WritebackRequest limited = request;
  limited.most_in_flight = writeback_batch_size();
  {
    MutexLock settings_lock(settings_mutex_);
    limited.keep_packed = settings_.has_compressed_writeback;
  }
  const bool is_limited = is_writeback_limit_enabled();
  const std::uint64_t limit = writeback_limit();
  // The caller's own may be lower, and its end is nobody's error.
  const bool is_ours = is_limited && limit <= request.most_blocks.value_or(limit);
  WritebackOutcome outcome;
  if (is_limited) {
    limited.most_blocks = std::min(limited.most_blocks.value_or(limit), limit);
    outcome.is_limit_reached = true;
    if (limit == 0) return outcome;
  }
  outcome = uzram::write_back(*running_->store, limited, stop);
  running_->maintenance.poke();
  if (is_limited) {
    // Somebody may have set another limit meanwhile: what was written counts against that.
    std::uint64_t now = writeback_limit();
    while (!writeback_limit_.compare_exchange_weak(now, now - std::min(now, outcome.written_blocks),
                                                   std::memory_order_relaxed)) {
    }
  }
  outcome.is_limit_reached = outcome.is_limit_reached && is_ours;
  return outcome;
}

Result<SlotCensus> Device::sweep_ages(const AgeSweep& sweep) {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  return uzram::sweep_ages(*running_->store, sweep);
}

Result<std::vector<PageState>> Device::page_states(PageIndex first, std::size_t most) const {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  const Store& store = *running_->store;
  std::vector<PageState> states;
  const std::uint64_t end = store.config().disk_pages;
  for (std::uint64_t page = first.value; page < end && states.size() < most; ++page) {
    page = store.next_touched({page}).value;
    if (page == end) break;
    if (const std::optional<PageState> state = state_of(store, {page})) states.push_back(*state);
  }
  return states;
}

Result<std::unique_ptr<ClassUses>> Device::class_uses() const {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  return running_->store->pool().class_uses();
}

}  // namespace uzram
