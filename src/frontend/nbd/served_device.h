// SPDX-License-Identifier: Apache-2.0
// frontend/nbd/served_device.h: the one device of an NBD server, and its control socket.
//
// What:    a device for the whole life of a server: prepared while errors still reach the terminal,
//          started once threads may be made, stopped at the end. Not here: nbdkit (plugin.cc), keys
//          (plugin_settings.h).
// Owns:    the device and the control socket's file, which is removed at the end.
// Errors:  prepare -> every wrong setting, in words; afterwards nothing is left but lack of memory.
// Threads: prepare, start and stop from one thread; device() from any between start and stop.
//          prepare leaves no thread behind, so that the server may fork after it.
// Proof:   served_device_test.cc; tests/nbd/.
#pragma once

#include <memory>

#include "control/input_error.h"
#include "control/operations.h"
#include "control/socket_server.h"
#include "device/device.h"
#include "frontend/nbd/plugin_settings.h"

namespace uzram {

class ServedDevice {
 public:
  ServedDevice();
  ~ServedDevice() { stop(); }
  ServedDevice(const ServedDevice&) = delete;
  ServedDevice& operator=(const ServedDevice&) = delete;

  // Applies the settings and tries them out on a device that is thrown away.
  InputResult<void> prepare(const PluginSettings& settings);
  // Requires: prepare succeeded, and this process will not fork any more.
  InputResult<void> start(const PluginSettings& settings);
  // Ends the control socket. The device stays until destruction.
  void stop();

  // Requires: started.
  [[nodiscard]] Device& device() { return *device_; }

 private:
  // While a server runs, its clients hold the disk: it cannot be reset under them.
  class Held : public Attachment {
   public:
    Result<void> attach(Device&) override { return {}; }
    Result<void> detach(Device&) override { return fail(EBUSY); }
    [[nodiscard]] std::string block_path(const Device&) const override { return {}; }
  };
  class OneDevice : public Operations {
   public:
    explicit OneDevice(std::shared_ptr<Device> device) : device_(std::move(device)) {}
    [[nodiscard]] std::vector<std::shared_ptr<Device>> devices() const override {
      return {device_};
    }

   private:
    const std::shared_ptr<Device> device_;
  };

  Held held_;
  const std::shared_ptr<Device> device_;
  OneDevice operations_;
  std::unique_ptr<SocketServer> control_;  // Last: its threads use everything above.
};

}  // namespace uzram
