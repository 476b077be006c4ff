// SPDX-License-Identifier: Apache-2.0
// An array of 256 MiB in a program that pays for 64 MiB of it.
//   cc big_array.c $(pkg-config --cflags --libs uzram) -o big_array && ./big_array
#include <stdio.h>
#include <uzram.h>

int main(void) {
  struct uzram_pager_options options;
  uzram_pager_options_init(&options, 64 << 20);
  uzram_pager* pager = uzram_pager_open(&options);
  if (pager == NULL) return perror("no pager"), 1;

  const size_t count = (256 << 20) / sizeof(long);
  long* numbers = uzram_region_make(pager, count * sizeof(long), UZRAM_HINT_NORMAL);
  if (numbers == NULL) return perror("no memory"), 1;

  // From here on it is memory like any other.
  for (size_t i = 0; i < count; ++i) numbers[i] = (long)(i / 100);
  long sum = 0;
  for (size_t i = 0; i < count; ++i) sum += numbers[i];

  struct uzram_pager_stats stats = {.struct_bytes = sizeof stats};
  uzram_pager_get_stats(pager, &stats);
  printf("sum %ld, %llu MiB of 256 paid for\n", sum, (unsigned long long)(stats.total_bytes >> 20));
  uzram_pager_close(pager);
  return 0;
}
