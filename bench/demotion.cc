// SPDX-License-Identifier: Apache-2.0
#include "bench/demotion.h"

#include <cstdio>

namespace uzram::bench {

std::optional<Stage> Stage::parse(const std::string& text) {
  Stage stage;
  char behind = 0;
  const int found =
      std::sscanf(text.c_str(), "%zu:%d%c", &stage.cluster_pages, &stage.level, &behind);
  return found == 2 ? std::optional(stage) : std::nullopt;
}

std::string Stage::text() const {
  return std::to_string(cluster_pages) + ":" + std::to_string(level);
}

Result<BackgroundOutcome> demote(Device& device, Stage stage) {
  if (const Result<void> marked = device.mark_idle(std::nullopt); !marked)
    return fail(marked.error().code);
  ClusterRequest request;
  request.pages.type = PageType::Idle;
  request.cluster_pages = stage.cluster_pages;
  request.level = stage.level;
  return device.make_clusters(request);
}

}  // namespace uzram::bench
