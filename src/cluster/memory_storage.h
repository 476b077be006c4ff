// SPDX-License-Identifier: Apache-2.0
// cluster/memory_storage.h: a cluster file's storage in memory, which tests can fail and crash.
//
// What:    keeps every change since the last sync, so that a test can ask what a crash may leave:
//          all that was synced, and any part of what came after it, in order; a write perhaps torn.
// Errors:  the change after `changes_until_failure` others fails with `failure`, and so do all that
//          follow unless `fails_once`.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "base/random.h"
#include "cluster/cluster_storage.h"

namespace uzram {

// What is shared by the storages over one imaginary file.
struct MemoryDisk {
  Mutex mutex;  // Of changes that run at the same time; a test looks when nothing runs.

  struct Change {
    std::uint64_t offset = 0;
    std::vector<std::byte> bytes = {};                       // Written there; or,
    std::optional<std::uint64_t> size = std::nullopt;        // the size set; or,
    std::optional<std::uint64_t> zero_bytes = std::nullopt;  // a hole punched.
  };

  std::vector<std::byte> bytes;    // As a reader sees it now.
  std::vector<std::byte> durable;  // As of the last sync.
  std::vector<Change> unsynced;
  std::function<void()> before_change;  // A test's moment to look, before each change or sync.
  std::optional<std::uint64_t> changes_until_failure;
  int failure = EIO;
  bool fails_once = false;
  std::uint64_t set_aside_bytes = 0;
  std::uint64_t most_bytes = ~std::uint64_t{0};  // The "disk" is full behind this offset.

  static void apply(const Change& change, std::vector<std::byte>& to) {
    if (change.size) {
      to.resize(*change.size);
      return;
    }
    const std::uint64_t bytes = change.zero_bytes.value_or(change.bytes.size());
    const std::uint64_t end = change.offset + bytes;
    if (change.zero_bytes) {
      for (std::uint64_t i = change.offset; i < std::min<std::uint64_t>(end, to.size()); ++i)
        to[i] = std::byte{0};
      return;
    }
    if (to.size() < end) to.resize(end);
    std::copy(change.bytes.begin(), change.bytes.end(),
              to.begin() + static_cast<std::ptrdiff_t>(change.offset));
  }

  // What a crash now may leave. `keep` decides for each change; the last one kept may be torn.
  [[nodiscard]] std::vector<std::byte> after_crash(Random& random, unsigned keep_percent) const {
    std::vector<std::byte> left = durable;
    for (const Change& change : unsynced) {
      if (random.below(100) >= keep_percent) continue;
      Change kept = change;
      // Torn anywhere, and often near the front, where a root slot says all that it says.
      if (!kept.bytes.empty() && random.below(4) == 0)
        kept.bytes.resize(random.below(std::min<std::size_t>(
            kept.bytes.size(), random.below(2) == 0 ? 64 : kept.bytes.size())));
      apply(kept, left);
    }
    return left;
  }
};

class MemoryStorage final : public ClusterStorage {
 public:
  explicit MemoryStorage(std::shared_ptr<MemoryDisk> disk) : disk_(std::move(disk)) {}

  Result<std::uint64_t> size_bytes() const override { return disk_->bytes.size(); }
  Result<void> read(std::uint64_t offset, MutableBytes out) const override {
    if (offset > disk_->bytes.size() || out.size() > disk_->bytes.size() - offset) return fail(EIO);
    std::copy_n(disk_->bytes.begin() + static_cast<std::ptrdiff_t>(offset), out.size(),
                out.begin());
    return {};
  }
  Result<void> write(std::uint64_t offset, ConstBytes bytes) override {
    if (offset + bytes.size() > disk_->most_bytes) return fail(ENOSPC);
    return change({.offset = offset, .bytes = {bytes.begin(), bytes.end()}});
  }
  Result<void> sync() override {
    if (auto allowed = count(); !allowed) return allowed;
    disk_->durable = disk_->bytes;
    disk_->unsynced.clear();
    return {};
  }
  Result<void> set_size(std::uint64_t bytes) override { return change({.size = bytes}); }
  Result<void> punch(std::uint64_t offset, std::uint64_t bytes) override {
    return change({.offset = offset, .zero_bytes = bytes});
  }
  Result<void> set_aside(std::uint64_t offset, std::uint64_t bytes) override {
    if (offset + bytes > disk_->most_bytes) return fail(ENOSPC);
    disk_->set_aside_bytes += bytes;
    if (offset + bytes > disk_->bytes.size()) return set_size(offset + bytes);
    return {};
  }

 private:
  Result<void> count() {
    if (disk_->before_change) disk_->before_change();
    if (!disk_->changes_until_failure) return {};
    if (*disk_->changes_until_failure > 0) {
      --*disk_->changes_until_failure;
      return {};
    }
    if (disk_->fails_once) disk_->changes_until_failure.reset();
    return fail(disk_->failure);
  }
  Result<void> change(MemoryDisk::Change made) {
    const MutexLock lock(disk_->mutex);
    if (auto allowed = count(); !allowed) return allowed;
    MemoryDisk::apply(made, disk_->bytes);
    disk_->unsynced.push_back(std::move(made));
    return {};
  }

  const std::shared_ptr<MemoryDisk> disk_;
};

}  // namespace uzram
