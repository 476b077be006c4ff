// SPDX-License-Identifier: Apache-2.0
#include "app/daemon.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "control/attribute_table.h"
#include "control/device_json.h"

namespace uzram {

namespace {

// Whether a device's backing store is the disk of another, or a file on it. By device number: a
// disk has several names.
bool stands_on(const Device& upper, const Device& lower) {
  struct stat store {};
  struct stat disk {};
  if (upper.id() == lower.id() || upper.backing().empty()) return false;
  if (::stat(upper.backing().c_str(), &store) != 0) return false;
  if (::stat(lower.block_path().c_str(), &disk) != 0 || !S_ISBLK(disk.st_mode)) return false;
  return (S_ISBLK(store.st_mode) ? store.st_rdev : store.st_dev) == disk.st_rdev;
}

// What find_block_users says of this process: a disk of ours that is open here is a store of ours.
bool is_ourselves(const std::string& user) {
  return user.ends_with(fmt::format("({})", ::getpid()));
}

}  // namespace

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
  const std::string users =
      device == nullptr ? std::string() : fmt::format("{}", fmt::join(users_of(*device), ", "));
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

std::vector<std::string> Daemon::users_of(const Device& device) const {
  std::vector<std::string> users;
  for (const std::shared_ptr<Device>& upper : devices_->all()) {
    if (stands_on(*upper, device))
      users.push_back(fmt::format("the backing store of {}", device_name(*upper)));
  }
  const bool is_named = !users.empty();
  for (std::string& user : attachment_->users(device)) {
    if (!is_named || !is_ourselves(user)) users.push_back(std::move(user));
  }
  return users;
}

// Whatever stands on another goes before it: rounds, each over those that nobody stands on any
// more. The first round in which nothing goes is the last.
std::vector<std::string> Daemon::remove_in_order(std::vector<std::shared_ptr<Device>> left) {
  for (;;) {
    std::vector<std::string> uses;
    std::vector<std::shared_ptr<Device>> kept;
    for (const std::shared_ptr<Device>& device : left) {
      const bool has_upper = std::any_of(
          left.begin(), left.end(), [&](const auto& upper) { return stands_on(*upper, *device); });
      if (has_upper) {
        kept.push_back(device);
        uses.push_back(fmt::format("{} is the store of another device", device_name(*device)));
      } else if (const InputResult<void> removed = remove(device->id()); !removed) {
        kept.push_back(device);
        uses.push_back(removed.error().text);
      }
    }
    if (kept.empty() || kept.size() == left.size()) return uses;
    left = std::move(kept);
  }
}

std::vector<std::string> Daemon::try_stop() {
  is_stopping_.store(true, std::memory_order_relaxed);
  std::vector<std::string> uses;
  const auto all = devices_->all();
  // All are looked at before any is removed: what is removed is gone.
  for (const std::shared_ptr<Device>& device : all) {
    for (const std::string& user : attachment_->users(*device)) {
      // A device that stands on this one goes first.
      if (!is_ourselves(user)) uses.push_back(fmt::format("{}: {}", device_name(*device), user));
    }
  }
  if (uses.empty()) uses = remove_in_order(all);
  if (!uses.empty()) is_stopping_.store(false, std::memory_order_relaxed);
  return uses;
}

}  // namespace uzram
