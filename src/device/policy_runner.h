// SPDX-License-Identifier: Apache-2.0
// device/policy_runner.h: carries out what the policy decides, one look after the other.
//
// What:    a look gathers a snapshot, asks decide(), does the steps through the store's interfaces,
//          and keeps their results for the next decision. Not here: the decisions (policy/), the
//          thread that looks and sleeps (policy_thread.h).
// Shapes:  off at first. The census is that of the last sweep, on which decide() relies. A step
//          that stopped for its budget goes on there the next time, but recompression, which takes
//          the largest pages first and so begins again. The CPU that a step may use is meant for
//          pages; the way past those that it does not want comes on top, and is paid for by later
//          rounds.
// Quiet:   the time since the last request is that since a look which found the counter changed, so
//          it is never too long, and costs requests nothing.
// Errors:  of a step: it is told to explain(), and its stage rests until ages have advanced; the
//          backing store has its own rules (backing_health.h).
// Threads: look by one thread at a time; everything else from any thread. No lock of the runner is
//          held during a step.
// Laws:    none of its own; nothing but the store touches pages.
// Proof:   policy_runner_test.cc, device_policy_thread_test.cc.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "device/backing_health.h"
#include "device/policy_sources.h"
#include "policy/decide.h"
#include "store/page_ages.h"
#include "store/store.h"
#include "store/writeback.h"

namespace uzram {

// The device as its policy sees it, beside the store. From any thread.
class PolicyHost {
 public:
  virtual ~PolicyHost() = default;
  // Requests that somebody waits for; a counter.
  [[nodiscard]] virtual std::uint64_t foreground_requests() const = 0;
  // Blocks that a person lets go to the backing store; absent: no limit.
  [[nodiscard]] virtual std::optional<std::uint64_t> writeback_allowance() const = 0;
  // Writes back within that allowance.
  virtual WritebackOutcome write_back(const WritebackRequest& request, const StopSignal& stop) = 0;
  // A step has changed pages.
  virtual void note_changes() = 0;
};

class PolicyRunner {
 public:
  // Requires: store and host outlive it.
  PolicyRunner(Store& store, PolicyHost& host, PolicySources sources);

  // From the next look on. Ages begin again, budgets go on. A step under the former settings ends
  // soon; this does not wait for it.
  void set(const PolicySettings& settings) UZ_EXCLUDES(mutex_);
  // Decides, and does what was decided. Returns: when to look again; absent: not before set(), the
  // policy is off or at its end.
  std::optional<std::chrono::milliseconds> look() UZ_EXCLUDES(mutex_);
  // What a look would do now, and why, in lines. Changes nothing.
  [[nodiscard]] std::string explain() const UZ_EXCLUDES(mutex_);
  // From now on looks do nothing, and a step that is at work ends soon.
  void end() UZ_EXCLUDES(mutex_);

  [[nodiscard]] const PolicySources& sources() const { return sources_; }

 private:
  // What is asked without the mutex.
  struct Reading {
    std::chrono::milliseconds now{};
    std::optional<double> memory_pressure;
    std::optional<double> cpu_pressure;
    std::uint64_t foreground_requests = 0;
  };
  // What a person should know of a step that failed.
  struct Trouble {
    Stage stage = Stage::Idle;
    int error = 0;
    std::chrono::milliseconds at{};
  };
  // When requests were seen last.
  struct Quiet {
    std::uint64_t requests = 0;
    std::chrono::milliseconds since{};
    std::chrono::milliseconds look(const Reading& reading);
  };

  [[nodiscard]] Reading read() const;
  [[nodiscard]] PolicySnapshot snapshot(const Reading& reading, Quiet& quiet,
                                        BackingHealth& health) const UZ_REQUIRES(mutex_);
  [[nodiscard]] BackingState backing_state(const Reading& reading, BackingHealth& health) const;
  void sweep(const PolicyStep& step) UZ_EXCLUDES(mutex_);
  // Recompression, clusters, writeback.
  StepResult carry_out(const PolicyStep& step) UZ_EXCLUDES(mutex_);
  void recompress_pages(const PolicyStep& step, StepResult& result);
  void cluster_pages(const PolicyStep& step, StepResult& result);
  void write_pages_back(const PolicyStep& step, StepResult& result);
  // For the way past pages that a step does not want, in so many walks over the table.
  [[nodiscard]] std::chrono::microseconds walk_cpu(std::uint64_t walks) const;
  // Says how the way of a step was.
  void note_walk(PageIndex& cursor, PageIndex next, std::uint64_t tried_pages, bool has_seen_all);
  void note_trouble(Stage stage, int error) UZ_EXCLUDES(mutex_);

  // constant after construction
  Store& store_;
  PolicyHost& host_;
  const PolicySources sources_;
  const PolicyAbilities abilities_;

  // synchronizes itself
  StopSignal must_stop_{false};  // Relaxed: steps look at it now and then.

  // belongs to the thread that looks: where steps of a kind go on, by Stage; the last is for
  // writeback of what does not compress.
  std::array<PageIndex, kStageCount + 1> cursors_{};
  std::uint64_t cursor_generation_ = 0;
  std::uint64_t walk_nanoseconds_ = 10;  // For a slot. Doubled when a step got to no page in it.

  // guarded by mutex_
  mutable Mutex mutex_;
  bool is_ended_ UZ_GUARDED_BY(mutex_) = false;
  std::uint64_t generation_ UZ_GUARDED_BY(mutex_) = 0;  // Of the settings.
  PolicyPlan plan_ UZ_GUARDED_BY(mutex_);
  PolicyState state_ UZ_GUARDED_BY(mutex_);
  SlotCensus census_ UZ_GUARDED_BY(mutex_){};
  std::vector<StepResult> results_ UZ_GUARDED_BY(mutex_);       // Not yet told to decide().
  std::chrono::microseconds used_cpu_ UZ_GUARDED_BY(mutex_){};  // Of all looks.
  Quiet quiet_ UZ_GUARDED_BY(mutex_);
  BackingHealth health_ UZ_GUARDED_BY(mutex_);
  std::optional<Trouble> trouble_ UZ_GUARDED_BY(mutex_);
};

}  // namespace uzram
