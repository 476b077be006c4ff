/* SPDX-License-Identifier: Apache-2.0
 * Processes, the machine, signals, memory, streams and locks. */
#define _GNU_SOURCE
#include <malloc.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#include "every_call.h"

/* --- processes */
static int status_of(pid_t child) {
  int status = -1;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
static void test_exec(void) {
  char* const path = put_text(1, "/bin/sh");
  char* const option = put_text(2, "-c");
  char* const script = put_text(3, "exit 7");
  char* const list[4] = {path, option, script, NULL};
  char* const none[1] = {NULL};
  char** const words = put(4, list, sizeof list);
  char** const variables = put(5, none, sizeof none);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  put_away();
  const pid_t child = vfork();
  if (child == 0) {
    int (*const run)() = (int (*)())function;
    if (strcmp(name_now, "execl") == 0 || strcmp(name_now, "execlp") == 0)
      run(path, path, option, script, NULL);
    else if (strcmp(name_now, "execle") == 0)
      run(path, path, option, script, NULL, variables);
    else if (strcmp(name_now, "fexecve") == 0)
      run(file, words, variables);
    else if (strcmp(name_now, "execveat") == 0)
      run(AT_FDCWD, path, words, variables, 0);
    else
      run(path, words, variables);
    _exit(1);
  }
  say(status_of(child) == 7);
  close(file);
}
static void test_spawn(void) {
  extern char** environ;
  char* const path = put_text(1, "/bin/sh");
  char* const list[4] = {path, put_text(2, "-c"), put_text(3, "exit 7"), NULL};
  pid_t* const child = place(5);
  say(CALL(int, child, path, NULL, NULL, put(4, list, sizeof list), environ) == 0 &&
      status_of(*child) == 7);
}
static void test_shell(void) {
  if (strcmp(name_now, "system") == 0) {
    char* const script = put_text(1, "exit 7");
    say(WEXITSTATUS(CALL(int, script)) == 7);
    return;
  }
  FILE* const stream = CALL(FILE*, put_text(1, "echo said"), "r");
  char back[8] = "";
  const int is_read = stream != NULL && fgets(back, sizeof back, stream) != NULL;
  say(is_read && strcmp(back, "said\n") == 0 && pclose(stream) == 0);
}
/* One place for an answer. */
static void test_answer(void) {
  char* const answer = place(1);
  memset(answer, 0x55, 512);
  long done = -1;
  if (strcmp(name_now, "getrusage") == 0)
    done = CALL(int, RUSAGE_SELF, answer);
  else if (strncmp(name_now, "getrlimit", 9) == 0)
    done = CALL(int, RLIMIT_NOFILE, answer);
  else if (strncmp(name_now, "prlimit", 7) == 0)
    done = CALL(int, 0, RLIMIT_NOFILE, NULL, answer);
  else if (strcmp(name_now, "sched_getaffinity") == 0)
    done = CALL(int, 0, 128L, answer);
  else if (strcmp(name_now, "gethostname") == 0)
    done = CALL(int, answer, 300L);
  else
    done = CALL(long, answer); /* uname, sysinfo, times */
  int is_there = 0;
  for (int i = 0; i < 400; ++i) is_there |= answer[i] != 0x55;
  say((int)done != -1 && is_there);
}
/* Sets what is there already. */
static void test_setting(void) {
  char* const value = place(1);
  int done = -1;
  if (strncmp(name_now, "setrlimit", 9) == 0)
    done = getrlimit(RLIMIT_CORE, (struct rlimit*)value) == 0 ? CALL(int, RLIMIT_CORE, value) : -1;
  else if (strcmp(name_now, "sched_setaffinity") == 0)
    done = sched_getaffinity(0, 128, (cpu_set_t*)value) == 0 ? CALL(int, 0, 128L, value) : -1;
  else if (strcmp(name_now, "sethostname") == 0)
    done = gethostname(value, 300) == 0 ? CALL(int, value, (long)strlen(value)) : -1;
  else if (strcmp(name_now, "setgroups") == 0) {
    const int count = getgroups(64, (gid_t*)value);
    done = count >= 0 ? CALL(int, (long)count, value) : -1;
  } else {
    done = CALL(int, 64, value) >= 0 ? 0 : -1; /* getgroups */
  }
  say(done == 0 || errno == EPERM);
}
static void test_timers(void) {
  const struct itimerval later = {{0, 0}, {5000, 0}};
  const struct itimerspec much_later = {{0, 0}, {5000, 0}};
  timer_t timer;
  struct sigevent none = {.sigev_notify = SIGEV_NONE};
  if (timer_create(CLOCK_MONOTONIC, &none, &timer) != 0) return;
  const int watch = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  void* const given = put(1, &much_later, sizeof much_later);
  struct itimerspec* const old = place(2);
  int done = -1;
  int is_right = 1;
  if (strcmp(name_now, "setitimer") == 0) {
    done = CALL(int, ITIMER_REAL, put(1, &later, sizeof later), old);
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
  } else if (strcmp(name_now, "getitimer") == 0) {
    done = CALL(int, ITIMER_REAL, old);
  } else if (strcmp(name_now, "timer_settime") == 0) {
    done = CALL(int, timer, 0, given, old);
  } else if (strcmp(name_now, "timerfd_settime") == 0) {
    done = CALL(int, watch, 0, given, old);
  } else if (strcmp(name_now, "timer_gettime") == 0) {
    timer_settime(timer, 0, &much_later, NULL);
    done = CALL(int, timer, old);
    is_right = old->it_value.tv_sec > 0;
  } else {
    timerfd_settime(watch, 0, &much_later, NULL);
    done = CALL(int, watch, old);
    is_right = old->it_value.tv_sec > 0;
  }
  say(done == 0 && is_right);
  timer_delete(timer);
  close(watch);
}
static void test_signal_waits(void) {
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, &before);
  sigset_t* const given = put(1, &set, sizeof set);
  siginfo_t* const info = place(2);
  const struct timespec limit = {60, 0};
  kill(getpid(), SIGUSR1);
  int is_right = 0;
  if (strcmp(name_now, "sigpending") == 0) {
    is_right = CALL(int, given) == 0 && sigismember(given, SIGUSR1);
    sigwaitinfo(&set, NULL);
  } else if (strcmp(name_now, "signalfd") == 0) {
    const int watch = CALL(int, -1, given, SFD_CLOEXEC);
    struct signalfd_siginfo found;
    is_right = read(watch, &found, sizeof found) == sizeof found && found.ssi_signo == SIGUSR1;
    close(watch);
  } else if (strcmp(name_now, "sigwait") == 0) {
    is_right = CALL(int, given, info) == 0 && *(int*)info == SIGUSR1;
  } else {
    is_right = CALL(int, given, info, put(3, &limit, sizeof limit)) == SIGUSR1 &&
               info->si_signo == SIGUSR1;
  }
  sigprocmask(SIG_SETMASK, &before, NULL);
  say(is_right);
}
static volatile sig_atomic_t caught;
static void on_signal(int number) { caught = number; }
static void test_masked_waits(void) {
  sigset_t set, none, before;
  sigemptyset(&set);
  sigemptyset(&none);
  sigaddset(&set, SIGUSR2);
  const struct sigaction action = {.sa_handler = on_signal};
  caught = 0;
  sigaction(SIGUSR2, &action, NULL);
  sigprocmask(SIG_BLOCK, &set, &before);
  kill(getpid(), SIGUSR2);
  sigset_t* const given = put(1, &none, sizeof none);
  say(CALL(int, given) == -1 && errno == EINTR && caught == SIGUSR2);
  sigprocmask(SIG_SETMASK, &before, NULL);
}
static void test_signal_actions(void) {
  caught = 0;
  if (strcmp(name_now, "sigaction") == 0) {
    const struct sigaction action = {.sa_handler = on_signal};
    const int done = CALL(int, SIGUSR2, put(1, &action, sizeof action), place(3));
    raise(SIGUSR2);
    say(done == 0 && caught == SIGUSR2);
  } else if (strcmp(name_now, "sigaltstack") == 0) {
    const stack_t fresh = {.ss_sp = area + kMebi, .ss_size = 65536};
    const stack_t none = {.ss_flags = SS_DISABLE};
    const int done = CALL(int, put(1, &fresh, sizeof fresh), place(3));
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR2, &action, NULL);
    put_away();
    raise(SIGUSR2);
    say(done == 0 && caught == SIGUSR2 && sigaltstack(&none, NULL) == 0);
  } else if (strstr(name_now, "mask") != NULL) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    const int done = CALL(int, SIG_BLOCK, put(1, &set, sizeof set), place(3));
    sigset_t now;
    sigprocmask(SIG_SETMASK, place(3), &now);
    say(done == 0 && sigismember(&now, SIGUSR2));
  } else {
    const int done = CALL(void*, SIGUSR2, on_signal) != SIG_ERR;
    raise(SIGUSR2);
    say(done && caught == SIGUSR2);
  }
}
static void test_messages(void) {
  struct Message {
    long type;
    char text[8];
  } message = {3, "message"};
  const int queue = msgget(IPC_PRIVATE, 0600);
  struct Message* const given = put(1, &message, sizeof message);
  if (strcmp(name_now, "msgsnd") == 0) {
    say(CALL(int, queue, given, 8L, 0) == 0 && msgrcv(queue, &message, 8, 0, 0) == 8);
  } else {
    msgsnd(queue, &message, 8, 0);
    memset(given, 0, sizeof *given);
    say(CALL(long, queue, given, 8L, 0L, 0) == 8 && strcmp(given->text, "message") == 0);
  }
  msgctl(queue, IPC_RMID, NULL);
}
static void test_semaphore_set(void) {
  const int set = semget(IPC_PRIVATE, 1, 0600);
  const struct sembuf up = {0, 1, 0};
  say(CALL(int, set, put(1, &up, sizeof up), 1L) == 0 && semctl(set, 0, GETVAL) == 1);
  semctl(set, 0, IPC_RMID);
}
static void test_counter(void) {
  const int counter = eventfd(5, EFD_CLOEXEC);
  uint64_t* const value = place(1);
  say(CALL(int, counter, value) == 0 && *value == 5);
  close(counter);
}

