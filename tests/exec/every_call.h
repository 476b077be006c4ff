/* SPDX-License-Identifier: Apache-2.0
 * For programs that call libc by name, with everything that they hand to the kernel in memory that
 * has just been put away, across the end of a page. They print a line a name: "name: right". A row
 * may have several names, whose functions take the same arguments. */
#pragma once
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kMebi = 1 << 20, kArea = 4 * kMebi };
static char* area;
static char folder[64];
static const char* name_now;
static void* function;
static int failed;

static inline void put_away(void) { madvise(area, kArea, MADV_PAGEOUT); }
/* The n-th place: 24 bytes before the end of a page. */
static inline void* place(int n) { return area + n * 32768 + 4096 - 24; }
static inline void* put(int n, const void* bytes, size_t count) {
  return memcpy(place(n), bytes, count);
}
static inline char* put_text(int n, const char* text) { return put(n, text, strlen(text) + 1); }
/* A path in the test's folder. */
static inline char* put_path(int n, const char* name) {
  char text[256];
  snprintf(text, sizeof text, "%s/%s", folder, name);
  return put_text(n, text);
}
static inline void touch_file(const char* name) {
  char text[256];
  snprintf(text, sizeof text, "%s/%s", folder, name);
  const int file = open(text, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (write(file, "0123456789", 10) != 10) failed = 1;
  close(file);
}
static inline int open_file(const char* name) {
  char text[256];
  snprintf(text, sizeof text, "%s/%s", folder, name);
  return open(text, O_RDWR | O_CLOEXEC);
}
static inline void say(int is_right) {
  if (!is_right) failed = 1;
  printf("%s: %s", name_now, is_right ? "right\n" : "WRONG ");
  if (!is_right) printf("(%s)\n", strerror(errno));
  fflush(stdout);
}

/* The function under test, after its memory has been put away. */
#define CALL(type, ...) (put_away(), errno = 0, ((type(*)())function)(__VA_ARGS__))

struct Row {
  const char* names;
  void (*test)(void);
};

static void run_rows(const struct Row* rows, size_t count) {
  area = mmap(NULL, kArea, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(area, 1, kArea);
  touch_file("data");
  touch_file("spare");
  for (size_t i = 0; i < count; ++i) {
    char names[512];
    strcpy(names, rows[i].names);
    char* rest = NULL;
    for (char* name = strtok_r(names, " ", &rest); name != NULL;
         name = strtok_r(NULL, " ", &rest)) {
      name_now = name;
      function = dlsym(RTLD_DEFAULT, name);
      if (function != NULL) rows[i].test(); /* Otherwise not in this libc. */
    }
  }
}

/* The program; its only argument is a folder for its files. */
#define RUN_ROWS(rows)                                             \
  int main(int count, char** words) {                              \
    if (count != 2 || strlen(words[1]) >= sizeof folder) return 2; \
    strcpy(folder, words[1]);                                      \
    run_rows(rows, sizeof rows / sizeof rows[0]);                  \
    return failed;                                                 \
  }
