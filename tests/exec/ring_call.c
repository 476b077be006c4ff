/* SPDX-License-Identifier: Apache-2.0
 * A read and a write through io_uring, whose buffers lie in memory that has just been put away: the
 * kernel works on them when nobody waits in a call. */
#define _GNU_SOURCE
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kMebi = 1 << 20, kBytes = 200000 };

static int ring_bytes(struct io_uring *ring, int is_read, int file, char *bytes) {
  struct io_uring_sqe *const entry = io_uring_get_sqe(ring);
  struct io_uring_cqe *done = NULL;
  if (is_read)
    io_uring_prep_read(entry, file, bytes, kBytes, 0);
  else
    io_uring_prep_write(entry, file, bytes, kBytes, 0);
  /* By a thread of the kernel, not in this call. */
  io_uring_sqe_set_flags(entry, IOSQE_ASYNC);
  if (io_uring_submit(ring) != 1 || io_uring_wait_cqe(ring, &done) != 0) return 0;
  const int result = done->res;
  io_uring_cqe_seen(ring, done);
  return result;
}

int main(void) {
  struct io_uring ring;
  if (io_uring_queue_init(4, &ring, 0) != 0) {
    printf("no io_uring\n");
    return 0;
  }
  char *const area =
      mmap(NULL, 4 * kMebi, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 4 * kMebi; ++i) area[i] = (char)(i * 31 >> 5);
  char name[] = "/tmp/uzram-ring-XXXXXX";
  const int file = mkstemp(name);
  unlink(name);
  madvise(area, 4 * kMebi, MADV_PAGEOUT);
  printf("write: %d\n", ring_bytes(&ring, 0, file, area));
  madvise(area, 4 * kMebi, MADV_PAGEOUT);
  printf("read: %d\n", ring_bytes(&ring, 1, file, area + 2 * kMebi));
  printf("%s\n", memcmp(area, area + 2 * kMebi, kBytes) == 0 ? "the same" : "others");
  return 0;
}
