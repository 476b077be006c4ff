// SPDX-License-Identifier: Apache-2.0
#include "pager/probe.h"

#include <algorithm>
#include <cstddef>

#include "base/units.h"
#include "pager/pager_core.h"
#include "pager/uffd_backend.h"

namespace uzram {
namespace {

constexpr std::uint64_t kProbePages = 64;

// Touches pages that are away, each alone. Errors: EIO: other bytes came back.
Result<std::uint64_t> time_faults(Pager& pager, std::byte* start) {
  const bool has_faults = pager.backend() != PagerBackend::Explicit;
  std::array<std::uint64_t, kProbePages> nanoseconds{};
  for (std::uint64_t page = 0; page < kProbePages; ++page) {
    volatile std::byte* const place = start + page * kPageBytes;
    const std::uint64_t before = monotonic_nanoseconds();
    if (!has_faults) {
      if (const auto pinned = pager.pin(start + page * kPageBytes, 1); !pinned)
        return tl::unexpected(pinned.error());
    }
    if (*place != static_cast<std::byte>(page + 1)) return fail(EIO);
    nanoseconds[page] = monotonic_nanoseconds() - before;
    if (!has_faults) {
      if (const auto unpinned = pager.unpin(start + page * kPageBytes, 1); !unpinned)
        return tl::unexpected(unpinned.error());
    }
  }
  std::nth_element(nanoseconds.begin(), nanoseconds.begin() + kProbePages / 2, nanoseconds.end());
  return nanoseconds[kProbePages / 2];
}

Result<std::uint64_t> try_backend(PagerBackend backend) {
  PagerConfig config;
  config.memory_limit_bytes = kLeastLimitBytes;
  config.address_bytes = kClusterBytes;
  config.backend = backend;
  config.compressor_threads = 0;
  auto pager = Pager::create(config);
  if (!pager) return tl::unexpected(pager.error());
  const auto start = (*pager)->make_region(kProbePages * kPageBytes, AccessHint::Random);
  if (!start) return tl::unexpected(start.error());
  if (const auto pinned = (*pager)->pin(*start, kProbePages * kPageBytes); !pinned)
    return tl::unexpected(pinned.error());
  for (std::uint64_t page = 0; page < kProbePages; ++page)
    (*start)[page * kPageBytes] = static_cast<std::byte>(page + 1);
  const auto put_away =
      (*pager)->unpin(*start, kProbePages * kPageBytes).and_then([&]() -> Result<void> {
        return (*pager)->page_out(*start, kProbePages * kPageBytes);
      });
  if (!put_away) return tl::unexpected(put_away.error());
  return time_faults(**pager, *start);
}

}  // namespace

PagerBackend PagerProbe::automatic() const {
  for (const BackendProbe& each : backends)
    if (each.code == 0) return each.backend;
  return PagerBackend::Explicit;
}

PagerProbe probe_pager() {
  PagerProbe probe;
  constexpr std::array kBackends = {PagerBackend::Move, PagerBackend::Protect, PagerBackend::Signal,
                                    PagerBackend::Explicit, PagerBackend::Strict};
  for (std::size_t i = 0; i < kBackends.size(); ++i) {
    const auto tried = try_backend(kBackends[i]);
    probe.backends[i] = {kBackends[i], tried ? 0 : tried.error().code, tried ? *tried : 0};
  }
  const auto ability = open_uffd(UffdFaults::AsSignals);
  probe.userfaultfd_code = ability ? 0 : ability.error().code;
  probe.is_userfaultfd_device = ability && ability->is_device;
  return probe;
}

int strict_refusal() {
  const auto ability = open_uffd(UffdFaults::AsMessages);
  if (ability) return 0;
  return ability.error().code == EACCES ? EPERM : ability.error().code;
}

}  // namespace uzram
