// SPDX-License-Identifier: Apache-2.0
// control/request.h: one request of the control socket and its answer, each one line of JSON.
//
// What:    {"op": NAME, "device": "zram0", ...} in, {"ok": true, "result": ...} or
//          {"ok": false, "error": {"code": 22, "name": "EINVAL", "text": "..."}} out.
//          Not here: bytes on a socket (socket_server.h).
// Shapes:  op          members                                                -> result
//          list                                                               -> [device, ...]
//          create      size, algorithm?, level?, dict?, winbits?, mem_limit?,
//                      set?: [[attribute, value], ...], made before the size  -> device
//          get         device, attribute?        -> its text, or {name: text} without attribute
//          get         device, attribute, first?: of one that comes in parts -> {text, next}: lines
//                      from page `first` on, and where the next part begins; null at the end
//          set         device, attribute, value                               -> null
//          remove      device                                                 -> null
//          reset       device                                                 -> null
//          attach      device: makes a disk that was taken away again         -> device
//          compact     device                                                 -> null
//          stats       device                                                 -> device
//          map         device, cells? (1024)                 -> as page_map_json, and device
//          swap_on     device, reserve?, priority?                            -> [remark, ...]
//          swap_off    device                                                 -> null
//          stop        force?: drop what the disks hold                     -> null; then it ends
//          attributes                                      -> [{name, mode, summary}, ...]
//          A device is given by its name or by the path of its disk. Sizes are bytes as numbers.
// Errors:  any bytes are safe to pass. EBADMSG not JSON, too deep, or too many values; EINVAL a
//          member of the wrong kind, missing or not known to the operation; ENODEV no such device;
//          otherwise the operation's own. A create that fails leaves no device.
// Threads: any, several at once.
// Proof:   request_test.cc, request_fuzz.cc.
#pragma once

#include <string>
#include <string_view>

namespace uzram {

class Operations;

// Returns: one line without a newline; always valid JSON.
[[nodiscard]] std::string answer_request(Operations& operations, std::string_view line);

}  // namespace uzram
