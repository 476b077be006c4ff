// SPDX-License-Identifier: Apache-2.0
#include "app/daemon.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include "control/attribute_table.h"
#include "control/device_json.h"
#include "control/size_text.h"

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
  daemon->devices_ = std::make_unique<DeviceSet>(daemon->attachment_.get());
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
  if (outcome) {
    swap_.forget(id);
  } else if (outcome.error().code == EBUSY && !users.empty()) {
    outcome.error().text = fmt::format("zram{} is in use: {}", id, users);
  }
  return outcome;
}

InputResult<std::vector<std::string>> Daemon::swap_on(Device& device, const SwapRequest& request) {
  return swap_.swap_on(device, request);
}

InputResult<void> Daemon::swap_off(Device& device) { return swap_.swap_off(device); }

std::vector<std::string> Daemon::reasons_to_stay(bool drops_pages) const {
  std::vector<std::string> reasons;
  for (const std::shared_ptr<Device>& device : devices_->all()) {
    for (const std::string& user : attachment_->users(*device)) {
      reasons.push_back(fmt::format("{}: {}", device_name(*device), user));
    }
    const std::uint64_t held_bytes = device->stats().orig_data_bytes;
    if (drops_pages || held_bytes == 0) continue;
    reasons.push_back(fmt::format("{}: holds {}, which would be lost", device_name(*device),
                                  short_size(held_bytes)));
  }
  return reasons;
}

std::vector<std::string> Daemon::try_stop(bool drops_pages) {
  MutexLock lock(stop_mutex_);
  is_stopping_.store(true, std::memory_order_relaxed);
  // All are looked at before any is removed: what is removed is gone.
  std::vector<std::string> reasons = reasons_to_stay(drops_pages);
  if (reasons.empty()) {
    for (const std::shared_ptr<Device>& device : devices_->all()) {
      if (const InputResult<void> removed = remove(device->id()); !removed) {
        reasons.push_back(removed.error().text);
      }
    }
  }
  if (!reasons.empty()) is_stopping_.store(false, std::memory_order_relaxed);
  return reasons;
}

InputResult<void> Daemon::stop(bool drops_pages) {
  const std::vector<std::string> reasons = try_stop(drops_pages);
  if (!reasons.empty()) {
    return refuse(EBUSY, fmt::format("the daemon stays: {}; unmount, switch swap off{}",
                                     fmt::join(reasons, "; "),
                                     drops_pages ? "" : ", and drop pages with --force"));
  }
  ::kill(::getpid(), SIGTERM);
  return {};
}

}  // namespace uzram
