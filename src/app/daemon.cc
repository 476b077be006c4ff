// SPDX-License-Identifier: Apache-2.0
#include "app/daemon.h"

#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "app/device_stack.h"
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
  disk_options.link_folder = options.link_folder;
  disk_options.on_loss = [](const std::string& text) { spdlog::warn("{}", text); };
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
  InputResult<void> outcome =
      find_class_attribute("hot_remove")->store(*devices_, std::to_string(id));
  if (!outcome && outcome.error().code == EBUSY && device != nullptr) {
    outcome.error().text = name_users(*device);
  }
  return outcome;
}

std::string Daemon::name_users(const Device& device) const {
  std::vector<std::string> users;
  for (const std::shared_ptr<Device>& upper : find_uppers(devices_->all(), device)) {
    users.push_back(fmt::format("the backing store of {}", device_name(*upper)));
  }
  // The store is open in this process; that is named already.
  const std::string ourselves = users.empty() ? "" : fmt::format("({})", ::getpid());
  for (std::string& user : attachment_->users(device)) {
    if (ourselves.empty() || !user.ends_with(ourselves)) users.push_back(std::move(user));
  }
  const std::string name = device_name(device);
  if (users.empty()) return name + " is in use: no program that this process can see";
  return fmt::format("{} is in use: {}", name, fmt::join(users, ", "));
}

InputResult<void> Daemon::attach(Device& device) {
  const Result<void> done = device.attach_disk();
  if (done) return {};
  const int code = done.error().code;
  const std::string name = device_name(device);
  if (code == EINVAL) return refuse(code, name + " has no disksize yet; set it first");
  return refuse(code, fmt::format("{} gets no disk ({}); its pages are safe, try again", name,
                                  errno_name(code)));
}

InputResult<std::vector<std::string>> Daemon::swap_on(Device& device, const SwapRequest& request) {
  const std::shared_ptr<Device> known = devices_->find(device.id());
  if (known.get() != &device) return refuse(ENODEV, "the device was removed meanwhile");
  return swap_.swap_on(known, request);
}

InputResult<void> Daemon::swap_off(Device& device) { return swap_.swap_off(device); }

std::vector<std::string> Daemon::reasons_to_stay(bool drops_pages) const {
  std::vector<std::string> reasons;
  const auto all = devices_->all();
  for (const std::shared_ptr<Device>& device : all) {
    // A disk that is the store of another one of ours goes after that one.
    if (find_uppers(all, *device).empty() && attachment_->is_claimed(*device)) {
      reasons.push_back(name_users(*device));
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
  std::vector<std::string> reasons = reasons_to_stay(drops_pages);
  const auto levels = stack_levels(devices_->all());
  for (auto level = levels.begin(); reasons.empty() && level != levels.end(); ++level) {
    // All disks go before any page does: what is removed is gone.
    if (const std::shared_ptr<Device> busy = take_disks(*level)) {
      reasons.push_back(name_users(*busy));
      break;
    }
    for (const std::shared_ptr<Device>& device : *level) {
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

std::shared_ptr<Device> Daemon::take_disks(const std::vector<std::shared_ptr<Device>>& devices) {
  std::vector<std::shared_ptr<Device>> taken;
  for (const std::shared_ptr<Device>& device : devices) {
    if (!device->is_initialised()) continue;
    if (device->detach_disk()) {
      taken.push_back(device);
      continue;
    }
    for (const std::shared_ptr<Device>& other : taken) {
      const InputResult<void> back = attach(*other);
      if (!back) spdlog::error("{}", back.error().text);
    }
    return device;
  }
  return nullptr;
}

}  // namespace uzram
