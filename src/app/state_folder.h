// SPDX-License-Identifier: Apache-2.0
// app/state_folder.h: the folder of a daemon, where nobody else can put or lock anything.
//
// What:   makes it, or tightens one that is ours. Others may pass through it to what is for them
//         (the tree), but not open it: a lock on it is ours alone.
// Shapes: mode 0711, or stricter when it was. Each folder above it belongs to root or to us, and is
//         not writable by others unless it is sticky. No symbolic link leads on from one of others.
// Errors: EPERM somebody else could change what is there, in words; otherwise from the system.
// Proof:  state_folder_test.cc.
#pragma once

#include <string>

#include "control/input_error.h"

namespace uzram {

// Returns: its path without symbolic links.
[[nodiscard]] InputResult<std::string> prepare_state_folder(const std::string& path);

}  // namespace uzram
