/* SPDX-License-Identifier: Apache-2.0
 * Four threads that count in 36 MiB at once, each in its own words of every page, allocate and free
 * on the way, and end with a sum that does not depend on who came first. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kThreads = 4, kWords = 36 << 17, kSteps = 25000 };
static unsigned long *words;

static void *count(void *given) {
  const unsigned long own = (unsigned long)given;
  unsigned long state = own + 1;
  unsigned long wrong = 0;
  for (int i = 0; i < kSteps; ++i) {
    state = state * 6364136223846793005UL + 1442695040888963407UL;
    words[(state >> 33) % (kWords / kThreads) * kThreads + own] += i;
    if (i % 100 != 0) continue;
    const size_t bytes = 4096 + (state >> 40) % 100000;
    unsigned char *block = malloc(bytes);
    memset(block, (int)own + 1, bytes);
    for (size_t j = 0; j < bytes; j += 997) wrong += block[j] != own + 1;
    free(block);
  }
  return (void *)wrong;
}

int main(void) {
  pthread_t threads[kThreads];
  unsigned long sum = 0;
  words = calloc(kWords, sizeof *words);
  for (unsigned long i = 0; i < kWords; ++i) words[i] = i / 4096;
  for (unsigned long i = 0; i < kThreads; ++i)
    pthread_create(&threads[i], NULL, count, (void *)i);
  for (int i = 0; i < kThreads; ++i) {
    void *wrong = NULL;
    pthread_join(threads[i], &wrong);
    sum += (unsigned long)wrong;
  }
  for (unsigned long i = 0; i < kWords; ++i) sum = sum * 31 + words[i];
  printf("%lu\n", sum);
  return 0;
}