/* --- memory */
static void test_locked_pages(void) {
  const int is_lock = strcmp(name_now, "munlock") != 0;
  if (!is_lock) mlock(area + kMebi, 8192);
  say(CALL(int, area + kMebi, 8192L, 0) == 0);
  munlock(area + kMebi, 8192);
}
static void test_posix_advice(void) {
  say(CALL(int, area + kMebi, 8192L, POSIX_MADV_WILLNEED) == 0);
}

static void test_message_queue(void) {
  char name[64];
  snprintf(name, sizeof name, "/uzram-test-%d", getpid());
  struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 64};
  const mqd_t queue = mq_open(name, O_RDWR | O_CREAT, 0600, &attributes);
  if (queue == (mqd_t)-1) { /* Not every kernel has them. */
    say(1);
    return;
  }
  char* const text = put_text(1, "message");
  char back[64];
  unsigned* const priority = place(2);
  if (strcmp(name_now, "mq_send") == 0) {
    say(CALL(int, queue, text, 8L, 3) == 0 && mq_receive(queue, back, 64, NULL) == 8);
  } else {
    mq_send(queue, "waiting", 8, 3);
    say(CALL(long, queue, text, 64L, priority) == 8 && strcmp(text, "waiting") == 0 &&
        *priority == 3);
  }
  mq_close(queue);
  mq_unlink(name);
}
static void test_raw_call(void) {
  const int file = open_file("data");
  say(CALL(long, (long)SYS_pread64, (long)file, place(1), 8L, 1L) == 8 &&
      memcmp(place(1), "12345678", 8) == 0);
  close(file);
}
static void test_no_lock_of_everything(void) {
  /* Refused here; without a limit it may be allowed. */
  const int done = CALL(int, MCL_FUTURE);
  munlockall();
  say(done == 0 || errno == EPERM || errno == ENOMEM);
}
static void test_heap(void) {
  const char* const name = name_now;
  const size_t bytes = 100000;
  unsigned char* block = NULL;
  if (strcmp(name, "malloc") == 0 || strcmp(name, "valloc") == 0 || strcmp(name, "pvalloc") == 0)
    block = CALL(void*, bytes);
  else if (strcmp(name, "calloc") == 0)
    block = CALL(void*, bytes, 1L);
  else if (strcmp(name, "memalign") == 0 || strcmp(name, "aligned_alloc") == 0)
    block = CALL(void*, 8192L, bytes);
  else if (strcmp(name, "posix_memalign") == 0)
    block = CALL(int, place(1), 8192L, bytes) == 0 ? *(unsigned char**)place(1) : NULL;
  else
    block = malloc(bytes / 2);
  if (block == NULL) {
    say(0);
    return;
  }
  int is_right = 1;
  if (strcmp(name, "calloc") == 0)
    for (size_t i = 0; i < bytes; ++i) is_right &= block[i] == 0;
  if (strcmp(name, "valloc") == 0 || strcmp(name, "pvalloc") == 0)
    is_right &= (uintptr_t)block % 4096 == 0;
  if (strstr(name, "align") != NULL) is_right &= (uintptr_t)block % 8192 == 0;
  memset(block, 7, bytes / 2);
  if (strcmp(name, "realloc") == 0) block = CALL(void*, block, bytes);
  if (strcmp(name, "reallocarray") == 0) block = CALL(void*, block, bytes / 4, 4L);
  if (strcmp(name, "malloc_usable_size") == 0) is_right &= CALL(size_t, block) >= bytes / 2;
  for (size_t i = 0; i < bytes / 2; ++i) is_right &= block[i] == 7;
  if (strcmp(name, "free") == 0)
    (void)CALL(int, block);
  else
    free(block);
  say(is_right);
}

