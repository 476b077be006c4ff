// SPDX-License-Identifier: Apache-2.0
#include "pager/pager.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "cluster/cluster_file.h"
#include "cluster/cluster_storage.h"
#include "pager/pager_core.h"
#include "pager/pager_set.h"
#include "pager/quiet_thread.h"

namespace uzram {
namespace {

Result<std::unique_ptr<ClusterFile>> open_file(const std::string& path, StorageMode mode) {
  auto storage = open_cluster_storage(path, mode);
  if (!storage) return tl::unexpected(storage.error());
  return ClusterFile::open(std::move(*storage), mode, {});
}

}  // namespace

Result<std::unique_ptr<Pager>> Pager::create(const PagerConfig& config) {
  auto core = PagerCore::create(config);
  if (!core) return tl::unexpected(core.error());
  if (const Result<void> added = PagerSet::add(**core); !added)
    return tl::unexpected(added.error());
  return std::unique_ptr<Pager>(new Pager(std::move(*core)));
}

Pager::Pager(std::unique_ptr<PagerCore> core) : core_(std::move(core)) {}

Pager::~Pager() {
  // In a child of fork() there are no threads to end, and locks may be held by those of the parent.
  if (core_->is_child()) {
    static_cast<void>(core_.release());
    return;
  }
  PagerSet::remove(*core_);
}

Result<std::byte*> Pager::make_region(std::uint64_t bytes, AccessHint hint) {
  if (core_->is_child()) return fail(EPERM);
  return core_->add_region(bytes, PageKindOf::Anonymous, hint, {});
}

Result<std::byte*> Pager::map_file(int descriptor, std::uint64_t offset, std::uint64_t bytes,
                                   AccessHint hint) {
  if (core_->is_child()) return fail(EPERM);
  if (offset % kPageBytes != 0) return fail(EINVAL);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) return fail_errno();
  FileDescriptor own(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
  if (!own.is_open()) return fail_errno();
  const auto size = static_cast<std::uint64_t>(status.st_size);
  return core_->add_region(bytes, PageKindOf::File, hint,
                           {std::move(own), offset, size > offset ? size - offset : 0});
}

Result<std::byte*> Pager::map_cluster_file(std::shared_ptr<ClusterFile> file, std::uint64_t offset,
                                           std::uint64_t bytes, MapSharing sharing,
                                           AccessHint hint) {
  if (core_->is_child()) return fail(EPERM);
  if (file == nullptr || offset % kPageBytes != 0) return fail(EINVAL);
  const SignalsBlocked blocked;
  return core_->add_cluster_region(std::move(file), offset, bytes, sharing, hint);
}

Result<std::byte*> Pager::map_cluster_file(const std::string& path, std::uint64_t offset,
                                           std::uint64_t bytes, MapSharing sharing,
                                           AccessHint hint) {
  auto file =
      open_file(path, sharing == MapSharing::Shared ? StorageMode::Write : StorageMode::Read);
  if (!file) return tl::unexpected(file.error());
  return map_cluster_file(std::shared_ptr<ClusterFile>(std::move(*file)), offset, bytes, sharing,
                          hint);
}

Result<std::uint64_t> Pager::cluster_file_bytes(const std::string& path) {
  const auto file = open_file(path, StorageMode::Read);
  if (!file) return tl::unexpected(file.error());
  return (*file)->size_bytes();
}

Result<void> Pager::close_region(std::byte* start) {
  if (core_->is_child()) return fail(EPERM);
  const SignalsBlocked blocked;
  return core_->close_region(start, true);
}

Result<void> Pager::abandon_region(std::byte* start) {
  if (core_->is_child()) return fail(EPERM);
  const SignalsBlocked blocked;
  return core_->close_region(start, false);
}

Result<void> Pager::prefetch(const void* start, std::uint64_t bytes) {
  if (core_->is_child()) return fail(EPERM);
  const SignalsBlocked blocked;
  return core_->range_of(start, bytes, false).and_then([this](PagerCore::PageRange range) {
    return core_->prefetch(range);
  });
}

Result<void> Pager::drop(void* start, std::uint64_t bytes) {
  if (core_->is_child()) return fail(EPERM);
  const SignalsBlocked blocked;
  return core_->range_of(start, bytes, true).and_then([this](PagerCore::PageRange range) {
    return core_->drop(range);
  });
}

Result<void> Pager::sync(const void* start, std::uint64_t bytes) {
  if (core_->is_child()) return fail(EPERM);
  const SignalsBlocked blocked;
  return core_->range_of(start, bytes, false).and_then([this](PagerCore::PageRange range) {
    return core_->sync(range);
  });
}

Result<void> Pager::pin(const void* start, std::uint64_t bytes, bool for_write) {
  if (core_->is_child()) return fail(EPERM);
  const SignalsBlocked blocked;
  return core_->range_of(start, bytes, false).and_then([&](PagerCore::PageRange range) {
    return core_->pin(range, for_write);
  });
}

Result<void> Pager::unpin(const void* start, std::uint64_t bytes) {
  if (core_->is_child()) return fail(EPERM);
  const SignalsBlocked blocked;
  return core_->range_of(start, bytes, false).and_then([this](PagerCore::PageRange range) {
    return core_->unpin(range);
  });
}

Result<void> Pager::page_out(const void* start, std::uint64_t bytes) {
  if (core_->is_child()) return fail(EPERM);
  const SignalsBlocked blocked;
  return core_->range_of(start, bytes, false).and_then([this](PagerCore::PageRange range) {
    return core_->page_out(range);
  });
}

Result<void> Pager::advise(const void* start, AccessHint hint) {
  if (core_->is_child()) return fail(EPERM);
  return core_->range_of(start, 1, false).and_then([&](PagerCore::PageRange range) -> Result<void> {
    core_->regions().region_of(range.first)->hint.store(hint, std::memory_order_relaxed);
    return {};
  });
}

Result<void> Pager::set_memory_limit(std::uint64_t bytes) { return core_->set_memory_limit(bytes); }
Result<void> Pager::set_page_cluster(unsigned page_cluster) {
  return core_->set_page_cluster(page_cluster);
}
Result<void> Pager::set_swappiness(unsigned swappiness) {
  return core_->set_swappiness(swappiness);
}

PagerStats Pager::stats() const { return core_->stats(); }
PagerBackend Pager::backend() const { return core_->backend_kind(); }
bool Pager::contains(const void* address) const { return core_->contains(address); }

bool Pager::handle_fault(int signal, siginfo_t* info, void* context) {
  const int code = errno;
  const SignalsBlocked blocked;
  const bool is_ours = PagerSet::handle_fault(signal, *info, context);
  errno = code;
  return is_ours;
}

void Pager::check_invariants() { core_->check_invariants(); }

}  // namespace uzram
