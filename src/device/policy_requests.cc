// SPDX-License-Identifier: Apache-2.0
#include "device/policy_requests.h"

#include "base/check.h"
#include "policy/eligible.h"

namespace uzram {
namespace {

static_assert(kAgeCount == kPageAges);

PageForm form_of(SlotForm form, const PolicySettings& settings) {
  switch (form) {
    case SlotForm::Packed:
      return PageForm::Packed;
    case SlotForm::Recompressed:
      return PageForm::Recompressed;
    case SlotForm::Raw:
      return PageForm::Raw;
    case SlotForm::Incompressible:
      return PageForm::Incompressible;
    case SlotForm::Cluster2:
      return cluster_form(settings, 2);
    case SlotForm::Cluster4:
      return cluster_form(settings, 4);
    case SlotForm::Cluster8:
      return cluster_form(settings, 8);
    case SlotForm::Cluster16:
      return cluster_form(settings, 16);
    case SlotForm::Cluster32:
      return cluster_form(settings, 32);
    case SlotForm::WrittenBack:
      break;
  }
  return PageForm::WrittenBack;
}

PageFilter filter_of(const PolicyStep& step) {
  PageFilter filter;
  filter.least_age = step.age;
  filter.below_age = step.below_age;
  if (step.stage == Stage::WriteBack && step.pick == WritebackPick::Huge)
    filter.type = PageType::HugeOrIncompressible;
  return filter;
}

}  // namespace

PageCensus page_census(const SlotCensus& slots, const PolicySettings& settings) {
  PageCensus census;
  for (std::size_t form = 0; form < kSlotFormCount; ++form) {
    for (int age = 0; age < kPageAges; ++age)
      census.at(form_of(static_cast<SlotForm>(form), settings), age) +=
          slots[form][static_cast<std::size_t>(age)];
  }
  return census;
}

AgeSweep age_sweep(const PolicyStep& step) {
  UZ_CHECK(step.stage == Stage::Idle);
  AgeSweep sweep;
  sweep.is_restart = step.is_restart;
  if (step.is_restart) return sweep;
  sweep.advancing = step.advancing;
  sweep.idle_age = step.age;
  return sweep;
}

RecompressRequest recompress_request(const PolicyStep& step) {
  UZ_CHECK(step.stage == Stage::Recompress);
  RecompressRequest request;
  request.pages = filter_of(step);
  request.priority = step.priority;
  request.most_pages = step.max_pages;
  request.most_cpu = step.max_cpu;
  return request;
}

ClusterRequest cluster_request(const PolicyStep& step, PageIndex first) {
  UZ_CHECK(step.cluster_pages > 0);
  ClusterRequest request;
  request.pages = filter_of(step);
  request.cluster_pages = static_cast<std::size_t>(step.cluster_pages);
  request.level = step.level;
  // Whole clusters: the last one of a step would lack neighbours.
  request.most_pages = step.max_pages;
  if (step.max_pages > request.cluster_pages)
    request.most_pages = step.max_pages / request.cluster_pages * request.cluster_pages;
  request.most_cpu = step.max_cpu;
  request.first = first;
  return request;
}

WritebackRequest writeback_request(const PolicyStep& step, PageIndex first) {
  UZ_CHECK(step.stage == Stage::WriteBack);
  WritebackRequest request;
  request.pages = filter_of(step);
  request.most_pages = step.max_pages;
  request.most_blocks = step.max_bytes / kPageBytes;
  request.most_cpu = step.max_cpu;
  request.first = first;
  return request;
}

}  // namespace uzram
