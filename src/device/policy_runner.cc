// SPDX-License-Identifier: Apache-2.0
#include "device/policy_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "device/policy_requests.h"
#include "policy/explain.h"

namespace uzram {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

PolicyAbilities abilities_of(const Store& store) {
  PolicyAbilities abilities;
  for (int priority = 0; priority < kAlgorithmCount; ++priority)
    abilities.has_priority[static_cast<std::size_t>(priority)] =
        store.codec_at(priority) != nullptr;
  abilities.has_backing = store.backing() != nullptr;
  return abilities;
}

// Recompression marks what even the last algorithm does not make smaller, and passes it over from
// then on.
bool marks_failures(const PolicyAbilities& abilities, int priority) {
  for (int higher = priority + 1; higher < kAlgorithmCount; ++higher)
    if (abilities.has_priority[static_cast<std::size_t>(higher)]) return false;
  return true;
}

// Recompression looks at all sizes, then goes through the table for each group of them.
constexpr std::uint64_t kRecompressionWalks = 9;
// The others count the members of clusters first.
constexpr std::uint64_t kOtherWalks = 2;
constexpr std::uint64_t kMostWalkNanoseconds = 1000;

void count(const BackgroundOutcome& outcome, StepResult& result) {
  result.changed_pages = outcome.changed_pages;
  result.failed_pages = outcome.tried_pages - outcome.changed_pages;
  result.has_seen_all = outcome.has_seen_all;
}

}  // namespace

PolicyRunner::PolicyRunner(Store& store, PolicyHost& host, PolicySources sources)
    : store_(store),
      host_(host),
      sources_(std::move(sources)),
      abilities_(abilities_of(store)),
      plan_(make_policy_plan({}, abilities_)) {
  quiet_ = {host.foreground_requests(), sources_.now()};
}

void PolicyRunner::set(const PolicySettings& settings) {
  PolicyPlan plan = make_policy_plan(settings, abilities_);
  MutexLock lock(mutex_);
  plan_ = std::move(plan);
  state_ = restarted(state_);
  results_.clear();
  trouble_.reset();
  ++generation_;
  must_stop_.store(true, std::memory_order_relaxed);
}

void PolicyRunner::end() {
  MutexLock lock(mutex_);
  is_ended_ = true;
  must_stop_.store(true, std::memory_order_relaxed);
}

// --- what there is

milliseconds PolicyRunner::Quiet::look(const Reading& reading) {
  if (requests != reading.foreground_requests) since = reading.now;
  requests = reading.foreground_requests;
  return reading.now - since;
}

PolicyRunner::Reading PolicyRunner::read() const {
  return {sources_.now(), sources_.memory_pressure(), sources_.cpu_pressure(),
          host_.foreground_requests()};
}

BackingState PolicyRunner::backing_state(const Reading& reading, BackingHealth& health) const {
  if (store_.backing() == nullptr) return BackingState::Works;
  const BackingState state = health.look(*store_.backing(), reading.now);
  if (state == BackingState::Works && host_.writeback_allowance() == std::uint64_t{0})
    return BackingState::Limited;
  return state;
}

PolicySnapshot PolicyRunner::snapshot(const Reading& reading, Quiet& quiet,
                                      BackingHealth& health) const {
  PolicySnapshot snapshot;
  snapshot.now = reading.now;
  snapshot.census = page_census(census_, plan_.settings);
  snapshot.pool_bytes = store_.pool().resident_pages() * kPageBytes;
  snapshot.mem_limit_bytes = store_.pool().limit_pages() * kPageBytes;
  snapshot.foreground_requests = reading.foreground_requests;
  snapshot.since_foreground_request = quiet.look(reading);
  snapshot.policy_cpu = used_cpu_;
  if (store_.backing() != nullptr)
    snapshot.written_back_bytes = store_.backing()->counters().blocks_written * kBlockBytes;
  snapshot.memory_some_avg10_percent = reading.memory_pressure;
  snapshot.cpu_some_avg10_percent = reading.cpu_pressure;
  snapshot.backing = backing_state(reading, health);
  snapshot.results = results_;
  return snapshot;
}

// --- a look

std::optional<milliseconds> PolicyRunner::look() {
  const microseconds cpu_before = sources_.thread_cpu();
  const Reading reading = read();
  Decision decision;
  std::uint64_t generation = 0;
  {
    MutexLock lock(mutex_);
    if (is_ended_) return std::nullopt;
    must_stop_.store(false, std::memory_order_relaxed);
    generation = generation_;
    DecideResult result = decide(plan_, state_, snapshot(reading, quiet_, health_));
    results_.clear();
    state_ = result.state;
    decision = std::move(result.decision);
  }
  if (cursor_generation_ != generation) cursors_ = {};
  cursor_generation_ = generation;

  std::vector<StepResult> results;
  for (const PolicyStep& step : decision.steps) {
    if (must_stop_.load(std::memory_order_relaxed)) break;
    if (step.stage == Stage::Idle) {
      sweep(step);
    } else {
      results.push_back(carry_out(step));
    }
  }
  const microseconds used = sources_.thread_cpu() - cpu_before;
  MutexLock lock(mutex_);
  used_cpu_ += used;
  if (generation == generation_) results_ = std::move(results);
  return decision.wake_at;
}

