// SPDX-License-Identifier: Apache-2.0
// pager/uffd_backend.h: pages through userfaultfd, with faults as SIGBUS in the faulting thread, or
// as messages.
//
// What:    UffdBackend (Move, Protect, Strict), and what a machine's userfaultfd can do. Not here:
//          the other ways (memfd_backend.h), who reads the messages (fault_threads.h).
// Why:     a fault that the faulting thread handles itself costs a half of one that another thread
//          on the same processor handles, and a tenth of one on another processor. A batch of pages
//          costs one flush of address translations, so clusters leave with one call.
// Errors:  open_uffd -> ENOSYS, EPERM, EACCES: what the machine says.
// Threads: where faults are signals, a watcher thread looks at the descriptor's events: a program
//          that moves a region with mremap() would find zeros at the new place, so it ends with a
//          message instead.
// Source:  userfaultfd(2), ioctl_userfaultfd(2).
#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "base/file_descriptor.h"
#include "pager/memory_backend.h"

namespace uzram {

// How faults are told.
enum class UffdFaults : std::uint8_t {
  AsSignals,   // Those of programs only: needs no privilege.
  AsMessages,  // The kernel's as well: needs CAP_SYS_PTRACE, vm.unprivileged_userfaultfd or
               // /dev/userfaultfd.
};
struct UffdAbility {
  FileDescriptor descriptor;  // With the features switched on.
  bool has_move = false;
  bool has_poison = false;
  bool is_device = false;  // Opened through /dev/userfaultfd.
};
// Requires of the kernel: SIGBUS or not, write protection, remap events.
[[nodiscard]] Result<UffdAbility> open_uffd(UffdFaults faults);

// The end of a program that has moved a region with mremap().
[[noreturn]] void die_of_moved_memory();

// Requires: Move, Protect or Strict. Errors: ENOSYS; EPERM Strict without its privilege; ENOMEM.
[[nodiscard]] Result<std::unique_ptr<MemoryBackend>> make_uffd_backend(SpanShape shape,
                                                                       PagerBackend kind);

}  // namespace uzram
