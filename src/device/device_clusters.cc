// SPDX-License-Identifier: Apache-2.0
// Pages that are packed together as they are written.
#include "device/device_running.h"

namespace uzram {

Result<std::unique_ptr<ClusterWriter>> Device::make_cluster_writer(Store& store,
                                                                   std::size_t lane_count) {
  constexpr int kStandardLevel = 3;
  std::size_t pages = 0;
  {
    MutexLock lock(settings_mutex_);
    pages = settings_.written_cluster_pages;
  }
  if (pages == 0) return nullptr;
  const CodecChoice& codec = store.config().codecs[0];
  if (codec.info != find_codec("zstd")) return fail(EINVAL);
  return ClusterWriter::make(store, pages, codec.params.level.value_or(kStandardLevel), lane_count);
}

Result<ClusterWriteOutcome> Device::write_together(std::span<const PageToWrite> pages,
                                                   PageKeeper& keeper) {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket || running_->cluster_writer == nullptr) return fail(EINVAL);
  for (const PageToWrite& page : pages)
    if (const Result<void> inside = check_range(page.page.value * kPageBytes, kPageBytes); !inside)
      return tl::unexpected(inside.error());
  const CountedRequest counted(*counters_, RequestKind::Write, pages.size() * kPageBytes);
  const Result<ClusterWriteOutcome> done = running_->cluster_writer->write(pages, keeper);
  running_->maintenance.poke();
  if (!done) counters_->failed_writes.fetch_add(1, std::memory_order_relaxed);
  return done;
}

}  // namespace uzram