/* --- streams: more than any buffer of theirs */
enum { kText = 100000 };
static char* long_text(void) {
  char* const text = area + kMebi + 1000;
  memset(text, 'x', kText);
  text[kText] = 0;
  return text;
}
static int print_rest(FILE* stream, int flag, const char* format, ...) {
  va_list rest;
  va_start(rest, format);
  const int is_checked = strstr(name_now, "_chk") != NULL;
  put_away();
  int done = 0;
  if (strstr(name_now, "vf") != NULL)
    done = is_checked
               ? ((int (*)(FILE*, int, const char*, va_list))function)(stream, flag, format, rest)
               : ((int (*)(FILE*, const char*, va_list))function)(stream, format, rest);
  else
    done = is_checked ? ((int (*)(int, const char*, va_list))function)(flag, format, rest)
                      : ((int (*)(const char*, va_list))function)(format, rest);
  va_end(rest);
  return done;
}
static void test_print(void) {
  char path[256];
  snprintf(path, sizeof path, "%s/printed", folder);
  FILE* const stream = fopen(path, "w+");
  /* Those that have no stream write to ours: it is turned aside meanwhile. */
  fflush(stdout);
  const int own = dup(STDOUT_FILENO);
  dup2(fileno(stream), STDOUT_FILENO);
  char* const text = long_text();
  int wanted = kText;
  int is_done = 0;
  if (strstr(name_now, "puts") != NULL) {
    if (strcmp(name_now, "puts") == 0) ++wanted;
    is_done = wanted == kText ? CALL(int, text, stream) >= 0 : CALL(int, text) >= 0;
  } else if (strncmp(name_now, "fwrite", 6) == 0) {
    is_done = CALL(size_t, text, 1000L, 100L, stream) == 100;
  } else if (name_now[0] == 'v' || strncmp(name_now, "__v", 3) == 0) {
    is_done = print_rest(stream, 1, "%s", text) == kText;
  } else {
    const int is_checked = strstr(name_now, "_chk") != NULL;
    const int has_stream = strstr(name_now, "fprintf") != NULL;
    if (has_stream)
      is_done =
          (is_checked ? CALL(int, stream, 1, "%s", text) : CALL(int, stream, "%s", text)) == kText;
    else
      is_done = (is_checked ? CALL(int, 1, "%s", text) : CALL(int, "%s", text)) == kText;
  }
  fflush(stdout);
  fflush(stream);
  dup2(own, STDOUT_FILENO);
  close(own);
  char* const back = malloc(wanted + 1);
  const int is_back = pread(fileno(stream), back, wanted + 1, 0) == wanted &&
                      memcmp(back, area + kMebi + 1000, kText) == 0;
  free(back);
  fclose(stream);
  say(is_done && is_back);
}
static void test_stream_read(void) {
  FILE* const stream = fopen("/dev/zero", "r");
  char* const text = long_text();
  const size_t done = strstr(name_now, "_chk") != NULL
                          ? CALL(size_t, text, (size_t)kText, 1L, (size_t)kText, stream)
                          : CALL(size_t, text, 1L, (size_t)kText, stream);
  int is_right = done == kText;
  for (int i = 0; i < kText; ++i) is_right &= text[i] == 0;
  fclose(stream);
  say(is_right);
}
static void test_stream_buffer(void) {
  char path[256];
  snprintf(path, sizeof path, "%s/buffered", folder);
  FILE* const stream = fopen(path, "w+");
  char* const buffer = area + 2 * kMebi;
  if (strcmp(name_now, "setvbuf") == 0)
    (void)CALL(int, stream, buffer, _IOFBF, 65536L);
  else
    (void)CALL(int, stream, buffer, 65536L);
  for (int i = 0; i < kText; ++i) {
    if (i % 10000 == 0) put_away();
    fputc('y', stream);
  }
  char last = 0;
  say(fflush(stream) == 0 && ftell(stream) == kText &&
      pread(fileno(stream), &last, 1, kText - 1) == 1 && last == 'y');
  fclose(stream);
}

