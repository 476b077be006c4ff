// SPDX-License-Identifier: Apache-2.0
#include "pool/size_classes.h"

namespace uzram {
namespace {

std::string broken(std::size_t class_index, const char* rule) {
  return "class " + std::to_string(class_index) + ": " + rule;
}

}  // namespace

std::string validate_size_classes(const SizeClassTable& table) {
  for (std::size_t i = 1; i <= kClassCount; ++i) {
    const SizeClass& row = table[i];
    if (row.object_bytes != i * kClassStepBytes)
      return broken(i, "object_bytes is not 16 times the index");
    if (row.page_count < 1 || row.page_count > kSpanPages)
      return broken(i, "page_count is not in [1, 64]");
    if (row.object_count < 1 || row.object_count > kSpanMostObjects)
      return broken(i, "object_count is not in [1, 256]");
    const std::size_t used = std::size_t{row.object_bytes} * row.object_count;
    const std::size_t span = std::size_t{row.page_count} * kPageBytes;
    if (used > span) return broken(i, "objects reach beyond the span's pages");
    if (used + kPageBytes <= span) return broken(i, "a whole page of the span is never used");
    // Share of a span that no object can use. Only the largest classes come near to it.
    if ((span - used) * 100 > span * 2) return broken(i, "more than 2 % of a span is wasted");
  }
  return {};
}

}  // namespace uzram
