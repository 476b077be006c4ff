// SPDX-License-Identifier: Apache-2.0
#include "policy/eligible.h"

namespace uzram {

namespace {

constexpr bool is_alone(PageForm form) {
  return form == PageForm::Packed || form == PageForm::Recompressed || form == PageForm::Raw;
}

}  // namespace

bool takes(Stage stage, WritebackPick pick, PageForm form) {
  switch (stage) {
    case Stage::Idle:
      return false;
    case Stage::Recompress:
      return form == PageForm::Packed || form == PageForm::Raw;
    case Stage::SmallCluster:
      return is_alone(form);
    case Stage::LargeCluster:
      return is_alone(form) || form == PageForm::SmallCluster;
    case Stage::DeepCluster:
      return is_alone(form) || form == PageForm::SmallCluster || form == PageForm::LargeCluster;
    case Stage::WriteBack:
      break;
  }
  if (pick == WritebackPick::Huge) return form == PageForm::Raw || form == PageForm::Incompressible;
  return form != PageForm::WrittenBack;
}

PageForm cluster_form(const PolicySettings& settings, int pages) {
  if (settings.deep.after && pages >= settings.deep.pages) return PageForm::DeepCluster;
  if (settings.large.after && pages >= settings.large.pages) return PageForm::LargeCluster;
  return PageForm::SmallCluster;
}

std::uint64_t eligible_pages(const PageCensus& census, Stage stage, WritebackPick pick, int age,
                             int below_age) {
  std::uint64_t sum = 0;
  for (int form = 0; form < kPageFormCount; ++form) {
    if (!takes(stage, pick, static_cast<PageForm>(form))) continue;
    sum += census.between(static_cast<PageForm>(form), age, below_age - 1);
  }
  return sum;
}

}  // namespace uzram
