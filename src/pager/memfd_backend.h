// SPDX-License-Identifier: Apache-2.0
// pager/memfd_backend.h: pages without userfaultfd: a file in memory behind protected addresses.
//
// What:    MemfdBackend (Signal, and Explicit). Absent pages have no protection bits; a page is
//          written to the file while nobody can see it, and then the protection is lifted.
// Errors:  install -> ENOMEM also when the kernel allows no more mappings (vm.max_map_count): each
//          stretch of pages that differs from its neighbours is one.
// Source:  memfd_create(2), mprotect(2).
#pragma once

#include <memory>

#include "pager/memory_backend.h"

namespace uzram {

// `has_faults`: touches of absent pages are SIGSEGV, which the pager handles.
[[nodiscard]] Result<std::unique_ptr<MemoryBackend>> make_memfd_backend(SpanShape shape,
                                                                        bool has_faults);

}  // namespace uzram
