// SPDX-License-Identifier: Apache-2.0
#include "policy/age_ladder.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "base/check.h"

namespace uzram {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Between one period and the next. The largest makes a ladder from the shortest threshold to the
// longest possible: 16^5 > kLongestThreshold / kShortestThreshold.
constexpr std::array<std::uint32_t, 5> kFactors = {1, 2, 3, 4, 16};
static_assert(16 * 16 * 16 * 16 * 16 > kLongestThreshold / kShortestThreshold);
// The smallest threshold is so many ticks.
constexpr std::array<int, 4> kDivisions = {1, 2, 3, 4};

std::uint64_t sum_of_periods(const AgeLadder& ladder, int count) {
  std::uint64_t sum = 0;
  for (int i = 0; i < count; ++i) sum += ladder.periods[static_cast<std::size_t>(i)];
  return sum;
}

milliseconds ticks(const AgeLadder& ladder, std::uint64_t count) {
  return ladder.tick * static_cast<milliseconds::rep>(count);
}

// The worst and the summed lateness, as multiples of what was asked; then fewer sweeps.
using Cost = std::tuple<double, double, milliseconds::rep>;

std::optional<Cost> cost_of(const AgeLadder& ladder, std::span<const seconds> thresholds) {
  double worst = 0;
  double sum = 0;
  for (const seconds threshold : thresholds) {
    int age = 1;
    while (age < kOldestAge && ladder.floor(age) < threshold) ++age;
    if (ladder.floor(age) < threshold) return std::nullopt;
    const double late = static_cast<double>(ladder.ceiling(age).count()) /
                        static_cast<double>(milliseconds(threshold).count());
    worst = std::max(worst, late);
    sum += late;
  }
  return Cost{worst, sum, -ladder.tick.count()};
}

struct Search {
  std::span<const seconds> thresholds;
  std::optional<Cost> least;
  AgeLadder best;

  // Tries every continuation of the periods before `age`.
  void extend(AgeLadder& ladder, std::size_t age) {
    if (age + 1 == ladder.periods.size()) {
      // A longer last period would only make the oldest pages later.
      ladder.periods[age] = ladder.periods[age - 1];
      const std::optional<Cost> cost = cost_of(ladder, thresholds);
      if (!cost || (least && *least <= *cost)) return;
      least = cost;
      best = ladder;
      return;
    }
    for (const std::uint32_t factor : kFactors) {
      ladder.periods[age] = ladder.periods[age - 1] * factor;
      extend(ladder, age + 1);
    }
  }
};

}  // namespace

AgeMask AgeLadder::advancing(std::uint64_t sweep_number) const {
  unsigned mask = 0;
  for (std::size_t age = 0; age < periods.size(); ++age) {
    if (sweep_number % periods[age] == 0) mask |= 1U << age;
  }
  return static_cast<AgeMask>(mask);
}

milliseconds AgeLadder::floor(int age) const {
  UZ_DCHECK(age >= 0 && age <= kOldestAge);
  return age < 2 ? milliseconds(0) : ticks(*this, sum_of_periods(*this, age - 1));
}

milliseconds AgeLadder::ceiling(int age) const {
  UZ_DCHECK(age >= 0 && age <= kOldestAge);
  return ticks(*this, sum_of_periods(*this, age));
}

int AgeLadder::age_of(milliseconds threshold) const {
  int age = 1;
  while (age < kOldestAge && floor(age) < threshold) ++age;
  UZ_CHECK(floor(age) >= threshold);
  return age;
}

int AgeLadder::age_within(milliseconds threshold) const {
  int age = 1;
  while (age < kOldestAge && floor(age + 1) <= threshold) ++age;
  return age;
}

AgeLadder make_age_ladder(std::span<const seconds> thresholds) {
  UZ_CHECK(!thresholds.empty());
  const auto [shortest, longest] = std::minmax_element(thresholds.begin(), thresholds.end());
  UZ_CHECK(*shortest >= kShortestThreshold);
  UZ_CHECK(*longest <= kLongestThreshold);
  Search search{thresholds, std::nullopt, {}};
  for (const int division : kDivisions) {
    AgeLadder ladder;
    // Rounded up, so that no rung misses its threshold by a fraction.
    ladder.tick = (milliseconds(*shortest) + milliseconds(division - 1)) / division;
    ladder.periods[0] = 1;
    search.extend(ladder, 1);
  }
  UZ_CHECK(search.least.has_value());
  return search.best;
}

}  // namespace uzram