void PolicyRunner::sweep(const PolicyStep& step) {
  const SlotCensus census = sweep_ages(store_, age_sweep(step));
  MutexLock lock(mutex_);
  census_ = census;
}

StepResult PolicyRunner::carry_out(const PolicyStep& step) {
  StepResult result;
  result.stage = step.stage;
  result.pick = step.pick;
  const microseconds before = sources_.thread_cpu();
  if (step.stage == Stage::Recompress) {
    recompress_pages(step, result);
  } else if (step.stage == Stage::WriteBack) {
    write_pages_back(step, result);
  } else {
    cluster_pages(step, result);
  }
  result.cpu = sources_.thread_cpu() - before;
  if (result.changed_pages != 0) host_.note_changes();
  return result;
}

void PolicyRunner::recompress_pages(const PolicyStep& step, StepResult& result) {
  RecompressRequest request = recompress_request(step);
  *request.most_cpu += walk_cpu(kRecompressionWalks);
  const Result<BackgroundOutcome> outcome = recompress(store_, request, must_stop_);
  if (!outcome) {
    result.has_seen_all = true;
    return note_trouble(step.stage, outcome.error().code);
  }
  PageIndex no_cursor;
  note_walk(no_cursor, {}, outcome->tried_pages, outcome->has_seen_all);
  count(*outcome, result);
  // The next walk would begin with the same pages.
  if (result.changed_pages == 0 && !marks_failures(abilities_, step.priority))
    result.has_seen_all = true;
}

void PolicyRunner::cluster_pages(const PolicyStep& step, StepResult& result) {
  PageIndex& cursor = cursors_[index_of(step.stage)];
  ClusterRequest request = cluster_request(step, cursor);
  *request.most_cpu += walk_cpu(kOtherWalks);
  const Result<BackgroundOutcome> outcome = make_clusters(store_, request, must_stop_);
  if (!outcome) {
    cursor = {};
    result.has_seen_all = true;
    return note_trouble(step.stage, outcome.error().code);
  }
  note_walk(cursor, outcome->next, outcome->tried_pages, outcome->has_seen_all);
  count(*outcome, result);
}

void PolicyRunner::write_pages_back(const PolicyStep& step, StepResult& result) {
  PageIndex& cursor =
      cursors_[step.pick == WritebackPick::Huge ? kStageCount : index_of(step.stage)];
  WritebackRequest request = writeback_request(step, cursor);
  *request.most_cpu += walk_cpu(kOtherWalks);
  const WritebackOutcome outcome = host_.write_back(request, must_stop_);
  note_walk(cursor, outcome.next, outcome.tried_pages, outcome.has_seen_all);
  result.changed_pages = outcome.written_pages;
  result.has_seen_all = outcome.has_seen_all;
  const bool was_stopped = must_stop_.load(std::memory_order_relaxed);
  if (outcome.error != 0 && !was_stopped) return note_trouble(step.stage, outcome.error);
  // Not what failed, but what somebody has used meanwhile.
  result.failed_pages = outcome.tried_pages - std::min(outcome.tried_pages, outcome.written_pages);
  if (was_stopped) return;
  MutexLock lock(mutex_);
  health_.note(*store_.backing(), 0, sources_.now());
}

microseconds PolicyRunner::walk_cpu(std::uint64_t walks) const {
  const std::uint64_t slots = store_.table_bytes() / sizeof(SlotWord);
  return microseconds(slots * walks * walk_nanoseconds_ / 1000);
}

void PolicyRunner::note_walk(PageIndex& cursor, PageIndex next, std::uint64_t tried_pages,
                             bool has_seen_all) {
  cursor = next;
  const bool was_stopped = must_stop_.load(std::memory_order_relaxed);
  if (tried_pages == 0 && !has_seen_all && !was_stopped)
    walk_nanoseconds_ = std::min(2 * walk_nanoseconds_, kMostWalkNanoseconds);
}

void PolicyRunner::note_trouble(Stage stage, int error) {
  const milliseconds now = sources_.now();
  MutexLock lock(mutex_);
  trouble_ = {stage, error, now};
  if (stage == Stage::WriteBack) health_.note(*store_.backing(), error, now);
}

// --- words

std::string PolicyRunner::explain() const {
  const Reading reading = read();
  MutexLock lock(mutex_);
  // Of copies: only a look may change them.
  Quiet quiet = quiet_;
  BackingHealth health = health_;
  const PolicySnapshot seen = snapshot(reading, quiet, health);
  const DecideResult result = decide(plan_, state_, seen);
  std::string text = uzram::explain(plan_, seen, result.decision);
  if (trouble_) {
    text += fmt::format("last trouble: {}, {} ago: {}\n", stage_name(trouble_->stage),
                        time_text(reading.now - trouble_->at),
                        std::generic_category().message(trouble_->error));
  }
  return text;
}

}  // namespace uzram
