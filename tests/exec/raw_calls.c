/* SPDX-License-Identifier: Apache-2.0
 * A program whose system calls do not go through libc: their buffers lie in memory that has just
 * been put away. Prints a line for each: what it did, or that the kernel did not find its memory. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { kMebi = 1 << 20, kFaultCode = 14 };
static unsigned char *area;
static unsigned char spare[65536];

static long call(long number, long a, long b, long c, long d, long e) {
  long result = 0;
#if defined(__x86_64__)
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = 0;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = 0;
  __asm__ volatile("svc 0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory");
  result = x0;
#endif
  return result;
}

static void put_away(void) { madvise(area, 16 * kMebi, MADV_PAGEOUT); }
static unsigned char at(int i) { return (unsigned char)(i * 31 >> 5); }
static void say(const char *what, long result, long wanted, int is_right) {
  if (result == -kFaultCode)
    printf("%s: EFAULT\n", what);
  else
    printf("%s: %s (%ld)\n", what, result == wanted && is_right ? "right" : "WRONG", result);
}

int main(void) {
  area = mmap(NULL, 16 * kMebi, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 16 * kMebi; ++i) area[i] = at(i);
  char name[] = "/tmp/uzram-raw-XXXXXX";
  const int file = mkstemp(name);
  unlink(name);

  put_away();
  long done = call(SYS_pwrite64, file, (long)area, 65536, 0, 0);
  say("write", done, 65536, 1);
  for (int i = 0; i < (int)sizeof spare; ++i) spare[i] = at(i);
  if (pwrite(file, spare, sizeof spare, 0) != sizeof spare) return 1;
  put_away();
  done = call(SYS_pread64, file, (long)(area + 8 * kMebi), 65536, 0, 0);
  int is_right = 1;
  for (int i = 0; i < 65536; ++i) is_right &= done < 0 || area[8 * kMebi + i] == at(i);
  say("read", done, 65536, is_right);

  int *const word = (int *)(area + 4 * kMebi);
  *word = 7;
  put_away();
  say("futex", call(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, 8, 0, 0), -EAGAIN, 1);

  put_away();
  say("getrandom", call(SYS_getrandom, (long)(area + 5 * kMebi), 3000, 0, 0, 0), 3000, 1);

  struct iovec to = {spare, sizeof spare};
  struct iovec from = {area + 2 * kMebi, sizeof spare};
  put_away();
  done = call(SYS_process_vm_readv, getpid(), (long)&to, 1, (long)&from, 1);
  is_right = 1;
  for (int i = 0; i < (int)sizeof spare; ++i) is_right &= done < 0 || spare[i] == at(2 * kMebi + i);
  say("process_vm_readv", done, sizeof spare, is_right);
  return 0;
}
