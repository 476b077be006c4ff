/* SPDX-License-Identifier: Apache-2.0
 * A program that knows nothing of uzram: whatever it hands to the kernel lies in memory that has
 * just been put away. Prints a line for each thing that works. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kMebi = 1 << 20 };
extern char **environ;
static char *area;

static void put_away(void) { madvise(area, 16 * kMebi, MADV_PAGEOUT); }
static void fill(void) {
  for (int i = 0; i < 16 * kMebi; ++i) area[i] = (char)(i * 31 >> 5);
}
static int is_filled(int from, int to) {
  for (int i = from; i < to; ++i)
    if (area[i] != (char)(i * 31 >> 5)) return 0;
  return 1;
}
static void say(const char *what, int is) {
  printf("%s: %s (%d)\n", what, is ? "right" : "WRONG", is ? 0 : errno);
  fflush(stdout);
}

static void test_files(void) {
  char name[] = "/tmp/uzram-calls-XXXXXX";
  const int file = mkstemp(name);
  unlink(name);
  put_away();
  say("write", write(file, area, 8 * kMebi) == 8 * kMebi);
  memset(area, 0, 8 * kMebi);
  put_away();
  say("pread", pread(file, area, 8 * kMebi, 0) == 8 * kMebi && is_filled(0, 8 * kMebi));
  struct iovec parts[3] = {{area + 5000, 9000}, {area + 2 * kMebi, 100}, {area + 3 * kMebi, kMebi}};
  put_away();
  say("pwritev", pwritev(file, parts, 3, 0) == 9000 + 100 + kMebi);
  put_away();
  say("fstat", fstat(file, (struct stat *)(area + 12 * kMebi)) == 0 &&
                   ((struct stat *)(area + 12 * kMebi))->st_size == 8 * kMebi);
  close(file);
  fill();
}

static void test_streams(void) {
  FILE *stream = tmpfile();
  put_away();
  say("fwrite", fwrite(area, 1, 4 * kMebi, stream) == 4 * kMebi);
  rewind(stream);
  memset(area, 0, 4 * kMebi);
  put_away();
  say("fread", fread(area, 1, 4 * kMebi, stream) == 4 * kMebi && is_filled(0, 4 * kMebi));
  memset(area, 'x', kMebi);
  area[kMebi] = 0;
  rewind(stream);
  put_away();
  say("fprintf", fprintf(stream, "%s", area) == kMebi && fputs(area, stream) >= 0);
  say("ftell", fflush(stream) == 0 && ftell(stream) == 2 * kMebi);
  fclose(stream);
  fill();
}

static void test_sockets(void) {
  int ends[2];
  say("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  put_away();
  say("send", send(ends[0], area + 4000, 9000, 0) == 9000);
  struct pollfd *waits = (struct pollfd *)(area + 10 * kMebi);
  waits[0] = (struct pollfd){ends[1], POLLIN, 0};
  put_away();
  say("poll", poll(waits, 1, 1000) == 1 && waits[0].revents == POLLIN);
  struct msghdr *message = (struct msghdr *)(area + 11 * kMebi);
  struct iovec *part = (struct iovec *)(area + 12 * kMebi);
  *part = (struct iovec){area + 13 * kMebi, 9000};
  memset(message, 0, sizeof *message);
  message->msg_iov = part;
  message->msg_iovlen = 1;
  put_away();
  say("recvmsg", recvmsg(ends[1], message, MSG_WAITALL) == 9000 &&
                     memcmp(area + 13 * kMebi, area + 4000, 9000) == 0);
  close(ends[0]);
  close(ends[1]);
  fill();
}

static void test_paths(void) {
  strcpy(area + 4090, "/proc/self/status");
  put_away();
  const int file = open(area + 4090, O_RDONLY);
  say("open", file >= 0);
  close(file);
  put_away();
  say("getcwd", getcwd(area + 2 * kMebi, 4096) != NULL && area[2 * kMebi] == '/');
  put_away();
  say("stat", stat(area + 4090, (struct stat *)(area + 3 * kMebi)) == 0);
  fill();
}

static int status_of(pid_t child) {
  int status = -1;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_processes(int has_children) {
  char **words = (char **)(area + 5 * kMebi);
  words[0] = strcpy(area + 6 * kMebi, "/bin/sh");
  words[1] = strcpy(area + 7 * kMebi, "-c");
  words[2] = strcpy(area + 8 * kMebi, "exit 7");
  words[3] = NULL;
  pid_t child = 0;
  put_away();
  say("posix_spawn",
      posix_spawn(&child, words[0], NULL, NULL, words, environ) == 0 && status_of(child) == 7);
  put_away();
  say("system", WEXITSTATUS(system(words[2])) == 7);
  put_away();
  child = vfork();
  if (child == 0) {
    execve(words[0], words, environ);
    _exit(1);
  }
  say("vfork, execve", status_of(child) == 7);
  fill();
  if (!has_children) return;
  put_away();
  fflush(stdout);
  child = fork();
  if (child == 0) {
    const int is = is_filled(0, 16 * kMebi);
    char *other = malloc(kMebi);
    memset(other, 1, kMebi);
    free(other);
    memset(area, 0, 16 * kMebi);
    _exit(is ? 0 : 1);
  }
  say("fork, child", status_of(child) == 0);
  say("fork, parent", is_filled(0, 16 * kMebi));
}

static void test_mappings(void) {
  char *other = mmap(NULL, 4 * kMebi, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(other, 5, 4 * kMebi);
  other = mremap(other, 4 * kMebi, 12 * kMebi, MREMAP_MAYMOVE);
  say("mremap", other[4 * kMebi - 1] == 5 && other[4 * kMebi] == 0);
  say("munmap",
      munmap(other + kMebi, kMebi) == 0 && other[kMebi - 1] == 5 && other[2 * kMebi] == 5);
  say("DONTNEED", madvise(other, kMebi, MADV_DONTNEED) == 0 && other[0] == 0);
  say("the rest", munmap(other, kMebi) == 0 && munmap(other + 2 * kMebi, 10 * kMebi) == 0);
}

static sigjmp_buf after_fault;
static volatile sig_atomic_t faults;
static void on_fault(int number) {
  faults += number == SIGSEGV || number == SIGBUS ? 1 : 100;
  siglongjmp(after_fault, 1);
}
static void touch(volatile char *place) {
  if (sigsetjmp(after_fault, 1) == 0) *place = 1;
}

static void test_signals(void) {
  signal(SIGSEGV, on_fault);
  signal(SIGBUS, on_fault);
  mprotect(area + 4096, 4096, PROT_READ);
  touch(area + 4096);
  mprotect(area + 4096, 4096, PROT_READ | PROT_WRITE);
  touch(NULL);
  char name[] = "/tmp/uzram-calls-XXXXXX";
  const int file = mkstemp(name);
  unlink(name);
  char *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  touch(mapped);
  say("own faults", faults == 3);
  put_away();
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &before);
  sigset_t now;
  sigprocmask(SIG_BLOCK, NULL, &now);
  say("all blocked", is_filled(0, 4096) && is_filled(8192, 16 * kMebi) &&
                         sigismember(&now, SIGBUS) && sigismember(&now, SIGSEGV));
  sigprocmask(SIG_SETMASK, &before, NULL);
  struct sigaction action;
  say("own handler", sigaction(SIGBUS, NULL, &action) == 0 && action.sa_handler == on_fault &&
                         faults == 3);
  close(file);
}

struct Shared {
  pthread_mutex_t mutex;
  pthread_cond_t condition;
  long count;
};
static void *add(void *given) {
  struct Shared *shared = given;
  for (int i = 0; i < 20000; ++i) {
    pthread_mutex_lock(&shared->mutex);
    ++shared->count;
    if (i % 1000 == 0) {
      pthread_cond_broadcast(&shared->condition);
      madvise((void *)((unsigned long)shared & ~4095UL), 4096, MADV_PAGEOUT);
    }
    pthread_mutex_unlock(&shared->mutex);
  }
  return NULL;
}

static void test_locks(void) {
  struct Shared *shared = (struct Shared *)(area + 9 * kMebi);
  pthread_mutex_init(&shared->mutex, NULL);
  pthread_cond_init(&shared->condition, NULL);
  shared->count = 0;
  put_away();
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) pthread_create(&threads[i], NULL, add, shared);
  pthread_mutex_lock(&shared->mutex);
  while (shared->count < 1000) pthread_cond_wait(&shared->condition, &shared->mutex);
  pthread_mutex_unlock(&shared->mutex);
  for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  say("locks", shared->count == 80000);
}

int main(int count, char **words) {
  area = mmap(NULL, 16 * kMebi, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  fill();
  test_files();
  test_streams();
  test_sockets();
  test_paths();
  test_processes(count < 2 || strcmp(words[1], "childless") != 0);
  test_mappings();
  fill();
  test_signals();
  test_locks();
  return 0;
}