/* --- locks. What has a time limit must come to its end; others wait for a second thread. */
static struct timespec soon(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  now.tv_nsec += 5000000;
  if (now.tv_nsec >= 1000000000) {
    now.tv_nsec -= 1000000000;
    ++now.tv_sec;
  }
  return now;
}
static void* in_thread(void* (*work)(void*)) {
  pthread_t thread;
  void* result = NULL;
  pthread_create(&thread, NULL, work, NULL);
  pthread_join(thread, &result);
  return result;
}
static void test_mutex(void) {
  pthread_mutex_t* const mutex = place(1);
  pthread_mutex_init(mutex, NULL);
  pthread_mutex_lock(mutex);
  const struct timespec real = soon(CLOCK_REALTIME);
  const struct timespec monotonic = soon(CLOCK_MONOTONIC);
  if (strcmp(name_now, "pthread_mutex_timedlock") == 0)
    say(CALL(int, mutex, put(3, &real, sizeof real)) == ETIMEDOUT);
  else
    say(CALL(int, mutex, CLOCK_MONOTONIC, put(3, &monotonic, sizeof real)) == ETIMEDOUT);
  pthread_mutex_unlock(mutex);
}
static void test_condition_limit(void) {
  pthread_mutex_t* const mutex = place(1);
  pthread_cond_t* const condition = place(2);
  pthread_mutex_init(mutex, NULL);
  pthread_cond_init(condition, NULL);
  pthread_mutex_lock(mutex);
  const struct timespec real = soon(CLOCK_REALTIME);
  const struct timespec monotonic = soon(CLOCK_MONOTONIC);
  if (strcmp(name_now, "pthread_cond_timedwait") == 0)
    say(CALL(int, condition, mutex, put(3, &real, sizeof real)) == ETIMEDOUT);
  else
    say(CALL(int, condition, mutex, CLOCK_MONOTONIC, put(3, &monotonic, sizeof real)) == ETIMEDOUT);
  pthread_mutex_unlock(mutex);
}
static void* time_out_of_a_lock(void* unused) {
  const struct timespec real = soon(CLOCK_REALTIME);
  (void)unused;
  return (void*)(long)CALL(int, place(1), put(3, &real, sizeof real));
}
static void test_rwlock_limit(void) {
  pthread_rwlock_t* const lock = place(1);
  pthread_rwlock_init(lock, NULL);
  pthread_rwlock_wrlock(lock);
  say((long)in_thread(time_out_of_a_lock) == ETIMEDOUT);
  pthread_rwlock_unlock(lock);
}
static void test_semaphore_limit(void) {
  sem_t* const semaphore = place(1);
  sem_init(semaphore, 0, 0);
  const struct timespec real = soon(CLOCK_REALTIME);
  const struct timespec monotonic = soon(CLOCK_MONOTONIC);
  const int done = strcmp(name_now, "sem_timedwait") == 0
                       ? CALL(int, semaphore, put(3, &real, sizeof real))
                       : CALL(int, semaphore, CLOCK_MONOTONIC, put(3, &monotonic, sizeof real));
  say(done == -1 && errno == ETIMEDOUT);
}
/* One thread waits, or is about to; the other lets it go. */
static struct Meeting {
  pthread_mutex_t mutex;
  pthread_cond_t condition;
  pthread_rwlock_t lock;
  pthread_barrier_t barrier;
  sem_t semaphore;
  int is_open;
} * meeting;
static void* wait_there(void* unused) {
  (void)unused;
  if (strcmp(name_now, "sem_wait") == 0) return (void*)(long)CALL(int, &meeting->semaphore);
  if (strncmp(name_now, "pthread_barrier", 15) == 0)
    return (void*)(long)(pthread_barrier_wait(&meeting->barrier) > 0);
  if (strncmp(name_now, "pthread_rwlock", 14) == 0) {
    const int code = CALL(int, &meeting->lock);
    pthread_rwlock_unlock(&meeting->lock);
    return (void*)(long)code;
  }
  pthread_mutex_lock(&meeting->mutex);
  while (!meeting->is_open) pthread_cond_wait(&meeting->condition, &meeting->mutex);
  pthread_mutex_unlock(&meeting->mutex);
  return NULL;
}
static void test_meeting(void) {
  meeting = place(1);
  pthread_mutex_init(&meeting->mutex, NULL);
  pthread_cond_init(&meeting->condition, NULL);
  pthread_rwlock_init(&meeting->lock, NULL);
  pthread_barrier_init(&meeting->barrier, NULL, 2);
  sem_init(&meeting->semaphore, 0, 0);
  meeting->is_open = 0;
  pthread_rwlock_wrlock(&meeting->lock);
  pthread_t thread;
  pthread_create(&thread, NULL, wait_there, NULL);
  /* Nearly always it waits then; the result is the same when it does not yet. */
  usleep(2000);
  put_away();
  sem_post(&meeting->semaphore);
  pthread_rwlock_unlock(&meeting->lock);
  pthread_mutex_lock(&meeting->mutex);
  meeting->is_open = 1;
  put_away();
  const int is_signal = strcmp(name_now, "pthread_cond_signal") == 0;
  int code =
      is_signal ? CALL(int, &meeting->condition) : pthread_cond_broadcast(&meeting->condition);
  pthread_mutex_unlock(&meeting->mutex);
  if (strncmp(name_now, "pthread_barrier", 15) == 0) {
    put_away();
    code = pthread_barrier_wait(&meeting->barrier) > 0;
  }
  void* result = NULL;
  pthread_join(thread, &result);
  if (strcmp(name_now, "pthread_cond_destroy") == 0) code = CALL(int, &meeting->condition);
  if (strcmp(name_now, "pthread_barrier_destroy") == 0) code = CALL(int, &meeting->barrier);
  say(code == 0 && result == NULL);
}
static void* use_stack(void* unused) {
  volatile char room[20000];
  (void)unused;
  for (size_t i = 0; i < sizeof room; i += 100) room[i] = (char)i;
  put_away();
  int wrong = 0;
  for (size_t i = 0; i < sizeof room; i += 100) wrong += room[i] != (char)i;
  return (void*)(long)wrong;
}
static void test_stack(void) {
  pthread_attr_t attributes;
  pthread_t thread;
  void* wrong = NULL;
  pthread_attr_init(&attributes);
  const int code = CALL(int, &attributes, area + 3 * kMebi, (size_t)kMebi / 4);
  const int made = pthread_create(&thread, &attributes, use_stack, NULL);
  if (made == 0) pthread_join(thread, &wrong);
  say(code == 0 && made == 0 && wrong == NULL);
}

