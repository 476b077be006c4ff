// SPDX-License-Identifier: Apache-2.0
// What each size class holds, for people who look.
#include "pool/pool.h"

namespace uzram {

std::unique_ptr<ClassUses> Pool::class_uses() const {
  auto uses = std::make_unique<ClassUses>();
  const std::uint32_t count = touched_span_count();
  for (std::uint32_t index = 0; index < count; ++index) {
    const Span& span = spans_[index];
    const std::uint16_t class_index = span.class_index.load(std::memory_order_relaxed);
    if (class_index == 0) continue;
    const MutexLock lock(classes_[class_index].mutex);
    if (span.class_index.load(std::memory_order_relaxed) != class_index) continue;
    const std::size_t places = kSizeClasses[class_index].object_count;
    const std::size_t tenth =
        span.used_count == places ? ClassUse::kShareCount - 1 : span.used_count * 10U / places;
    ClassUse& use = (*uses)[class_index];
    ++use.spans[tenth];
    use.places += places;
    use.objects += span.used_count;
    // What is resident ahead of need is no class's.
    use.resident_pages += count_pages(span.is_reserved ? span.live_pages : span.resident_pages);
  }
  for (std::size_t i = 1; i <= kClassCount; ++i) {
    ClassUse& use = (*uses)[i];
    use.object_bytes = kSizeClasses[i].object_bytes;
    use.span_pages = kSizeClasses[i].page_count;
    const std::uint64_t tight = tight_pages_for(kSizeClasses[i], use.objects);
    use.free_pages = use.resident_pages > tight ? use.resident_pages - tight : 0;
  }
  return uses;
}

}  // namespace uzram
