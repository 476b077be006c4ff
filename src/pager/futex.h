// SPDX-License-Identifier: Apache-2.0
// pager/futex.h: waiting for a word to change, in places where nothing else may be used.
//
// What:    the two system calls, private to this process.
// Threads: futex_wait returns when woken, when the word is not `seen`, or for no reason.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>

namespace uzram {

inline void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t seen) {
  ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
}
inline void futex_wait_at_most(const std::atomic<std::uint32_t>& word, std::uint32_t seen,
                               timespec most) {
  ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, &most, nullptr, 0);
}
// At most a millisecond: for changes that may also come without a wake-up.
inline void futex_wait_briefly(const std::atomic<std::uint32_t>& word, std::uint32_t seen) {
  futex_wait_at_most(word, seen, {0, 1'000'000});
}
inline void futex_wake_all(const std::atomic<std::uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}
inline void futex_wake_one(const std::atomic<std::uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace uzram
