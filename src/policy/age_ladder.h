// SPDX-License-Identifier: Apache-2.0
// policy/age_ladder.h: how 3 bits per page tell minutes from hours.
//
// A page's age is 0 after an access and is advanced by sweeps over the slot table, up to 7. If
// every sweep advanced every page, the oldest age would be seven times the shortest, yet people
// want "10 minutes" and "8 hours" at once. So the ages are rungs of a ladder whose upper rungs are
// further apart: the sweep with number n advances the pages of age k only when n is a multiple of
// periods[k]. Each period is a multiple of the one before, therefore a page that has come to age k
// (at a multiple of periods[k - 1]) stays there for at least periods[k - 1] and at most periods[k]
// ticks. Summed up, a page of age k has not been touched for
//
//     at least  floor(k)   = tick * (periods[0] + ... + periods[k - 2])
//     at most   ceiling(k) = tick * (periods[0] + ... + periods[k - 1])   when it gets there,
//
// so a stage that takes the smallest age whose floor is its threshold never acts too early, and is
// late by one period. The tick follows from the smallest threshold (a quarter of it up to all of
// it); make_age_ladder tries every ladder with small factors between periods and takes the one
// whose stages are least late, in proportion to what was asked.
//
// Laws:    sweeps that come late make pages look younger, never older.
// Threads: values; nothing is shared.
// Proof:   age_ladder_test.cc drives single pages with random accesses through random ladders.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <span>

namespace uzram {

inline constexpr int kPageAges = 8;  // 3 bits of the slot word.
inline constexpr int kOldestAge = kPageAges - 1;

// Bit k: pages of age k.
using AgeMask = std::uint8_t;

struct AgeLadder {
  std::chrono::milliseconds tick{};                    // At least this between two sweeps.
  std::array<std::uint32_t, kPageAges - 1> periods{};  // In ticks, by the age that is left.

  // Which ages the sweep with this number advances by one. Sweeps are numbered from 1.
  [[nodiscard]] AgeMask advancing(std::uint64_t sweep_number) const;
  // Requires: 0 <= age <= kOldestAge.
  [[nodiscard]] std::chrono::milliseconds floor(int age) const;
  [[nodiscard]] std::chrono::milliseconds ceiling(int age) const;
  // The smallest age that is certainly as old as this. Requires: the ladder was made for it.
  [[nodiscard]] int age_of(std::chrono::milliseconds threshold) const;
  // The largest age of pages that may be younger than this, at least 1: for haste.
  [[nodiscard]] int age_within(std::chrono::milliseconds threshold) const;

  friend bool operator==(const AgeLadder&, const AgeLadder&) = default;
};

// Thresholds beyond these bounds have no ladder.
inline constexpr std::chrono::seconds kShortestThreshold{1};
inline constexpr std::chrono::seconds kLongestThreshold{std::chrono::hours(24 * 10)};

// Requires: at least one threshold, each within the bounds. Takes milliseconds.
[[nodiscard]] AgeLadder make_age_ladder(std::span<const std::chrono::seconds> thresholds);

}  // namespace uzram
