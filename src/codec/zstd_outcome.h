// SPDX-License-Identifier: Apache-2.0
// codec/zstd_outcome.h: libzstd's calls that cannot fail as they are made here.
#pragma once

#include <zstd.h>

#include <cstddef>

#include "base/check.h"

namespace uzram {

// Ends the program when `outcome` is one of libzstd's errors.
inline void must(std::size_t outcome) { UZ_CHECK(!ZSTD_isError(outcome)); }

}  // namespace uzram
