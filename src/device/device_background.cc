// SPDX-License-Identifier: Apache-2.0
// What a device does with pages after they were written.
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
  running_->maintenance.poke();
  return outcome;
}

Result<BackgroundOutcome> Device::make_clusters(const ClusterRequest& request) {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  const Result<BackgroundOutcome> outcome =
      uzram::make_clusters(*running_->store, request, is_stopping_);
  running_->maintenance.poke();
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

}  // namespace uzram
