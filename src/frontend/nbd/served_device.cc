// SPDX-License-Identifier: Apache-2.0
#include "frontend/nbd/served_device.h"

#include "base/check.h"

namespace uzram {

namespace {

InputResult<std::unique_ptr<SocketServer>> open_control(Operations& operations,
                                                        const std::string& path) {
  auto server = SocketServer::start(operations, path);
  if (!server) return refuse(server.error().code, "control: " + server.error().text);
  return server;
}

}  // namespace

ServedDevice::ServedDevice() : device_(std::make_shared<Device>(0, &held_)), operations_(device_) {}

InputResult<void> ServedDevice::prepare(const PluginSettings& settings) {
  UZ_CHECK(settings.disk_bytes.has_value());
  // What is read from files is read now: the server may become another user before it starts.
  InputResult<void> applied = apply_settings(settings, *device_, BackingStores::LeaveOut);
  if (!applied) return applied;
  Device rehearsal(0);
  applied = apply_settings(settings, rehearsal);
  if (!applied) return applied;
  const Result<void> made = rehearsal.set_disksize(*settings.disk_bytes);
  if (!made) {
    const int code = made.error().code;
    return refuse(code, explain_disksize_error(settings, rehearsal, code));
  }
  if (settings.control_path.empty()) return {};
  const auto control = open_control(operations_, settings.control_path);
  if (!control) return tl::unexpected<InputError>(control.error());
  return {};
}

InputResult<void> ServedDevice::start(const PluginSettings& settings) {
  if (InputResult<void> opened = open_backing_stores(settings, *device_); !opened) return opened;
  const Result<void> made = device_->set_disksize(*settings.disk_bytes);
  if (!made) {
    const int code = made.error().code;
    return refuse(code, explain_disksize_error(settings, *device_, code));
  }
  if (settings.control_path.empty()) return {};
  auto control = open_control(operations_, settings.control_path);
  if (!control) return tl::unexpected<InputError>(control.error());
  control_ = std::move(*control);
  return {};
}

void ServedDevice::stop() { control_.reset(); }

}  // namespace uzram
