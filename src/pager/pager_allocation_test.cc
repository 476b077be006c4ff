// SPDX-License-Identifier: Apache-2.0
// A fault, and all that it has to do, allocates nothing: malloc itself may be what has the fault.
#include <cstdlib>
#include <new>

#include "pager/pager_fixture.h"

namespace {

// Of this thread: background threads may do as they like.
thread_local bool is_counting = false;
thread_local int allocations_while_counting = 0;

void* allocate_and_count(std::size_t bytes) {
  if (is_counting) ++allocations_while_counting;
  if (void* const made = std::malloc(bytes == 0 ? 1 : bytes)) return made;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate_and_count(bytes); }
void* operator new[](std::size_t bytes) { return allocate_and_count(bytes); }
void operator delete(void* place) noexcept { std::free(place); }
void operator delete[](void* place) noexcept { std::free(place); }
void operator delete(void* place, std::size_t) noexcept { std::free(place); }
void operator delete[](void* place, std::size_t) noexcept { std::free(place); }

namespace uzram {
namespace {

class PagerAllocation : public EveryBackend {};
INSTANTIATE_TEST_SUITE_P(Backends, PagerAllocation,
                         ::testing::Values(PagerBackend::Move, PagerBackend::Protect,
                                           PagerBackend::Signal),
                         backend_name);

TEST_P(PagerAllocation, DoesNotHappenInFaults) {
  PagerConfig alone = config();
  alone.compressor_threads = 0;  // So that this thread does everything.
  UZ_MAKE_PAGER(*this, alone);
  constexpr std::uint64_t kPages = 3000;
  std::byte* const start = region(kPages * kPageBytes);
  is_counting = true;
  fill(start, kPages);
  const std::uint64_t wrong = first_wrong(start, kPages);
  fill(start, kPages, 5);
  is_counting = false;
  EXPECT_EQ(wrong, kPages);
  EXPECT_GT(pager().stats().assisted_pages, kPages);
  EXPECT_EQ(allocations_while_counting, 0);
}

}  // namespace
}  // namespace uzram
