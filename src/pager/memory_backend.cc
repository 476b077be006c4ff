// SPDX-License-Identifier: Apache-2.0
#include "pager/memory_backend.h"

#include "base/check.h"
#include "pager/memfd_backend.h"
#include "pager/uffd_backend.h"

namespace uzram {

Result<std::unique_ptr<MemoryBackend>> make_memory_backend(PagerBackend kind, SpanShape shape) {
  switch (kind) {
    case PagerBackend::Move:
    case PagerBackend::Protect:
    case PagerBackend::Strict:
      return make_uffd_backend(shape, kind);
    case PagerBackend::Signal:
      return make_memfd_backend(shape, true);
    case PagerBackend::Explicit:
      return make_memfd_backend(shape, false);
    case PagerBackend::Automatic:
      break;
  }
  return fail(EINVAL);
}

}  // namespace uzram
