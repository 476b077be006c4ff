// SPDX-License-Identifier: Apache-2.0
// A toy device of pages that have only a form and an age, driven by the policy for hours of its own
// clock: everything settles in the stage where it belongs, when it should.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <vector>

#include "base/units.h"
#include "policy/eligible.h"
#include "policy/policy_fixture.h"

namespace uzram {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

struct ToyPage {
  PageForm form = PageForm::Packed;
  int age = 0;
  milliseconds touched{};
};

class ToyDevice {
 public:
  ToyDevice(std::size_t page_count, std::string_view line, PolicyAbilities abilities)
      : pages_(page_count) {
    const SettingResult<PolicySettings> settings = parse_policy(line);
    EXPECT_TRUE(settings) << settings.error().text;
    plan_ = make_policy_plan(*settings, abilities);
  }

  // `meanwhile` is called before each look, at the latest every second.
  void run_until(
      milliseconds end, const std::function<void()>& meanwhile = [] {}) {
    while (snapshot_.now < end) {
      meanwhile();
      DecideResult result = decide(plan_, state_, shown());
      state_ = result.state;
      snapshot_.results.clear();
      for (const PolicyStep& step : result.decision.steps) carry_out(step);
      const milliseconds wake = std::min(*result.decision.wake_at, end);
      snapshot_.now = std::min(wake, snapshot_.now + longest_nap);
    }
  }
  void touch(std::size_t page) {
    has_changed_ = true;
    pages_[page].age = 0;
    pages_[page].touched = now();
  }
  void write(std::size_t page) {
    touch(page);
    pages_[page].form = PageForm::Packed;
  }
  std::size_t count(PageForm form) const {
    std::size_t sum = 0;
    for (const ToyPage& page : pages_) sum += page.form == form ? 1 : 0;
    return sum;
  }
  milliseconds now() const { return snapshot_.now; }
  const PolicyPlan& plan() const { return plan_; }

  PolicySnapshot snapshot_;
  std::vector<ToyPage> pages_;
  milliseconds longest_nap = hours(1);
  // How long pages had been untouched when a stage changed them.
  std::map<Stage, milliseconds> earliest;
  std::map<Stage, milliseconds> latest;
  // Of neighbours: nothing gained.
  bool clusters_shrink = true;

 private:
  const PolicySnapshot& shown() {
    if (!has_changed_) return snapshot_;
    has_changed_ = false;
    snapshot_.census = {};
    snapshot_.pool_bytes = 0;
    for (const ToyPage& page : pages_) {
      ++snapshot_.census.at(page.form, page.age);
      snapshot_.pool_bytes += page.form == PageForm::WrittenBack ? 0 : kPageBytes / 3;
    }
    return snapshot_;
  }

  void carry_out(const PolicyStep& step) {
    if (step.stage == Stage::Idle) return sweep(step);
    const std::size_t group =
        step.cluster_pages == 0 ? 1 : static_cast<std::size_t>(step.cluster_pages);
    StepResult result;
    result.stage = step.stage;
    result.pick = step.pick;
    result.has_seen_all = true;
    const nanoseconds cost(step.stage == Stage::DeepCluster ? 50'000 : 13'000);
    // Where the last step of this kind stopped.
    std::size_t& first = cursors_[{step.stage, step.pick}];
    for (; first + group <= pages_.size(); first += group) {
      if (!is_wanted(step, first, group)) continue;
      // As the device does it: it notices that the CPU is used up when it is.
      const std::uint64_t done = result.changed_pages + result.failed_pages;
      if (done + group > step.max_pages || cost * done >= step.max_cpu) {
        result.has_seen_all = false;
        break;
      }
      change(step, first, group, result);
    }
    if (result.has_seen_all) first = 0;
    result.cpu = std::chrono::duration_cast<microseconds>(
        cost * (result.changed_pages + result.failed_pages));
    snapshot_.policy_cpu += result.cpu;
    snapshot_.results.push_back(result);
  }

  void sweep(const PolicyStep& step) {
    has_changed_ = true;
    for (ToyPage& page : pages_) {
      if (step.is_restart) {
        page.age = 0;
      } else if ((step.advancing >> page.age & 1) != 0) {
        ++page.age;
      }
    }
  }

