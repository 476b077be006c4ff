// SPDX-License-Identifier: Apache-2.0
// policy/policy_settings.h: all that a person can set about the policy, in one line of words.
//
// What:    the settings, their defaults with the reason for each, and the table of words that reads
//          and prints them. Not here: what follows from them (age_ladder.h, decide.h).
// Shapes:  "off", or "on" and then any of the table's words as key=value, in any order; a key that
//          is given twice counts the second time; what is not given has its default.
// Errors:  SettingError in words, also for settings that contradict each other.
// Proof:   policy_settings_test.cc; docs/policy.md has the table, and a test holds it against this.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "policy/setting_text.h"

namespace uzram {

// Neighbours compressed together. Wider and higher costs CPU once, and more at each fault.
struct ClusterSettings {
  std::optional<std::chrono::seconds> after;  // Absent: the stage is off.
  int pages;                                  // 2, 4, 8, 16 or 32.
  int level;                                  // Of zstd, 1 to 19.
  friend bool operator==(const ClusterSettings&, const ClusterSettings&) = default;
};

enum class WritebackType : std::uint8_t {
  Idle,      // Every idle page; those that do not compress go first.
  HugeIdle,  // Only idle pages that do not compress.
};

// The defaults are for a swap or file system disk on a machine that has power. A phone's (Android's
// mmd: hours for recompression, a day for writeback, 1 GiB a day) save battery and flash; here a
// page that was demoted too early costs some 10 to 30 µs once, and each minute that it stays large
// costs memory.
struct PolicySettings {
  bool is_on = false;

  // Data centre studies find a third of all memory untouched for 2 minutes. 10 minutes leave out
  // what a periodic job touches, and cost at most what 10 minutes of it are worth.
  std::chrono::seconds idle_after{std::chrono::minutes(10)};

  // As soon as a page is idle, but only where a recompression algorithm is set, which nobody does
  // who does not want it used.
  std::optional<std::chrono::seconds> recompress_after = std::chrono::minutes(10);
  int recompress_priority = 1;  // Of recomp_algorithm: 1 to 3.

  // By 4: 14 % less than single pages with zstd, a fault costs 12 µs instead of 5, so little is at
  // stake. By 16: 4 % less again and a fault of 35 µs, so only for what an hour did not need.
  ClusterSettings small{std::chrono::minutes(20), 4, 1};
  ClusterSettings large{std::chrono::hours(1), 16, 3};
  // 5 % less again at 36 µs a page instead of 7: off until somebody has CPU to give away. It runs
  // only while the device is quiet and no process waits for a CPU.
  ClusterSettings deep{std::nullopt, 32, 9};

  // Where a backing store is set. A fault costs a disk access, and flash wears: what a working day
  // or a night did not touch.
  std::optional<std::chrono::seconds> writeback_after = std::chrono::hours(8);
  WritebackType writeback_type = WritebackType::Idle;
  // Consumer disks are rated for about a third of their size a day: 4 GiB is that of a disk of
  // 12 GiB. Absent: no limit.
  std::optional<std::uint64_t> bytes_per_day = std::uint64_t{4} << 30;

  // Work comes in rounds, so that nobody waits behind much of it: 4096 pages a second demote 8 GiB
  // in 9 minutes, and take some 5 % of a core at 10 to 14 µs a page.
  std::chrono::seconds round{1};
  std::uint64_t max_pages = 4096;  // Each round, recompression and clusters together.
  // 4 MiB a second leave a disk to others, and use up a day's 4 GiB in 17 minutes.
  std::uint64_t writeback_pages = 1024;  // Each round.
  // Of one core, everything that the policy does included. 10,000 demotions a second fit.
  int cpu_percent = 10;

  // A request costs about 12 µs of CPU on its whole way: 20,000 a second are a quarter of a core,
  // and somebody is waiting for them. Absent: never backs off.
  std::optional<std::uint64_t> burst = 20000;  // Foreground requests per second.
  std::chrono::seconds backoff{10};
  // Without a foreground request for so long the device counts as quiet.
  std::chrono::seconds quiet{60};

  // Share of the last 10 seconds in which some process waited for memory. Twice and four times as
  // much are the next levels of pressure. Absent: PSI does not count.
  std::optional<int> psi_percent = 5;
  // Share of mem_limit that the pool fills. Half and three quarters of the way from there to the
  // limit are the next levels. Absent: mem_limit does not count.
  std::optional<int> limit_percent = 85;

  friend bool operator==(const PolicySettings&, const PolicySettings&) = default;
};

struct PolicyWord {
  std::string_view key;
  std::string_view value;    // How the manual shows its values: "DURATION", "1-3".
  std::string_view summary;  // One line.
  SettingResult<void> (*take)(PolicySettings& settings, std::string_view value);
  std::string (*show)(const PolicySettings& settings);
};

// In the order in which they are printed. Keys are unique.
[[nodiscard]] std::span<const PolicyWord> policy_words();

[[nodiscard]] SettingResult<PolicySettings> parse_policy(std::string_view line);
// One line without a newline, every word of it; parse_policy reads it back as the same settings.
// "off" alone when it is off.
[[nodiscard]] std::string policy_text(const PolicySettings& settings);

}  // namespace uzram
