// SPDX-License-Identifier: Apache-2.0
// Random settings, devices and days, from a printed seed: whatever happens, the laws of decide.h
// and budgets.h hold.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "base/units.h"
#include "policy/decide.h"
#include "policy/eligible.h"
#include "policy/observe.h"
#include "policy/test_seed.h"

namespace uzram {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::uint64_t kWidestCluster = 32;

bool is_packing(Stage stage) { return stage != Stage::Idle && stage != Stage::WriteBack; }

std::uint64_t packing_pages(const Decision& decision) {
  std::uint64_t pages = 0;
  for (const PolicyStep& step : decision.steps)
    pages += is_packing(step.stage) ? step.max_pages : 0;
  return pages;
}

std::uint64_t writeback_pages(const Decision& decision) {
  std::uint64_t pages = 0;
  for (const PolicyStep& step : decision.steps) {
    pages += step.stage == Stage::WriteBack ? step.max_pages : 0;
  }
  return pages;
}

microseconds granted_cpu(const Decision& decision) {
  microseconds cpu{};
  for (const PolicyStep& step : decision.steps) cpu += step.max_cpu;
  return cpu;
}

// A device that obeys its steps, more or less eagerly, in a world that does what it wants.
class Device {
 public:
  explicit Device(std::uint64_t seed) : random_(seed) {
    for (std::size_t i = 1; i < abilities_.has_priority.size(); ++i) {
      abilities_.has_priority[i] = coin();
    }
    abilities_.has_clusters = random_.below(4) != 0;
    abilities_.has_backing = random_.below(3) != 0;
    has_psi_ = random_.below(4) != 0;
    snapshot_.now = milliseconds(random_.below(1'000'000'000));
    snapshot_.policy_cpu = microseconds(random_.below(1'000'000'000));
    snapshot_.written_back_bytes = random_.next() >> 20;
    snapshot_.mem_limit_bytes = coin() ? 0 : 1 + random_.below(1U << 30);
  }

  PolicySettings random_settings() {
    PolicySettings s;
    s.is_on = random_.below(10) != 0;
    s.idle_after = seconds(1 + random_.below(3600));
    const auto later = [&](std::optional<seconds> than) -> std::optional<seconds> {
      if (random_.below(5) == 0) return std::nullopt;
      return than.value_or(s.idle_after) + seconds(random_.below(coin() ? 2 : 7200));
    };
    s.recompress_after = later(s.idle_after);
    s.recompress_priority = static_cast<int>(1 + random_.below(3));
    s.small.after = later(s.idle_after);
    s.large.after = later(s.small.after);
    s.deep.after = later(s.large.after ? s.large.after : s.small.after);
    s.writeback_after = later(s.idle_after);
    s.writeback_type = coin() ? WritebackType::Idle : WritebackType::HugeIdle;
    s.writeback_pages = 32 + random_.below(5000);
    s.bytes_per_day.reset();
    if (coin()) s.bytes_per_day = kPageBytes + random_.below(64U << 20);
    s.round = seconds(1 + random_.below(coin() ? 3 : 60));
    s.max_pages = 32 + random_.below(10'000);
    s.cpu_percent = static_cast<int>(1 + random_.below(100));
    s.burst.reset();
    if (coin()) s.burst = 1 + random_.below(10'000);
    s.backoff = seconds(random_.below(60));
    s.quiet = seconds(random_.below(60));
    if (coin()) s.psi_percent.reset();
    if (coin()) s.limit_percent.reset();
    // It can be written down and read back, so a person could have asked for it.
    const SettingResult<PolicySettings> again = parse_policy(policy_text(s));
    EXPECT_TRUE(again) << again.error().text;
    return s;
  }

  // Time passes and the world changes.
  void live(const std::optional<milliseconds>& wake_at) {
    const milliseconds passed =
        wake_at && random_.below(4) != 0
            ? *wake_at - snapshot_.now
            : milliseconds(random_.below(random_.below(20) == 0 ? 80'000'000 : 3000));
    snapshot_.now += passed;
    for (auto& ages : snapshot_.census.pages) {
      for (std::uint64_t& pages : ages) {
        if (random_.below(6) == 0)
          pages = random_.below(3) == 0 ? 0 : random_.next() >> random_.below(64) & 0xfffff;
      }
    }
    snapshot_.pool_bytes = random_.below(snapshot_.mem_limit_bytes + 1);
    snapshot_.foreground_requests += random_.below(4) == 0 ? random_.below(1'000'000) : 0;
    snapshot_.since_foreground_request = milliseconds(random_.below(120'000));
    snapshot_.cpu_some_avg10_percent.reset();
    if (coin()) snapshot_.cpu_some_avg10_percent = static_cast<double>(random_.below(30)) / 10;
    snapshot_.memory_some_avg10_percent.reset();
    if (has_psi_) snapshot_.memory_some_avg10_percent = static_cast<double>(random_.below(40)) / 2;
    snapshot_.backing = static_cast<BackingState>(random_.below(10) < 7 ? 0 : random_.below(5));
  }

  void obey(const Decision& decision) {
    snapshot_.results.clear();
    for (const PolicyStep& step : decision.steps) {
      const std::uint64_t pages = up_to(step.max_pages);
      const std::uint64_t changed = up_to(pages);
      const microseconds cpu(up_to(static_cast<std::uint64_t>(step.max_cpu.count())));
      snapshot_.policy_cpu += cpu;
      snapshot_.written_back_bytes += up_to(step.max_bytes);
      snapshot_.results.push_back({step.stage, step.pick, changed, pages - changed, cpu, coin()});
    }
  }

  bool coin() { return random_.below(2) == 0; }
  Random& random() { return random_; }

  PolicyAbilities abilities_;
  PolicySnapshot snapshot_;

 private:
  // Often all of it.
  std::uint64_t up_to(std::uint64_t most) { return coin() ? most : random_.below(most + 1); }

  Random random_;
  bool has_psi_ = false;
};

class DecideProperty : public testing::Test {
 protected:
  DecideProperty() : seed_(first_seed()) {}

  // Runs many days, calling check(plan, state before, snapshot, result) after each decision.
  template <typename Check>
  void run(int runs, int steps, Check check) {
    for (int each = 0; each < runs; ++each) {
      const std::uint64_t seed = seed_ + static_cast<std::uint64_t>(each);
      SCOPED_TRACE(fmt::format("seed {}", seed));
      Device device(seed);
      const PolicyPlan plan = make_policy_plan(device.random_settings(), device.abilities_);
      SCOPED_TRACE(policy_text(plan.settings));
      PolicyState state;
      std::optional<milliseconds> wake_at;
      for (int step = 0; step < steps; ++step) {
        device.live(wake_at);
        const DecideResult result = decide(plan, state, device.snapshot_);
        check(plan, state, device.snapshot_, result);
        if (HasFatalFailure() || HasNonfatalFailure()) return;
        device.obey(result.decision);
        state = result.state;
        wake_at = result.decision.wake_at;
      }
    }
  }

  std::uint64_t seed_;
};

TEST_F(DecideProperty, EveryStepHasAReasonAPlaceAndSomethingToDo) {
  run(60, 200,
      [](const PolicyPlan& plan, const PolicyState&, const PolicySnapshot& snapshot,
         const DecideResult& result) {
        const PolicyStep* before = nullptr;
        for (const PolicyStep& step : result.decision.steps) {
          ASSERT_FALSE(step.reason.empty());
          ASSERT_EQ(step.reason.find('\n'), std::string::npos);
          ASSERT_TRUE(result.decision.note(step.stage).runs);
          if (before != nullptr) {
            const bool is_second_writeback = step.stage == Stage::WriteBack &&
                                             before->stage == Stage::WriteBack &&
                                             before->pick == WritebackPick::Huge;
            ASSERT_TRUE(before->stage < step.stage || is_second_writeback);
          }
          before = &step;
          if (step.stage == Stage::Idle) continue;
          ASSERT_TRUE(plan.stage(step.stage).after.has_value());
          ASSERT_GE(step.age, 1);
          ASSERT_GT(step.below_age, step.age);
          ASSERT_GT(step.max_pages, 0U);
          ASSERT_LE(step.max_pages, eligible_pages(snapshot.census, step.stage, step.pick, step.age,
                                                   step.below_age));
        }
        for (const StageNote& note : result.decision.notes) ASSERT_FALSE(note.text.empty());
        ASSERT_FALSE(result.decision.reason.empty());
      });
}

TEST_F(DecideProperty, NothingImpossibleIsAsked) {
  run(60, 200,
      [](const PolicyPlan& plan, const PolicyState&, const PolicySnapshot& snapshot,
         const DecideResult& result) {
        for (const PolicyStep& step : result.decision.steps) {
          ASSERT_TRUE(plan.settings.is_on);
          if (step.stage == Stage::Recompress) {
            ASSERT_TRUE(plan.abilities.has_priority[static_cast<std::size_t>(step.priority)]);
            ASSERT_GE(step.priority, 1);
          } else if (step.stage == Stage::WriteBack) {
            ASSERT_TRUE(plan.abilities.has_backing);
            ASSERT_EQ(snapshot.backing, BackingState::Works);
            ASSERT_TRUE(plan.settings.writeback_type == WritebackType::Idle ||
                        step.pick == WritebackPick::Huge);
          } else if (step.stage != Stage::Idle) {
            ASSERT_TRUE(plan.abilities.has_clusters);
            ASSERT_GE(step.cluster_pages, 2);
          }
          if (step.stage == Stage::DeepCluster) {
            ASSERT_GE(snapshot.since_foreground_request, plan.settings.quiet);
          }
        }
      });
}

TEST_F(DecideProperty, PagesAreAsOldAsWasAskedUnlessThereIsPressure) {
  run(60, 200,
      [](const PolicyPlan& plan, const PolicyState&, const PolicySnapshot&,
         const DecideResult& result) {
        if (result.decision.pressure != PressureLevel::None) return;
        for (const PolicyStep& step : result.decision.steps) {
          if (step.is_restart) continue;
          ASSERT_GE(plan.ladder.floor(step.age), *plan.stage(step.stage).after);
        }
      });
}

TEST_F(DecideProperty, NoPageIsPackedTwiceInOneRound) {
  run(60, 200,
      [](const PolicyPlan&, const PolicyState&, const PolicySnapshot&, const DecideResult& result) {
        int below_age = 0;
        for (const PolicyStep& step : result.decision.steps) {
          if (!is_packing(step.stage)) continue;
          ASSERT_GE(step.age, below_age);
          below_age = step.below_age;
        }
      });
}

TEST_F(DecideProperty, RoundsAndTheirPagesHold) {
  std::optional<milliseconds> last;
  const PolicyPlan* running = nullptr;
  run(60, 200,
      [&](const PolicyPlan& plan, const PolicyState& state, const PolicySnapshot& snapshot,
          const DecideResult& result) {
        if (running != &plan || !state.has_ages) last.reset();
        running = &plan;
        const std::uint64_t packed = packing_pages(result.decision);
        const std::uint64_t written = writeback_pages(result.decision);
        ASSERT_LE(packed, plan.settings.max_pages);
        ASSERT_LE(written, plan.settings.writeback_pages);
        if (packed + written == 0) return;
        if (last) {
          ASSERT_GE(snapshot.now - *last, plan.settings.round);
        }
        last = snapshot.now;
      });
}

// Over every window of time, not only since the beginning.
TEST_F(DecideProperty, TheShareOfCpuHolds) {
  struct Look {
    milliseconds now;
    microseconds used;
  };
  std::vector<Look> looks;
  run(30, 150,
      [&](const PolicyPlan& plan, const PolicyState& state, const PolicySnapshot& snapshot,
          const DecideResult& result) {
        if (!state.last_look) looks.clear();
        ASSERT_LE(granted_cpu(result.decision),
                  std::max(result.decision.cpu_left, microseconds(0)));
        const microseconds burst =
            CpuBucket::capacity(plan.settings.cpu_percent, plan.settings.round);
        for (const Look& each : looks) {
          const microseconds share =
              microseconds(snapshot.now - each.now) * plan.settings.cpu_percent / 100;
          ASSERT_LE(snapshot.policy_cpu - each.used, share + burst);
        }
        looks.push_back({snapshot.now, snapshot.policy_cpu});
      });
}

TEST_F(DecideProperty, TheBytesOf24HoursHold) {
  struct Look {
    milliseconds now;
    std::uint64_t written;
  };
  std::vector<Look> looks;
  run(60, 300,
      [&](const PolicyPlan& plan, const PolicyState& state, const PolicySnapshot& snapshot,
          const DecideResult& result) {
        if (!state.last_look) looks.clear();
        std::uint64_t granted = 0;
        for (const PolicyStep& step : result.decision.steps) {
          ASSERT_LE(step.max_bytes, step.max_pages * kPageBytes);
          granted += step.max_bytes;
        }
        looks.push_back({snapshot.now, snapshot.written_back_bytes});
        if (!plan.settings.bytes_per_day) return;
        ASSERT_LE(granted, *result.decision.day_bytes_left);
        for (const Look& each : looks) {
          if (snapshot.now - each.now > hours(24)) continue;
          ASSERT_LE(snapshot.written_back_bytes - each.written + granted,
                    *plan.settings.bytes_per_day);
        }
      });
}

TEST_F(DecideProperty, ABackOffIsKeptExceptUnderHardPressure) {
  int kept = 0;
  run(60, 200,
      [&](const PolicyPlan&, const PolicyState&, const PolicySnapshot& snapshot,
          const DecideResult& result) {
        if (snapshot.now >= result.state.backoff_until) return;
        if (result.decision.pressure == PressureLevel::Hard) return;
        ASSERT_EQ(packing_pages(result.decision), 0U);
        ++kept;
      });
  EXPECT_GT(kept, 50);
}

TEST_F(DecideProperty, ItLooksAgainLaterAndOnlyWhileOn) {
  run(60, 200,
      [](const PolicyPlan& plan, const PolicyState&, const PolicySnapshot& snapshot,
         const DecideResult& result) {
        ASSERT_EQ(result.decision.wake_at.has_value(), plan.settings.is_on);
        if (!plan.settings.is_on) return;
        ASSERT_GT(*result.decision.wake_at, snapshot.now);
        ASSERT_LE(*result.decision.wake_at - snapshot.now, plan.ladder.tick + hours(1));
        for (const StageNote& note : result.decision.notes) {
          if (!note.until) continue;
          ASSERT_GT(*note.until, snapshot.now);
        }
      });
}

TEST_F(DecideProperty, TheSameInputGivesTheSameDecision) {
  run(20, 100,
      [](const PolicyPlan& plan, const PolicyState& state, const PolicySnapshot& snapshot,
         const DecideResult& result) {
        const DecideResult again = decide(plan, state, snapshot);
        ASSERT_EQ(again.decision.wake_at, result.decision.wake_at);
        ASSERT_EQ(again.decision.steps.size(), result.decision.steps.size());
        for (std::size_t i = 0; i < again.decision.steps.size(); ++i) {
          ASSERT_EQ(again.decision.steps[i].reason, result.decision.steps[i].reason);
          ASSERT_EQ(again.decision.steps[i].max_cpu, result.decision.steps[i].max_cpu);
        }
      });
}

// More pressure never does less: as many pages are packed, unless the round's budget of pages or
// CPU is used up to the last cluster; and as many are written back.
TEST_F(DecideProperty, MorePressureNeverDoesLess) {
  int more = 0;
  run(60, 200,
      [&](const PolicyPlan& plan, const PolicyState& state, const PolicySnapshot& snapshot,
          const DecideResult& result) {
        if (!plan.settings.is_on || !plan.settings.psi_percent) return;
        // What a stage may have waited for.
        microseconds dearest_cluster{};
        for (const Stage stage : kStages) {
          const std::uint64_t cost = nanoseconds_per_page(result.state, stage) * kWidestCluster;
          dearest_cluster = std::max(dearest_cluster, microseconds(cost / 1000 + 1));
        }
        std::optional<Decision> calmer;
        for (const int factor : {0, 1, 2, 4}) {
          PolicySnapshot pressed = snapshot;
          pressed.memory_some_avg10_percent = factor * *plan.settings.psi_percent;
          Decision decision = decide(plan, state, pressed).decision;
          if (calmer) {
            ASSERT_GE(decision.pressure, calmer->pressure);
            for (const Stage stage : kStages) {
              ASSERT_LE(decision.note(stage).age, calmer->note(stage).age);
            }
            ASSERT_GE(writeback_pages(decision), writeback_pages(*calmer));
            const std::uint64_t packed = packing_pages(decision);
            const bool fills_round = packed + kWidestCluster > plan.settings.max_pages;
            const bool fills_share = granted_cpu(decision) + dearest_cluster >= decision.cpu_left;
            ASSERT_TRUE(packed >= packing_pages(*calmer) || fills_round || fills_share)
                << packed << " after " << packing_pages(*calmer);
            more += packed > packing_pages(*calmer) ? 1 : 0;
          }
          calmer = std::move(decision);
        }
      });
  EXPECT_GT(more, 50);
}

}  // namespace
}  // namespace uzram
