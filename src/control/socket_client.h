// SPDX-License-Identifier: Apache-2.0
// control/socket_client.h: asks a server one thing over its control socket.
//
// Shapes:  an answer has at most 16 MiB.
// Errors:  call_server -> ENOENT or ECONNREFUSED no server there; EAGAIN it has too many clients
//          waiting; EACCES not permitted; EPERM the server belongs to another user than root or
//          oneself; EPIPE it closed without an answer; EBADMSG it answered what is no answer. A
//          refusal by the server is an answer, not an error here.
// Threads: any. Waits as long as the server works.
// Proof:   socket_test.cc.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/file_descriptor.h"
#include "control/input_error.h"

namespace uzram {

// Returns: {"ok": true, "result": ...} or {"ok": false, "error": {...}}, as request.h has it.
[[nodiscard]] InputResult<nlohmann::json> call_server(const std::string& path,
                                                      const nlohmann::json& request);

// The process that serves at the path, as a descriptor that becomes readable when it has ended.
// Errors: as call_server; ESRCH it cannot be seen from here.
[[nodiscard]] InputResult<FileDescriptor> open_server_process(const std::string& path);

}  // namespace uzram
