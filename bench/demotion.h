// SPDX-License-Identifier: Apache-2.0
// bench/demotion.h: pages that nobody uses, packed together stage by stage, as the policy does it:
// all pages are marked idle, and those that are idle are packed.
#pragma once

#include <string>
#include <vector>

#include "device/device.h"

namespace uzram::bench {

struct Stage {
  std::size_t cluster_pages = 4;
  int level = 1;  // Of zstd.
  // "4:1" is 4 pages together at level 1. Returns: nullopt when it is not of this form.
  static std::optional<Stage> parse(const std::string& text);
  [[nodiscard]] std::string text() const;
};

// Errors: those of make_clusters.
Result<BackgroundOutcome> demote(Device& device, Stage stage);

}  // namespace uzram::bench
