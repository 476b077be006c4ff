// SPDX-License-Identifier: Apache-2.0
// control/operations.h: what a process that owns devices offers through its control socket.
//
// What:    the few things that the attribute table cannot do by itself. A daemon offers all of
//          them; the NBD plug-in has one device for its whole life and offers only devices().
// Errors:  what is not offered answers EOPNOTSUPP and says so.
// Threads: every member is called from the socket's client threads, several at once. Members may
//          block for long.
// Proof:   request_test.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/input_error.h"

namespace uzram {

class Device;

struct SwapRequest {
  std::optional<std::uint64_t> reserve_bytes;  // Absent: mem_limit decides.
  std::optional<int> priority;                 // Absent: the kernel chooses.
  bool is_forced = false;                      // What speaks against it becomes a remark.
};

class Operations {
 public:
  virtual ~Operations() = default;

  // In the order of a list.
  [[nodiscard]] virtual std::vector<std::shared_ptr<Device>> devices() const = 0;
  // Adds an uninitialised device.
  virtual InputResult<std::shared_ptr<Device>> create();
  virtual InputResult<void> remove(int id);
  // Gives a device a disk again whose own was taken away. One that has its disk: nothing happens.
  virtual InputResult<void> attach(Device& device);
  // Returns: remarks for the person, one a line: what was prepared and what was refused.
  virtual InputResult<std::vector<std::string>> swap_on(Device& device, const SwapRequest& request);
  virtual InputResult<void> swap_off(Device& device);
  // Ends the server. EBUSY: a disk is in use, or holds pages and `drops_pages` is not given;
  // nothing has changed then.
  virtual InputResult<void> stop(bool drops_pages);
};

}  // namespace uzram