  bool is_wanted(const PolicyStep& step, std::size_t first, std::size_t group) const {
    int youngest = kOldestAge;
    for (std::size_t i = first; i < first + group; ++i) {
      if (!takes(step.stage, step.pick, pages_[i].form)) return false;
      youngest = std::min(youngest, pages_[i].age);
    }
    return youngest >= step.age && youngest < step.below_age;
  }

  void change(const PolicyStep& step, std::size_t first, std::size_t group, StepResult& result) {
    if (step.cluster_pages != 0 && !clusters_shrink) {
      result.failed_pages += group;
      return;
    }
    has_changed_ = true;
    result.changed_pages += group;
    for (std::size_t i = first; i < first + group; ++i) {
      pages_[i].form = form_after(step.stage);
      const milliseconds untouched = now() - pages_[i].touched;
      if (earliest.count(step.stage) == 0) earliest[step.stage] = untouched;
      earliest[step.stage] = std::min(earliest[step.stage], untouched);
      latest[step.stage] = std::max(latest[step.stage], untouched);
      snapshot_.written_back_bytes += step.stage == Stage::WriteBack ? kPageBytes : 0;
    }
  }

  static PageForm form_after(Stage stage) {
    switch (stage) {
      case Stage::SmallCluster:
        return PageForm::SmallCluster;
      case Stage::LargeCluster:
        return PageForm::LargeCluster;
      case Stage::DeepCluster:
        return PageForm::DeepCluster;
      case Stage::WriteBack:
        return PageForm::WrittenBack;
      default:
        return PageForm::Recompressed;
    }
  }

