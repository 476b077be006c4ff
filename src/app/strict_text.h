// SPDX-License-Identifier: Apache-2.0
// app/strict_text.h: what is missing for the backend that serves the kernel's faults too.
#pragma once

#include <cerrno>
#include <string_view>

namespace uzram {

// One line for a code of strict_refusal() (pager/probe.h).
constexpr std::string_view strict_refusal_text(int code) {
  if (code == EPERM)
    return "strict needs a privilege: CAP_SYS_PTRACE, or access to /dev/userfaultfd, or "
           "vm.unprivileged_userfaultfd=1 (sysctl)";
  return "strict needs userfaultfd with write protection (Linux 5.11), which is not to be had here";
}

}  // namespace uzram
