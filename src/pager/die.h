// SPDX-License-Identifier: Apache-2.0
// pager/die.h: the end of a process whose memory cannot be given to it.
//
// What:    one line on standard error that names the cause, then SIGABRT. Callable in a signal
//          handler: write(2) and nothing else. Not here: programmer errors (base/check.h).
// Proof:   pager_safety_test.cc.
#pragma once

#include <cstdint>
#include <string_view>

namespace uzram {

// "uzram pager: ...\n"; `number` is printed between `before` and `after`.
[[noreturn]] void die(std::string_view before, std::uint64_t number, std::string_view after = "");
[[noreturn]] void die(std::string_view text);
// The same lines, and life goes on.
void warn_of_address(std::string_view before, std::uint64_t address, std::string_view after);
void warn(std::string_view before, std::uint64_t number, std::string_view after);

}  // namespace uzram
