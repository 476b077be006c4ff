// SPDX-License-Identifier: Apache-2.0
#include "policy/policy_snapshot.h"

namespace uzram {

std::uint64_t PageCensus::between(PageForm form, int youngest, int oldest) const {
  std::uint64_t sum = 0;
  const auto& ages = pages[static_cast<std::size_t>(form)];
  for (int age = youngest; age <= oldest; ++age) sum += ages[static_cast<std::size_t>(age)];
  return sum;
}

std::uint64_t PageCensus::in_memory() const {
  std::uint64_t sum = 0;
  for (int form = 0; form < static_cast<int>(PageForm::WrittenBack); ++form) {
    sum += between(static_cast<PageForm>(form), 0, kOldestAge);
  }
  return sum;
}

}  // namespace uzram