static const struct Row rows[] = {
    {"execve execv execvp execvpe fexecve execveat execl execlp execle", test_exec},
    {"posix_spawn posix_spawnp", test_spawn},
    {"system popen", test_shell},
    {"uname sysinfo times getrusage getrlimit getrlimit64 prlimit prlimit64 sched_getaffinity "
     "gethostname",
     test_answer},
    {"setrlimit setrlimit64 sched_setaffinity sethostname setgroups getgroups", test_setting},
    {"setitimer getitimer timer_settime timer_gettime timerfd_settime timerfd_gettime",
     test_timers},
    {"sigwaitinfo sigtimedwait sigwait sigpending signalfd", test_signal_waits},
    {"sigsuspend", test_masked_waits},
    {"sigaction sigaltstack sigprocmask pthread_sigmask signal bsd_signal sysv_signal "
     "__sysv_signal",
     test_signal_actions},
    {"msgsnd msgrcv", test_messages},
    {"semop", test_semaphore_set},
    {"eventfd_read", test_counter},
    {"mlock mlock2 munlock", test_locked_pages},
    {"posix_madvise", test_posix_advice},
    {"mq_send mq_receive", test_message_queue},
    {"syscall", test_raw_call},
    {"mlockall", test_no_lock_of_everything},
    {"malloc calloc memalign aligned_alloc posix_memalign valloc pvalloc realloc reallocarray "
     "malloc_usable_size free",
     test_heap},
    {"fputs fputs_unlocked puts fwrite fwrite_unlocked printf fprintf vprintf vfprintf "
     "__printf_chk __fprintf_chk __vprintf_chk __vfprintf_chk",
     test_print},
    {"fread fread_unlocked __fread_chk __fread_unlocked_chk", test_stream_read},
    {"setvbuf setbuffer setbuf", test_stream_buffer},
    {"pthread_mutex_timedlock pthread_mutex_clocklock", test_mutex},
    {"pthread_cond_timedwait pthread_cond_clockwait", test_condition_limit},
    {"pthread_rwlock_timedrdlock pthread_rwlock_timedwrlock", test_rwlock_limit},
    {"sem_timedwait sem_clockwait", test_semaphore_limit},
    {"sem_wait pthread_rwlock_rdlock pthread_rwlock_wrlock pthread_barrier_wait "
     "pthread_barrier_destroy pthread_cond_signal pthread_cond_broadcast pthread_cond_destroy",
     test_meeting},
    {"pthread_attr_setstack", test_stack},
};

RUN_ROWS(rows)
