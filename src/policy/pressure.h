// SPDX-License-Identifier: Apache-2.0
// policy/pressure.h: how badly memory is wanted, from the kernel's PSI and from mem_limit.
//
// What:    the reader of a PSI file, and one level made of both inputs. Not here: what a level
//          changes (decide.h).
// Errors:  a PSI file that is missing, unreadable or strange is "no PSI", never an error: kernels
//          are built without it, and containers hide it.
// Threads: read_pressure may be called from any thread; it opens, reads and closes.
// Proof:   pressure_test.cc.
// Source:  the kernel's Documentation/accounting/psi.rst.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "policy/policy_settings.h"
#include "policy/policy_snapshot.h"

namespace uzram {

// avg10 of the "some" line: percent of the last 10 seconds in which a process waited.
[[nodiscard]] std::optional<double> parse_pressure(std::string_view text);
// `path`: /proc/pressure/memory, /proc/pressure/cpu, or the same file of a cgroup.
[[nodiscard]] std::optional<double> read_pressure(const std::string& path);

enum class PressureLevel : std::uint8_t { None = 0, Some = 1, High = 2, Hard = 3 };

// The higher one of what PSI and what mem_limit say.
[[nodiscard]] PressureLevel pressure_level(const PolicySettings& settings,
                                           const PolicySnapshot& snapshot);
// "none", "some", "high", "hard".
[[nodiscard]] std::string_view pressure_name(PressureLevel level);

}  // namespace uzram
