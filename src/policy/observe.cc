// SPDX-License-Identifier: Apache-2.0
#include "policy/observe.h"

#include <algorithm>

namespace uzram {

namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// A rate over less time says little.
constexpr milliseconds kShortestSample{100};
constexpr std::uint32_t kLongestRestSweeps = 16;
// A walk is in vain when fewer pages changed than one in so many that did not.
constexpr std::uint64_t kWorthwhile = 16;
constexpr std::uint64_t kLeastNanoseconds = 500;
constexpr std::uint64_t kMostNanoseconds = 10'000'000;

// Decompressing, compressing and moving one page, before the first measurement.
std::uint32_t guessed_nanoseconds(Stage stage) {
  switch (stage) {
    case Stage::Recompress:
      return 15'000;
    case Stage::SmallCluster:
      return 10'000;
    case Stage::LargeCluster:
      return 12'000;
    case Stage::DeepCluster:
      return 42'000;
    case Stage::WriteBack:
      return 4'000;
    case Stage::Idle:
      break;
  }
  return 0;
}

void observe_requests(const PolicySettings& settings, const PolicySnapshot& snapshot,
                      PolicyState& state) {
  if (!state.last_look) {
    state.last_look = snapshot.now;
    state.seen_requests = snapshot.foreground_requests;
    return;
  }
  const milliseconds passed = snapshot.now - *state.last_look;
  if (passed < kShortestSample) return;
  // A smaller counter was reset.
  const std::uint64_t more = snapshot.foreground_requests < state.seen_requests
                                 ? snapshot.foreground_requests
                                 : snapshot.foreground_requests - state.seen_requests;
  state.requests_per_second = more * 1000 / static_cast<std::uint64_t>(passed.count());
  state.last_look = snapshot.now;
  state.seen_requests = snapshot.foreground_requests;
  if (settings.burst && state.requests_per_second > *settings.burst) {
    state.burst_requests = state.requests_per_second;
    state.backoff_until = snapshot.now + settings.backoff;
  }
}

void learn_cost(const StepResult& result, PolicyState& state) {
  const std::uint64_t pages = result.changed_pages + result.failed_pages;
  if (pages == 0 || result.stage == Stage::Idle) return;
  const auto total = static_cast<std::uint64_t>(nanoseconds(result.cpu).count());
  const std::uint64_t measured = std::clamp(total / pages, kLeastNanoseconds, kMostNanoseconds);
  const std::uint64_t before = nanoseconds_per_page(state, result.stage);
  // A quarter of each new measurement: one odd round changes little.
  state.nanoseconds_per_page[index_of(result.stage)] =
      static_cast<std::uint32_t>((3 * before + measured) / 4);
}

void rest_after(const StepResult& result, int asked_age, PolicyState& state) {
  StageRest& rest = state.rests[index_of(result.stage)];
  rest.changed_pages += result.changed_pages;
  rest.failed_pages += result.failed_pages;
  if (!result.has_seen_all) return;
  const bool was_in_vain = rest.changed_pages * kWorthwhile < rest.failed_pages;
  rest.sweeps = was_in_vain ? std::clamp(2 * rest.sweeps, 2U, kLongestRestSweeps) : 1;
  rest.until_sweep = state.sweep_count + rest.sweeps;
  rest.age = asked_age;
  rest.changed_pages = 0;
  rest.failed_pages = 0;
}

}  // namespace

std::uint32_t nanoseconds_per_page(const PolicyState& state, Stage stage) {
  const std::uint32_t measured = state.nanoseconds_per_page[index_of(stage)];
  return measured != 0 ? measured : guessed_nanoseconds(stage);
}

void observe_snapshot(const PolicyPlan& plan, const PolicySnapshot& snapshot, PolicyState& state) {
  const PolicySettings& settings = plan.settings;
  state.cpu.observe(snapshot.now, snapshot.policy_cpu, settings.cpu_percent, settings.round);
  state.day.observe(snapshot.now, snapshot.written_back_bytes);
  observe_requests(settings, snapshot, state);
  const WritebackPick widest =
      settings.writeback_type == WritebackType::Idle ? WritebackPick::Any : WritebackPick::Huge;
  for (const StepResult& result : snapshot.results) {
    learn_cost(result, state);
    const int asked_age = state.asked_ages[index_of(result.stage)];
    // After the pages that do not compress, the others are still there.
    const bool is_part = result.stage == Stage::WriteBack && result.pick != widest;
    if (asked_age != 0 && !is_part) rest_after(result, asked_age, state);
  }
}

}  // namespace uzram
