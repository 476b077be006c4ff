// SPDX-License-Identifier: Apache-2.0
#include "pager/reclaim_balance.h"

namespace uzram {

void ReclaimBalance::note_refault(PageKindOf kind, std::uint64_t resident_pages) {
  auto& cost = kind == PageKindOf::File ? file_cost_ : anonymous_cost_;
  cost.fetch_add(1, std::memory_order_relaxed);
  const std::uint64_t anonymous = anonymous_cost_.load(std::memory_order_relaxed);
  const std::uint64_t file = file_cost_.load(std::memory_order_relaxed);
  if ((anonymous + file) * 4 <= resident_pages) return;
  anonymous_cost_.store(anonymous / 2, std::memory_order_relaxed);
  file_cost_.store(file / 2, std::memory_order_relaxed);
}

PageKindOf ReclaimBalance::choose() {
  constexpr std::uint64_t kTurn = std::uint64_t{1} << 32;
  const double anonymous = static_cast<double>(anonymous_cost_.load(std::memory_order_relaxed));
  const double file = static_cast<double>(file_cost_.load(std::memory_order_relaxed));
  const double swappiness = swappiness_.load(std::memory_order_relaxed);
  // A kind that has cost much is wanted less. The sum keeps a single refault from deciding all.
  const double total = anonymous + file;
  const double anonymous_part = swappiness * (total + 1) / (anonymous + total + 1);
  const double file_part = (kMostSwappiness - swappiness) * (total + 1) / (file + total + 1);
  const double share = anonymous_part / (anonymous_part + file_part);
  const auto step = static_cast<std::uint64_t>(share * static_cast<double>(kTurn));
  const std::uint64_t before = credit_.fetch_add(step, std::memory_order_relaxed);
  return (before + step) / kTurn != before / kTurn ? PageKindOf::Anonymous : PageKindOf::File;
}

}  // namespace uzram
