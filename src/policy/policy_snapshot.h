// SPDX-License-Identifier: Apache-2.0
// policy/policy_snapshot.h: what a device shows to its policy at one moment.
//
// What:    numbers only. Not here: where they come from (device/), what follows (decide.h).
// Shapes:  counters only ever grow while one PolicyState is used. The census may be as old as the
//          last sweep: pages come of age only in a sweep, so it never shows too few.
// Units:   pages, bytes, or as the name says.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "policy/age_ladder.h"
#include "policy/stage.h"

namespace uzram {

// What a page costs today. Empty and same-filled pages cost nothing and are not counted.
enum class PageForm : std::uint8_t {
  Packed,          // Alone, by the device's own algorithm.
  Recompressed,    // Alone, by an algorithm of higher priority.
  Raw,             // Did not shrink; another algorithm may still do better.
  Incompressible,  // Did not shrink, and recompression has tried.
  SmallCluster,    // Member of a cluster with fewer pages than a large one.
  LargeCluster,    // ... than a deep one.
  DeepCluster,
  WrittenBack,
};
inline constexpr int kPageFormCount = 8;

// Pages by form and age.
struct PageCensus {
  std::array<std::array<std::uint64_t, kPageAges>, kPageFormCount> pages{};
  [[nodiscard]] std::uint64_t& at(PageForm form, int age) {
    return pages[static_cast<std::size_t>(form)][static_cast<std::size_t>(age)];
  }
  // Ages `youngest` to `oldest`, both included.
  [[nodiscard]] std::uint64_t between(PageForm form, int youngest, int oldest) const;
  // All forms, all ages, but for what is on the backing store.
  [[nodiscard]] std::uint64_t in_memory() const;
};

enum class WritebackPick : std::uint8_t {
  Huge,  // Raw and Incompressible.
  Any,
};

// How a step of the last decision went.
struct StepResult {
  Stage stage = Stage::Idle;
  WritebackPick pick = WritebackPick::Any;  // WriteBack: as in the step.
  std::uint64_t changed_pages = 0;
  std::uint64_t failed_pages = 0;  // Looked at, and left as they were: they would not get smaller.
  std::chrono::microseconds cpu{};
  // The walk has come to the end of the device. A step that stops for its budget stops in the
  // middle, and the next one of its kind goes on from there.
  bool has_seen_all = false;
};

enum class BackingState : std::uint8_t {
  Works,
  Stalls,
  Full,
  Failed,
  Limited,  // A person's limit (writeback_limit) is used up.
};

struct PolicySnapshot {
  std::chrono::milliseconds now{};  // Since any fixed moment, on a clock that never goes back.
  PageCensus census;
  std::uint64_t pool_bytes = 0;
  std::uint64_t mem_limit_bytes = 0;      // 0: no limit.
  std::uint64_t foreground_requests = 0;  // Counter.
  std::chrono::milliseconds since_foreground_request{};
  std::chrono::microseconds policy_cpu{};           // Counter: CPU time of the policy thread.
  std::uint64_t written_back_bytes = 0;             // Counter: whoever asked for it.
  std::optional<double> memory_some_avg10_percent;  // PSI; absent where the kernel has none.
  std::optional<double> cpu_some_avg10_percent;
  BackingState backing = BackingState::Works;  // Means nothing without a backing store.
  std::vector<StepResult> results;             // Of the last decision's steps.
};

}  // namespace uzram
