// SPDX-License-Identifier: Apache-2.0
// pager/uffd_backend.h: pages through userfaultfd, with faults as SIGBUS in the faulting thread.
//
// What:    UffdBackend (Move, and Protect), and what a machine's userfaultfd can do. Not here: the
//          other ways (alias_backend.h).
// Why:     a fault that the faulting thread handles itself costs a half of one that another thread
//          on the same processor handles, and a tenth of one on another processor. A batch of pages
//          costs one flush of address translations, so clusters leave with one call.
// Errors:  open_uffd -> ENOSYS, EPERM, EACCES: what the machine says.
// Threads: a watcher thread reads the descriptor's events: a program that moves a region with
//          mremap() would find zeros at the new place, so it ends with a message instead.
// Source:  userfaultfd(2), ioctl_userfaultfd(2).
#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "base/file_descriptor.h"
#include "pager/memory_backend.h"

namespace uzram {

struct UffdAbility {
  FileDescriptor descriptor;  // With the features switched on.
  bool has_move = false;
  bool is_device = false;  // Opened through /dev/userfaultfd.
};
// Requires of the kernel: SIGBUS, write protection, remap events.
[[nodiscard]] Result<UffdAbility> open_uffd();

[[nodiscard]] Result<std::unique_ptr<MemoryBackend>> make_uffd_backend(SpanShape shape,
                                                                       bool uses_move);

}  // namespace uzram
