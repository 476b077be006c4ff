// SPDX-License-Identifier: Apache-2.0
// Any bytes as a stream of commands for a pager, against a plain copy of memory.
#include <cstdio>
#include <cstdlib>

#include "pager/pager_model.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kMostCommands = 300;
  constexpr uzram::PagerBackend kBackends[] = {
      uzram::PagerBackend::Move, uzram::PagerBackend::Protect, uzram::PagerBackend::Signal,
      uzram::PagerBackend::Strict};
  if (size < 2) return 0;
  uzram::PagerConfig config = uzram::PagerModel::config_from(data[0], kBackends[data[1] % 4]);
  auto pager = uzram::Pager::create(config);
  // A machine without userfaultfd, or a user without the privilege, plays everything on the one
  // that is always there.
  if (!pager) {
    config = uzram::PagerModel::config_from(data[0], uzram::PagerBackend::Signal);
    pager = uzram::Pager::create(config);
  }
  if (!pager) std::abort();
  uzram::PagerModel model(**pager, config);
  std::string difference;
  std::size_t at = 2;
  for (std::size_t i = 0; i < kMostCommands && at + uzram::kPagerCommandBytes <= size; ++i) {
    difference = model.run(uzram::pager_command_from(data + at));
    if (!difference.empty()) break;
    at += uzram::kPagerCommandBytes;
  }
  if (difference.empty()) difference = model.compare_all();
  if (difference.empty()) return 0;
  std::fprintf(stderr, "command %zu: %s\n", (at - 2) / uzram::kPagerCommandBytes,
               difference.c_str());
  std::abort();
}