  PolicyPlan plan_;
  PolicyState state_;
  bool has_changed_ = true;
  std::map<std::pair<Stage, WritebackPick>, std::size_t> cursors_;
};

constexpr std::size_t kPages = 64'000;  // 250 MiB.
constexpr PolicyAbilities kEverything{{true, true, true, true}, true, true};
constexpr PolicyAbilities kMemoryOnly{{true, false, false, false}, true, false};
// Time enough for 64,000 pages at 4096 a second.
constexpr minutes kWork{1};

TEST(PolicySimulation, AForgottenDeviceGoesThroughAllStagesInTime) {
  ToyDevice device(kPages, "on", kEverything);
  device.run_until(minutes(9));
  EXPECT_EQ(device.count(PageForm::Packed), kPages);
  const AgeLadder& ladder = device.plan().ladder;
  const auto latest = [&](Stage stage) {
    return ladder.ceiling(device.plan().stage(stage).age) + kWork;
  };
  device.run_until(latest(Stage::Recompress));
  EXPECT_EQ(device.count(PageForm::Recompressed), kPages);
  device.run_until(latest(Stage::SmallCluster));
  EXPECT_EQ(device.count(PageForm::SmallCluster), kPages);
  device.run_until(latest(Stage::LargeCluster));
  EXPECT_EQ(device.count(PageForm::LargeCluster), kPages);
  device.run_until(latest(Stage::WriteBack) + minutes(1));
  EXPECT_EQ(device.count(PageForm::WrittenBack), kPages);
  EXPECT_GE(device.earliest[Stage::Recompress], minutes(10));
  EXPECT_GE(device.earliest[Stage::SmallCluster], minutes(20));
  EXPECT_GE(device.earliest[Stage::LargeCluster], hours(1));
  EXPECT_GE(device.earliest[Stage::WriteBack], hours(8));
}

TEST(PolicySimulation, OneCycleTakesOneDemotionAPageAndStage) {
  ToyDevice device(kPages, "on", kMemoryOnly);
  device.run_until(hours(3));
  EXPECT_EQ(device.count(PageForm::LargeCluster), kPages);
  // 13 µs a page, twice: into small, then into large clusters.
  EXPECT_EQ(device.snapshot_.policy_cpu, microseconds(13 * 2 * kPages));
}

TEST(PolicySimulation, AWorkingSetStaysAsItIs) {
  constexpr std::size_t kWorkingSet = kPages / 16;
  ToyDevice device(4 * kWorkingSet, "on", kEverything);
  device.longest_nap = minutes(4);
  device.run_until(hours(20), [&] {
    for (std::size_t page = 0; page < kWorkingSet; ++page) device.touch(page);
  });
  EXPECT_EQ(device.count(PageForm::Packed), kWorkingSet);
  EXPECT_EQ(device.count(PageForm::WrittenBack), 3 * kWorkingSet);
}

TEST(PolicySimulation, WhatIsWrittenAgainStartsAgain) {
  ToyDevice device(kPages, "on", kMemoryOnly);
  device.run_until(hours(3));
  ASSERT_EQ(device.count(PageForm::LargeCluster), kPages);
  for (std::size_t page = 0; page < 160; ++page) device.write(page);
  device.run_until(hours(3) + minutes(31));
  EXPECT_EQ(device.count(PageForm::SmallCluster), 160U);
  device.run_until(hours(5));
  EXPECT_EQ(device.count(PageForm::LargeCluster), kPages);
}

TEST(PolicySimulation, PressureBringsStagesForward) {
  ToyDevice device(kPages, "on", kEverything);
  device.snapshot_.memory_some_avg10_percent = 30;
  device.run_until(hours(3) + minutes(30));
  EXPECT_EQ(device.count(PageForm::WrittenBack), kPages);
  EXPECT_LT(device.latest[Stage::WriteBack], hours(3) + minutes(30));
}

TEST(PolicySimulation, ADiskIsGivenNoMoreThanItsBytesADay) {
  ToyDevice device(kPages, "on bytes_per_day=32M", kEverything);
  const std::size_t day_pages = (32U << 20) / kPageBytes;
  device.run_until(hours(24) - minutes(1));
  EXPECT_EQ(device.count(PageForm::WrittenBack), day_pages);
  device.run_until(hours(48) - minutes(1));
  EXPECT_EQ(device.count(PageForm::WrittenBack), 2 * day_pages);
}

TEST(PolicySimulation, ABusyDeviceIsLeftAloneUntilTheBurstIsOver) {
  ToyDevice device(kPages, "on", kMemoryOnly);
  device.longest_nap = seconds(1);
  device.run_until(hours(1), [&] { device.snapshot_.foreground_requests += 30'000; });
  EXPECT_EQ(device.count(PageForm::Packed), kPages);
  device.run_until(hours(1) + minutes(1));
  EXPECT_EQ(device.count(PageForm::Packed), 0U);
}

TEST(PolicySimulation, DeepClustersWaitForAQuietNight) {
  ToyDevice device(kPages, "on deep_after=2h", kMemoryOnly);
  device.longest_nap = minutes(1);
  device.run_until(hours(6), [&] { device.snapshot_.since_foreground_request = seconds(1); });
  EXPECT_EQ(device.count(PageForm::LargeCluster), kPages);
  device.run_until(hours(7), [&] { device.snapshot_.since_foreground_request = minutes(5); });
  EXPECT_EQ(device.count(PageForm::DeepCluster), kPages);
}

TEST(PolicySimulation, WhatDoesNotShrinkIsNotTriedForEver) {
  ToyDevice device(kPages, "on recompress_after=off", kMemoryOnly);
  device.clusters_shrink = false;
  device.run_until(hours(24));
  EXPECT_EQ(device.count(PageForm::Packed), kPages);
  // After each sweep two stages could try all pages, at 13 µs each.
  const std::int64_t sweeps = hours(24) / device.plan().ladder.tick;
  const microseconds untiring = microseconds(13) * static_cast<std::int64_t>(kPages) * 2 * sweeps;
  EXPECT_LT(device.snapshot_.policy_cpu, untiring / 10);
}

TEST(PolicySimulation, ASettledDeviceCostsNothingButLooks) {
  ToyDevice device(kPages, "on", kMemoryOnly);
  device.run_until(hours(4));
  const microseconds before = device.snapshot_.policy_cpu;
  device.run_until(hours(40));
  EXPECT_EQ(device.snapshot_.policy_cpu, before);
}

}  // namespace
}  // namespace uzram
