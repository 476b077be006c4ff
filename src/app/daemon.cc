// SPDX-License-Identifier: Apache-2.0
#include "app/daemon.h"

#include <fmt/format.h>

#include "control/attribute_table.h"
#include "control/device_json.h"

namespace uzram {

InputResult<std::unique_ptr<Daemon>> Daemon::start(const DaemonOptions& options) {
  std::unique_ptr<Daemon> daemon(new Daemon(options));
  FuseAttachmentOptions disk_options;
  disk_options.state_dir = options.state_folder;
  disk_options.thread_count = options.thread_count;
  disk_options.io_uring = options.io_uring;
  auto attachment = FuseAttachment::create(std::move(disk_options));
  if (!attachment) return tl::unexpected<InputError>(attachment.error());
  daemon->attachment_ = std::move(*attachment);
  daemon->devices_ = std::make_unique<DeviceSet>(daemon->attachment_.get(), &daemon->allowance_);
  for (int i = 0; i < options.device_count; ++i) daemon->devices_->add();
  auto socket = SocketServer::start(*daemon, options.socket_path);
  if (!socket) return tl::unexpected<InputError>(socket.error());
  daemon->socket_ = std::move(*socket);
  auto tree = Tree::start(*daemon->devices_, options.tree_folder);
  if (!tree) return tl::unexpected<InputError>(tree.error());
  daemon->tree_ = std::move(*tree);
  return daemon;
}

Daemon::~Daemon() {
  // Whoever could still make devices goes first.
  tree_.reset();
  socket_.reset();
  if (attachment_ == nullptr || devices_ == nullptr) return;
  for (const std::shared_ptr<Device>& device : devices_->all()) attachment_->abandon(*device);
}

std::vector<std::shared_ptr<Device>> Daemon::devices() const { return devices_->all(); }

InputResult<std::shared_ptr<Device>> Daemon::create() {
  if (is_stopping_.load(std::memory_order_relaxed)) {
    return refuse(ESHUTDOWN, "the daemon is about to end");
  }
  const int id = devices_->add();
  std::shared_ptr<Device> device = devices_->find(id);
  if (device == nullptr) return refuse(ENODEV, fmt::format("zram{} was removed meanwhile", id));
  return device;
}

InputResult<void> Daemon::remove(int id) {
  const std::shared_ptr<Device> device = devices_->find(id);
  const std::string users = device == nullptr
                                ? std::string()
                                : fmt::format("{}", fmt::join(attachment_->users(*device), ", "));
  InputResult<void> outcome =
      find_class_attribute("hot_remove")->store(*devices_, std::to_string(id));
  if (!outcome && outcome.error().code == EBUSY && !users.empty()) {
    outcome.error().text = fmt::format("zram{} is in use: {}", id, users);
  }
  return outcome;
}

InputResult<std::vector<std::string>> Daemon::swap_on(Device& device, const SwapRequest& request) {
  const std::shared_ptr<Device> known = devices_->find(device.id());
  if (known.get() != &device) return refuse(ENODEV, "the device was removed meanwhile");
  return swap_.swap_on(known, request);
}

InputResult<void> Daemon::swap_off(Device& device) { return swap_.swap_off(device); }

std::vector<std::string> Daemon::try_stop() {
  is_stopping_.store(true, std::memory_order_relaxed);
  std::vector<std::string> uses;
  const auto all = devices_->all();
  // All are looked at before any is removed: what is removed is gone.
  for (const std::shared_ptr<Device>& device : all) {
    for (const std::string& user : attachment_->users(*device)) {
      uses.push_back(fmt::format("{}: {}", device_name(*device), user));
    }
  }
  if (uses.empty()) {
    for (const std::shared_ptr<Device>& device : all) {
      if (const InputResult<void> removed = remove(device->id()); !removed) {
        uses.push_back(removed.error().text);
      }
    }
  }
  if (!uses.empty()) is_stopping_.store(false, std::memory_order_relaxed);
  return uses;
}

}  // namespace uzram
