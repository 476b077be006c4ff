// SPDX-License-Identifier: Apache-2.0
// base/sanitized.h: whether a sanitizer watches this build. For tests that measure what its own
// memory would spoil: faults, allocations, locked memory.
#pragma once

namespace uzram {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kIsSanitized = true;
#elif defined(__has_feature)
inline constexpr bool kIsSanitized =
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool kIsSanitized = false;
#endif

}  // namespace uzram
