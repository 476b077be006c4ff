// SPDX-License-Identifier: Apache-2.0
// Writes a compressed file in capitals: `uzram cluster pack TEXT FILE` makes one. At most 8 MiB pay.
//   cc mapped_file.c $(pkg-config --cflags --libs uzram) -o mapped_file && ./mapped_file FILE
#include <stdio.h>
#include <uzram.h>

int main(int count, char** arguments) {
  uint64_t bytes = 0;
  if (count != 2) return fputs("mapped_file FILE\n", stderr), 2;
  if (uzram_cluster_file_bytes(arguments[1], &bytes) != 0) return perror(arguments[1]), 1;
  struct uzram_pager_options options;
  uzram_pager_options_init(&options, 8 << 20);
  uzram_pager* pager = uzram_pager_open(&options);
  if (pager == NULL) return perror("no pager"), 1;
  char* text = uzram_region_map_cluster_file(pager, arguments[1], 0, bytes, UZRAM_SHARED,
                                             UZRAM_HINT_SEQUENTIAL);
  if (text == NULL) return perror("no mapping"), 1;

  uint64_t changed = 0;
  for (uint64_t i = 0; i < bytes; ++i) {
    if (text[i] < 'a' || text[i] > 'z') continue;
    text[i] = (char)(text[i] - 'a' + 'A');
    ++changed;
  }
  if (uzram_region_close(pager, text) != 0) return perror("not written"), 1;
  printf("%llu of %llu bytes changed\n", (unsigned long long)changed, (unsigned long long)bytes);
  uzram_pager_close(pager);
  return 0;
}
