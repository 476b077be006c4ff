// SPDX-License-Identifier: Apache-2.0
// An array of 256 MiB in a program that pays for 64 MiB of it.
//   c++ -std=c++20 big_array.cc $(pkg-config --cflags --libs uzram) -o big_array && ./big_array
#include <uzram/pager.h>

#include <cstdio>
#include <cstring>

int main() {
  uzram::PagerConfig config;
  config.memory_limit_bytes = 64 << 20;
  auto pager = uzram::Pager::create(config);
  if (!pager) return std::fprintf(stderr, "no pager: %s\n", std::strerror(pager.error().code)), 1;

  constexpr std::size_t kCount = (256 << 20) / sizeof(long);
  auto region = (*pager)->make_region(kCount * sizeof(long));
  if (!region) return std::fprintf(stderr, "no room: %s\n", std::strerror(region.error().code)), 1;

  // From here on it is memory like any other.
  long* const numbers = reinterpret_cast<long*>(*region);
  for (std::size_t i = 0; i < kCount; ++i) numbers[i] = static_cast<long>(i / 100);
  long sum = 0;
  for (std::size_t i = 0; i < kCount; ++i) sum += numbers[i];

  const uzram::PagerStats stats = (*pager)->stats();
  std::printf("sum %ld, %llu MiB of 256 paid for\n", sum,
              static_cast<unsigned long long>(stats.total_bytes() >> 20));
}
