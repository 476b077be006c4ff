// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/loop_device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "base/units.h"
#include "frontend/fuse/loop_queue.h"

namespace uzram {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kMostTries = 64;  // Somebody else may take the free device that we were told of.
constexpr milliseconds kPause{5};
constexpr milliseconds kLongestPause{100};
constexpr milliseconds kSizePatience{2000};
constexpr milliseconds kDetachPatience{500};
// Programs that claim the device for a moment: mkswap, wipefs.
constexpr milliseconds kClaimPatience{300};

// Calls until it is true or the time is over. Returns: whether it became true.
template <typename Condition>
bool wait_until(milliseconds patience, Condition condition) {
  const auto deadline = steady_clock::now() + patience;
  while (!condition()) {
    if (steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kPause);
  }
  return true;
}

Result<void> configure(int loop, int file, const std::string& name) {
  loop_config config{};
  config.fd = static_cast<std::uint32_t>(file);
  config.block_size = kPageBytes;
  config.info.lo_flags = LO_FLAGS_DIRECT_IO;
  const std::size_t count = std::min(name.size(), sizeof(config.info.lo_file_name) - 1);
  std::memcpy(config.info.lo_file_name, name.data(), count);
  if (::ioctl(loop, LOOP_CONFIGURE, &config) != 0) return fail_errno();
  return {};
}

bool has_size(const FileDescriptor& node, std::uint64_t bytes) {
  std::uint64_t size = 0;
  return ::ioctl(node.get(), BLKGETSIZE64, &size) == 0 && size == bytes;
}

// Somebody else has it open: takes back that it goes with the last one who closes it. `node` keeps
// the device from going meanwhile.
Result<void> stay_attached(int node) {
  loop_info64 info{};
  if (::ioctl(node, LOOP_GET_STATUS64, &info) != 0) return fail_errno();
  info.lo_flags &= ~std::uint32_t{LO_FLAGS_AUTOCLEAR};
  if (::ioctl(node, LOOP_SET_STATUS64, &info) != 0) return fail_errno();
  return {};
}

// A number that is not free any more is a number like any other.
bool is_taken(const Error& error) { return error.code == EBUSY || error.code == ENXIO; }

}  // namespace

// --- attach ------------------------------------------------------------------------------------

Result<void> LoopDevice::ensure_node() {
  const Result<bool> is_made = ensure_loop_node(binding_.index);
  if (!is_made) return tl::unexpected(is_made.error());
  has_own_node_ |= *is_made;
  return {};
}

// Requires: binding_.index is the number to take.
Result<void> LoopDevice::bind(int file, const std::string& name) {
  struct stat status {};
  if (::fstat(file, &status) != 0) return fail_errno();
  if (const Result<void> there = ensure_node(); !there) return there;
  const FileDescriptor node(::open(binding_.path().c_str(), O_RDWR | O_CLOEXEC));
  if (!node.is_open()) return fail_errno();
  if (const Result<void> done = configure(node.get(), file, name); !done) return done;
  const Result<LoopBinding> binding = LoopBinding::read(node.get());
  if (!binding) return tl::unexpected(binding.error());
  binding_ = *binding;
  is_attached_ = true;
  const auto bytes = static_cast<std::uint64_t>(status.st_size);
  if (!wait_until(kSizePatience, [&] { return has_size(node, bytes); })) return fail(EIO);
  set_up_loop_queue(node.get());
  return {};
}

Result<std::unique_ptr<LoopDevice>> LoopDevice::attach(int file, const std::string& name,
                                                       int former_index) {
  const FileDescriptor control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control.is_open()) return fail_errno();
  for (int i = 0; i < kMostTries; ++i) {
    const bool wants_former = i == 0 && former_index >= 0;
    const int index = wants_former ? former_index : ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (index < 0) return fail_errno();
    std::unique_ptr<LoopDevice> loop(new LoopDevice);
    loop->binding_.index = index;
    const Result<void> bound = loop->bind(file, name);
    if (bound) return loop;
    if (!wants_former && !is_taken(bound.error())) return tl::unexpected(bound.error());
  }
  return fail(EBUSY);
}

// --- detach ------------------------------------------------------------------------------------

LoopDevice::~LoopDevice() {
  detach_by_force();
  forget();
}

void LoopDevice::forget() {
  is_attached_ = false;
  if (has_own_node_) ::unlink(binding_.path().c_str());
  has_own_node_ = false;
}

// All on one descriptor: while it is open the number is nobody else's.
Result<LoopDevice::Attempt> LoopDevice::try_detach(const std::function<void()>& before_free) {
  if (!binding_.is_current()) return Attempt::Lost;
  if (const Result<void> there = ensure_node(); !there) return tl::unexpected(there.error());
  {
    // A mounted device and one used for swap refuse this, and nobody can start either meanwhile.
    const Result<FileDescriptor> claim = binding_.open(O_RDONLY | O_EXCL);
    if (!claim && claim.error().code == ENODEV) return Attempt::Lost;
    if (!claim && claim.error().code == EBUSY) {
      return binding_.is_current() ? Attempt::Claimed : Attempt::Lost;
    }
    if (!claim) return tl::unexpected(claim.error());
    if (::ioctl(claim->get(), LOOP_CLR_FD) != 0) {
      if (errno == ENXIO) return Attempt::Lost;
      return fail_errno();
    }
    // With one opener, us, it is past return: nobody can open it until we close it.
    const Result<LoopBinding> now = LoopBinding::read(claim->get());
    if (now && *now == binding_) {
      const Result<void> stays = stay_attached(claim->get());
      if (!stays) return tl::unexpected(stays.error());
      return Attempt::Open;
    }
    if (!now) leave_loop_queue(claim->get());
    if (before_free) before_free();
  }
  // A child of ours that has not come to its exec yet may hold the descriptor for a moment.
  static_cast<void>(wait_until(kDetachPatience, [this] { return !binding_.is_current(); }));
  return Attempt::Gone;
}

Result<void> LoopDevice::detach(milliseconds patience, const std::function<void()>& before_free) {
  if (!is_attached_) return {};
  const bool was_there = binding_.is_current();
  const auto start = steady_clock::now();
  milliseconds pause = kPause;
  while (true) {
    const Result<Attempt> attempt = try_detach(before_free);
    if (!attempt) return tl::unexpected(attempt.error());
    if (*attempt == Attempt::Lost && was_there) leave_lost_loop_queue(binding_.index);
    if (*attempt == Attempt::Gone || *attempt == Attempt::Lost) break;
    const milliseconds most =
        *attempt == Attempt::Claimed ? std::min(patience, kClaimPatience) : patience;
    if (steady_clock::now() - start >= most) return fail(EBUSY);
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kLongestPause);
  }
  forget();
  return {};
}

void LoopDevice::detach_by_force() {
  if (!is_attached_) return;
  is_attached_ = false;
  {
    const Result<FileDescriptor> node = binding_.open(O_RDONLY);
    if (!node) return;
    leave_loop_queue(node->get());
    if (::ioctl(node->get(), LOOP_CLR_FD) != 0) return;
  }
  static_cast<void>(wait_until(kDetachPatience, [this] { return !binding_.is_current(); }));
}

}  // namespace uzram
