// SPDX-License-Identifier: Apache-2.0
// app/default_paths.h: where the daemon puts its tree and its socket, and where commands look.
//
// Shapes: root: /run/uzram; others: $XDG_RUNTIME_DIR/uzram. Below it "sys" is the tree, "control"
//         the socket.
// Errors: EINVAL in words for a user without XDG_RUNTIME_DIR.
#pragma once

#include <string>

#include "control/input_error.h"

namespace uzram {

[[nodiscard]] InputResult<std::string> default_state_folder();

// The given path, or the default when it is empty.
[[nodiscard]] InputResult<std::string> socket_path_or_default(const std::string& given);

}  // namespace uzram
