// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace uzram {

void check_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "uzram: check failed: %s at %s:%d\n", expression, file, line);
  std::abort();
}

}  // namespace uzram
