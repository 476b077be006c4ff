// SPDX-License-Identifier: Apache-2.0
// app/zram_namespace.h: the mounts of `uzram shell`.
//
// What:    makes a mount namespace for this process and puts the tree's folders and a view of /dev
//          into the kernel's places. Not here: the program (zram_shell.h).
// Owns:    nothing outside the namespace: nobody else sees a mount of it.
// Errors:  in words.
// Threads: none may run yet.
#pragma once

#include <memory>
#include <string>

#include "control/input_error.h"
#include "frontend/fuse/dev_view.h"

namespace uzram {

// Makes the namespace, all but /dev. Requires: root.
InputResult<void> enter_zram_namespace(const std::string& tree);
// Puts the view over /dev; what was mounted below /dev comes back with put_back. Nobody may use
// /dev before it is served.
class DevMounts {
 public:
  static InputResult<std::unique_ptr<DevMounts>> mount(const std::string& tree);
  ~DevMounts();
  DevMounts(const DevMounts&) = delete;
  DevMounts& operator=(const DevMounts&) = delete;

  [[nodiscard]] DevView& view() { return *view_; }
  // Requires: the view is served by another thread.
  InputResult<void> put_back();

 private:
  struct Kept;
  DevMounts();
  std::unique_ptr<Kept> kept_;
  std::unique_ptr<DevView> view_;
};
// Gives /dev and /sys back to whoever is in the namespace still.
void uncover_zram_namespace();

}  // namespace uzram
