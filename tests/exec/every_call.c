/* SPDX-License-Identifier: Apache-2.0
 * Bytes, sockets, waits, paths and files. */
#define _GNU_SOURCE
#include "every_call.h"

#include <dirent.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <utime.h>

/* --- bytes */
static void test_read(void) {
  const int file = open_file("data");
  char* const to = place(1);
  const int is_checked = strstr(name_now, "_chk") != NULL;
  const long got = strstr(name_now, "pread") != NULL ? is_checked ? CALL(long, file, to, 8L, 1L, 8L)
                                                                  : CALL(long, file, to, 8L, 1L)
                                                     : CALL(long, file, to, 8L, 8L);
  say(got == 8 && memcmp(to, strstr(name_now, "pread") != NULL ? "12345678" : "01234567", 8) == 0);
  close(file);
}
static void test_write(void) {
  const int file = open_file("spare");
  char* const from = put_text(1, "abcdefgh");
  char back[8] = "";
  say(CALL(long, file, from, 8L, 0L) == 8 && pread(file, back, 8, 0) == 8 &&
      memcmp(back, "abcdefgh", 8) == 0);
  close(file);
}
static void test_vector_read(void) {
  const int file = open_file("data");
  const struct iovec parts[2] = {{place(2), 4}, {place(3), 4}};
  const struct iovec* const given = put(1, parts, sizeof parts);
  say(CALL(long, file, given, 2, 0L, 0L, 0) == 8 && memcmp(place(2), "0123", 4) == 0 &&
      memcmp(place(3), "4567", 4) == 0);
  close(file);
}
static void test_vector_write(void) {
  const int file = open_file("spare");
  const struct iovec parts[2] = {{put_text(2, "wxyz"), 4}, {put_text(3, "WXYZ"), 4}};
  const struct iovec* const given = put(1, parts, sizeof parts);
  char back[8] = "";
  say(CALL(long, file, given, 2, 0L, 0L, 0) == 8 && pread(file, back, 8, 0) == 8 &&
      memcmp(back, "wxyzWXYZ", 8) == 0);
  close(file);
}
static void test_process_vm(void) {
  char own[8] = "ownbytes";
  const struct iovec near = {put_text(2, "nearbyte"), 8};
  const struct iovec far = {own, 8};
  struct iovec* const local = put(1, &near, sizeof near);
  struct iovec* const remote = put(3, &far, sizeof far);
  const int is_read = strcmp(name_now, "process_vm_readv") == 0;
  say(CALL(long, getpid(), local, 1L, remote, 1L, 0L) == 8 &&
      memcmp(is_read ? place(2) : own, is_read ? "ownbytes" : "nearbyte", 8) == 0);
}
static void test_offsets(void) {
  const int from = open_file("data");
  const int to = open_file("spare");
  int ends[2];
  if (pipe(ends) != 0) return;
  const long start = 2;
  long* const offset = put(1, &start, sizeof start);
  char back[4] = "";
  long done = 0;
  if (strncmp(name_now, "sendfile", 8) == 0) {
    done = CALL(long, ends[1], from, offset, 4L);
    done = done == 4 ? read(ends[0], back, 4) : -1;
  } else if (strcmp(name_now, "splice") == 0) {
    done = CALL(long, from, offset, ends[1], NULL, 4L, 0);
    done = done == 4 ? read(ends[0], back, 4) : -1;
  } else {
    const long zero = 0;
    done = CALL(long, from, offset, to, put(2, &zero, sizeof zero), 4L, 0);
    done = done == 4 ? pread(to, back, 4, 0) : -1;
  }
  say(done == 4 && *offset == 6 && memcmp(back, "2345", 4) == 0);
  close(from);
  close(to);
  close(ends[0]);
  close(ends[1]);
}
static void test_vmsplice(void) {
  int ends[2];
  if (pipe(ends) != 0) return;
  const struct iovec part = {put_text(2, "spliced!"), 8};
  char back[8] = "";
  say(CALL(long, ends[1], put(1, &part, sizeof part), 1L, 0) == 8 && read(ends[0], back, 8) == 8 &&
      memcmp(back, "spliced!", 8) == 0);
  close(ends[0]);
  close(ends[1]);
}
static void test_random(void) {
  memset(place(1), 0, 64);
  static const char none[64];
  const int is_right = CALL(long, place(1), 64L, 0) >= 0;
  say(is_right && memcmp(place(1), none, 64) != 0);
}

/* --- sockets */
static void make_pair(int* ends, int type) {
  if (socketpair(AF_UNIX, type, 0, ends) != 0) failed = 1;
}
static void test_socket_bytes(void) {
  int ends[2];
  make_pair(ends, SOCK_DGRAM);
  const struct iovec part = {put_text(4, "datagram"), 8};
  const struct iovec* const parts = put(3, &part, sizeof part);
  struct mmsghdr whole = {.msg_hdr = {.msg_iov = (struct iovec*)parts, .msg_iovlen = 1}};
  void* const message = put(2, &whole, sizeof whole);
  const int is_send = strncmp(name_now, "send", 4) == 0;
  if (!is_send && send(ends[0], "received", 8, 0) != 8) failed = 1;
  const struct timespec limit = {60, 0};
  long done = 0;
  if (strstr(name_now, "mmsg") != NULL)
    done = CALL(int, ends[is_send ? 0 : 1], message, 1, 0, is_send ? NULL : put(5, &limit, 16)) == 1
               ? 8
               : -1;
  else if (strstr(name_now, "msg") != NULL)
    done = CALL(long, ends[is_send ? 0 : 1], message, 0);
  else if (strcmp(name_now, "__recv_chk") == 0)
    done = CALL(long, ends[1], place(4), 8L, 8L, 0);
  else if (strcmp(name_now, "__recvfrom_chk") == 0)
    done = CALL(long, ends[1], place(4), 8L, 8L, 0, NULL, NULL);
  else
    done = CALL(long, ends[is_send ? 0 : 1], place(4), 8L, 0, NULL, 0);
  char back[8] = "";
  if (is_send)
    say(done == 8 && recv(ends[1], back, 8, 0) == 8 && memcmp(back, "datagram", 8) == 0);
  else
    say(done == 8 && memcmp(place(4), "received", 8) == 0);
  close(ends[0]);
  close(ends[1]);
}
static void test_addresses(void) {
  const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un path = {.sun_family = AF_UNIX};
  snprintf(path.sun_path, sizeof path.sun_path, "%s/socket", folder);
  unlink(path.sun_path);
  const socklen_t room = sizeof path;
  struct sockaddr_un* const given = put(1, &path, sizeof path);
  socklen_t* const bytes = put(2, &room, sizeof room);
  struct sockaddr_un* const answer = put(3, &(struct sockaddr_un){0}, sizeof path);
  int is_right = 1;
  const int is_bind = strcmp(name_now, "bind") == 0;
  if (is_bind)
    is_right &= CALL(int, server, given, room) == 0;
  else
    is_right &= bind(server, (struct sockaddr*)&path, room) == 0;
  is_right &= listen(server, 1) == 0;
  if (strcmp(name_now, "connect") == 0)
    is_right &= CALL(int, client, given, room) == 0;
  else
    is_right &= connect(client, (struct sockaddr*)&path, room) == 0;
  if (strncmp(name_now, "accept", 6) == 0) {
    const int made = CALL(int, server, answer, bytes, 0);
    is_right &= made >= 0 && *bytes >= sizeof(sa_family_t) && answer->sun_family == AF_UNIX;
    close(made);
  } else if (strcmp(name_now, "getsockname") == 0) {
    is_right &= CALL(int, server, answer, bytes) == 0 && answer->sun_family == AF_UNIX;
  } else if (strcmp(name_now, "getpeername") == 0) {
    is_right &= CALL(int, client, answer, bytes) == 0 && answer->sun_family == AF_UNIX;
  }
  say(is_right);
  close(server);
  close(client);
}
static void test_socket_options(void) {
  int ends[2];
  make_pair(ends, SOCK_STREAM);
  const int value = 1;
  const socklen_t room = sizeof value;
  int* const given = put(1, &value, sizeof value);
  if (strcmp(name_now, "setsockopt") == 0)
    say(CALL(int, ends[0], SOL_SOCKET, SO_PASSCRED, given, room) == 0);
  else
    say(CALL(int, ends[0], SOL_SOCKET, SO_TYPE, given, put(2, &room, sizeof room)) == 0 &&
        *given == SOCK_STREAM);
  close(ends[0]);
  close(ends[1]);
}
static void test_two_ends(void) {
  int* const ends = place(1);
  const int is_right = strcmp(name_now, "socketpair") == 0
                           ? CALL(int, AF_UNIX, SOCK_STREAM, 0, ends) == 0
                           : CALL(int, ends, 0) == 0;
  say(is_right && fcntl(ends[0], F_GETFD) >= 0 && fcntl(ends[1], F_GETFD) >= 0);
  close(ends[0]);
  close(ends[1]);
}

/* --- waiting */
static void test_poll(void) {
  int ends[2];
  if (pipe(ends) != 0 || write(ends[1], "x", 1) != 1) return;
  const struct pollfd wait = {ends[0], POLLIN, 0};
  const struct timespec limit = {60, 0};
  struct pollfd* const waits = put(1, &wait, sizeof wait);
  const int done = strcmp(name_now, "ppoll") == 0 ? CALL(int, waits, 1L, &limit, NULL)
                                                  : CALL(int, waits, 1L, 60000, sizeof wait);
  say(done == 1 && waits->revents == POLLIN);
  close(ends[0]);
  close(ends[1]);
}
static void test_select(void) {
  int ends[2];
  if (pipe(ends) != 0 || write(ends[1], "x", 1) != 1) return;
  fd_set set;
  FD_ZERO(&set);
  FD_SET(ends[0], &set);
  fd_set* const sets = put(1, &set, sizeof set);
  const long limit[2] = {60, 0};
  say(CALL(int, ends[0] + 1, sets, NULL, NULL, put(3, limit, sizeof limit), NULL) == 1 &&
      FD_ISSET(ends[0], sets));
  close(ends[0]);
  close(ends[1]);
}
static void test_epoll(void) {
  int ends[2];
  const int waits = epoll_create1(0);
  if (pipe(ends) != 0 || write(ends[1], "x", 1) != 1) return;
  const struct epoll_event event = {EPOLLIN, {.u64 = 77}};
  struct epoll_event* const given = put(1, &event, sizeof event);
  if (strcmp(name_now, "epoll_ctl") == 0) {
    struct epoll_event found;
    say(CALL(int, waits, EPOLL_CTL_ADD, ends[0], given) == 0 &&
        epoll_wait(waits, &found, 1, 60000) == 1 && found.data.u64 == 77);
  } else {
    struct epoll_event own = event;
    epoll_ctl(waits, EPOLL_CTL_ADD, ends[0], &own);
    given->data.u64 = 0;
    say(CALL(int, waits, given, 1, 60000, NULL) == 1 && given->data.u64 == 77);
  }
  close(waits);
  close(ends[0]);
  close(ends[1]);
}
static void test_wait(void) {
  const pid_t child = vfork();
  if (child == 0) _exit(7);
  int* const status = place(1);
  siginfo_t* const info = place(2);
  int is_right = 0;
  if (strcmp(name_now, "waitid") == 0)
    is_right = CALL(int, P_PID, child, info, WEXITED) == 0 && info->si_status == 7;
  else if (strcmp(name_now, "wait") == 0)
    is_right = CALL(int, status) == child && WEXITSTATUS(*status) == 7;
  else if (strcmp(name_now, "wait3") == 0)
    is_right = CALL(int, status, 0, place(3)) == child && WEXITSTATUS(*status) == 7;
  else
    is_right = CALL(int, child, status, 0, place(3)) == child && WEXITSTATUS(*status) == 7;
  say(is_right);
}
static void test_sleep(void) {
  const struct timespec little = {0, 1000};
  struct timespec* const given = put(1, &little, sizeof little);
  say(strcmp(name_now, "nanosleep") == 0 ? CALL(int, given, place(2)) == 0
                                         : CALL(int, CLOCK_MONOTONIC, 0, given, place(2)) == 0);
}

/* --- paths */
static void test_open(void) {
  char* const path = put_path(1, "data");
  const int is_at = strstr(name_now, "openat") != NULL;
  const int file = is_at ? CALL(int, AT_FDCWD, path, O_RDONLY | O_CLOEXEC)
                         : CALL(int, path, O_RDONLY | O_CLOEXEC);
  say(file >= 0);
  close(file);
}
static void test_create(void) {
  char* const path = put_path(1, "made");
  const int file = CALL(int, path, 0644);
  say(file >= 0);
  close(file);
}
static void test_stream_open(void) {
  char* const path = put_path(1, "data");
  FILE* const stream = strncmp(name_now, "freopen", 7) == 0
                           ? CALL(FILE*, path, "r", fopen("/dev/null", "r"))
                           : CALL(FILE*, path, "r");
  say(stream != NULL && fgetc(stream) == '0');
  if (stream != NULL) fclose(stream);
}
static void test_opendir(void) {
  char* const path = put_path(1, "");
  DIR* const opened = CALL(DIR*, path);
  say(opened != NULL && readdir(opened) != NULL);
  if (opened != NULL) closedir(opened);
}
static void test_memory_name(void) {
  char name[64];
  snprintf(name, sizeof name, "/uzram-test-%d-a-long-name", getpid());
  char* const given = put_text(1, name);
  const int is_shared = strcmp(name_now, "shm_open") == 0;
  const int file = is_shared ? CALL(int, given, O_RDWR | O_CREAT, 0600) : CALL(int, given, 0);
  say(file >= 0);
  if (is_shared) shm_unlink(name);
  close(file);
}
/* One path and some numbers; then what is there. */
static void test_path(void) {
  touch_file("victim-of-a-call");
  char* path = put_path(1, "victim-of-a-call");
  int done = -1;
  const char* const name = name_now;
  if (strcmp(name, "mkdir") == 0 || strcmp(name, "mkfifo") == 0 || strcmp(name, "mkdirat") == 0 ||
      strncmp(name, "mknod", 5) == 0)
    unlink(path);
  if (strcmp(name, "rmdir") == 0) {
    unlink(path);
    mkdir(path, 0755);
  }
  if (strcmp(name, "access") == 0 || strcmp(name, "euidaccess") == 0)
    done = CALL(int, path, R_OK);
  else if (strcmp(name, "faccessat") == 0)
    done = CALL(int, AT_FDCWD, path, R_OK, 0);
  else if (strcmp(name, "unlinkat") == 0)
    done = CALL(int, AT_FDCWD, path, 0);
  else if (strcmp(name, "mkdirat") == 0)
    done = CALL(int, AT_FDCWD, path, 0755);
  else if (strcmp(name, "mknod") == 0)
    done = CALL(int, path, S_IFIFO | 0644, 0L);
  else if (strcmp(name, "mknodat") == 0)
    done = CALL(int, AT_FDCWD, path, S_IFIFO | 0644, 0L);
  else if (strcmp(name, "fchmodat") == 0)
    done = CALL(int, AT_FDCWD, path, 0600, 0);
  else if (strcmp(name, "chown") == 0 || strcmp(name, "lchown") == 0)
    done = CALL(int, path, getuid(), getgid());
  else if (strcmp(name, "fchownat") == 0)
    done = CALL(int, AT_FDCWD, path, getuid(), getgid(), 0);
  else if (strncmp(name, "truncate", 8) == 0)
    done = CALL(int, path, 3L);
  else if (strcmp(name, "inotify_add_watch") == 0) {
    const int watch = inotify_init1(IN_CLOEXEC);
    done = CALL(int, watch, path, IN_MODIFY) >= 0 ? 0 : -1;
    close(watch);
  } else if (strncmp(name, "statvfs", 7) == 0) {
    struct statvfs answer;
    done = CALL(int, path, &answer);
  } else {
    done = CALL(int, path, 0755); /* unlink, remove, mkdir, rmdir, chmod, mkfifo */
  }
  say(done == 0);
  unlink(path);
  rmdir(path);
}
static void test_change_folder(void) {
  char* const path = put_path(1, "");
  const int before = open(".", O_RDONLY | O_CLOEXEC);
  say(CALL(int, path) == 0);
  if (fchdir(before) != 0) failed = 1;
  close(before);
}
static void test_two_paths(void) {
  touch_file("the-first-path");
  char* const from = put_path(1, "the-first-path");
  char* const to = put_path(2, "the-second-path");
  unlink(to);
  int done = -1;
  if (strcmp(name_now, "renameat") == 0 || strcmp(name_now, "renameat2") == 0 ||
      strcmp(name_now, "linkat") == 0)
    done = CALL(int, AT_FDCWD, from, AT_FDCWD, to, 0);
  else if (strcmp(name_now, "symlinkat") == 0)
    done = CALL(int, from, AT_FDCWD, to);
  else
    done = CALL(int, from, to);
  struct stat status;
  say(done == 0 && lstat(to, &status) == 0);
  unlink(to);
  unlink(from);
}
static void test_template(void) {
  char* const path = put_path(1, "tmp-XXXXXX");
  if (strcmp(name_now, "mkdtemp") == 0) {
    say(CALL(char*, path) == path && rmdir(path) == 0);
    return;
  }
  const int file = CALL(int, path, 0);
  say(file >= 0 && unlink(path) == 0);
  close(file);
}
/* What only root may do, with a path that is not there: the kernel has read it to know that. */
static void test_refused_path(void) {
  char* const path = put_path(1, "is-not-there-at-all");
  const int done = strcmp(name_now, "mount") == 0
                       ? CALL(int, put_text(2, "none"), path, put_text(3, "tmpfs"), 0L, NULL)
                       : CALL(int, path, 0);
  say(done == -1 && (errno == ENOENT || errno == EPERM));
}
static void test_times(void) {
  const long now[4] = {1000, 0, 1000, 0};
  long* const given = put(2, now, sizeof now);
  char* const path = put_path(1, "data");
  const int file = open_file("data");
  int done = -1;
  if (strcmp(name_now, "utimensat") == 0)
    done = CALL(int, AT_FDCWD, path, given, 0);
  else if (strcmp(name_now, "futimens") == 0)
    done = CALL(int, file, given);
  else if (strcmp(name_now, "utime") == 0) {
    given[1] = 1000;
    done = CALL(int, path, given);
  } else {
    done = CALL(int, path, given);
  }
  struct stat status;
  say(done == 0 && fstat(file, &status) == 0 && status.st_mtime == 1000);
  close(file);
}
static void test_text_answer(void) {
  char link_path[256];
  snprintf(link_path, sizeof link_path, "%s/link", folder);
  unlink(link_path);
  if (symlink("a-target-of-a-link", link_path) != 0) failed = 1;
  char* const path = put_text(1, link_path);
  char* const answer = place(2);
  if (strstr(name_now, "getcwd") != NULL) {
    say(CALL(char*, answer, 4096L, 4096L) == answer && answer[0] == '/');
    return;
  }
  const long done = strstr(name_now, "readlinkat") != NULL
                        ? CALL(long, AT_FDCWD, path, answer, 100L, 100L)
                        : CALL(long, path, answer, 100L, 100L);
  say(done == 18 && memcmp(answer, "a-target-of-a-link", 18) == 0);
}
/* Where a file system has no attributes of users, both runs say the same. */
static void test_attributes(void) {
  const int file = open_file("data");
  char own[256];
  snprintf(own, sizeof own, "%s/data", folder);
  const int is_possible = setxattr(own, "user.uzram", "value", 5, 0) == 0;
  char* const path = put_text(1, own);
  char* const name = put_text(2, "user.uzram");
  char* const value = put_text(3, "value");
  const int is_file = name_now[0] == 'f';
  long done = -1;
  if (strstr(name_now, "set") != NULL)
    done = is_file ? CALL(long, file, name, value, 5L, 0) : CALL(long, path, name, value, 5L, 0);
  else if (strstr(name_now, "list") != NULL)
    done = is_file ? CALL(long, file, value, 100L) : CALL(long, path, value, 100L);
  else if (strcmp(name_now, "removexattr") == 0)
    done = CALL(int, path, name);
  else
    done = is_file ? CALL(long, file, name, value, 100L) : CALL(long, path, name, value, 100L);
  say(is_possible ? (int)done >= 0 : errno == ENOTSUP || errno == EOPNOTSUPP || done >= 0);
  close(file);
}
static void test_status(void) {
  const int file = open_file("data");
  char* const path = put_path(1, "data");
  struct stat* const answer = place(2);
  int done = -1;
  if (strncmp(name_now, "__f", 3) == 0 && strstr(name_now, "statat") != NULL)
    done = CALL(int, 1, AT_FDCWD, path, answer, 0);
  else if (strncmp(name_now, "__f", 3) == 0)
    done = CALL(int, 1, file, answer);
  else if (strncmp(name_now, "__", 2) == 0)
    done = CALL(int, 1, path, answer);
  else if (strncmp(name_now, "fstatat", 7) == 0)
    done = CALL(int, AT_FDCWD, path, answer, 0);
  else if (strncmp(name_now, "fstat", 5) == 0)
    done = CALL(int, file, answer);
  else
    done = CALL(int, path, answer);
  say(done == 0 && answer->st_size == 10);
  close(file);
}
static void test_other_status(void) {
  const int file = open_file("data");
  char* const path = put_path(1, "data");
  if (strcmp(name_now, "statx") == 0) {
    struct statx* const answer = place(2);
    say(CALL(int, AT_FDCWD, path, 0, STATX_SIZE, answer) == 0 && answer->stx_size == 10);
  } else {
    struct statfs* const answer = place(2);
    const int done = name_now[0] == 'f' ? CALL(int, file, answer) : CALL(int, path, answer);
    say(done == 0 && answer->f_bsize > 0);
  }
  close(file);
}
static void test_entries(void) {
  const int opened = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  say(CALL(long, opened, place(1), 1000L) > 0);
  close(opened);
}
static void test_control(void) {
  const int file = open_file("data");
  if (strcmp(name_now, "ioctl") == 0) {
    say(CALL(int, file, (long)FIONREAD, place(1)) == 0 && *(int*)place(1) == 10);
  } else {
    const struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 4};
    struct flock* const given = put(1, &lock, sizeof lock);
    say(CALL(int, file, F_GETLK, given) == 0 && given->l_type == F_UNLCK);
  }
  close(file);
}

static const struct Row rows[] = {
    {"read pread pread64 __read_chk __pread_chk __pread64_chk", test_read},
    {"write pwrite pwrite64", test_write},
    {"readv preadv preadv64 preadv2 preadv64v2", test_vector_read},
    {"writev pwritev pwritev64 pwritev2 pwritev64v2", test_vector_write},
    {"process_vm_readv process_vm_writev", test_process_vm},
    {"sendfile sendfile64 splice copy_file_range", test_offsets},
    {"vmsplice", test_vmsplice},
    {"getrandom getentropy", test_random},
    {"send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg __recv_chk __recvfrom_chk",
     test_socket_bytes},
    {"connect bind accept accept4 getsockname getpeername", test_addresses},
    {"getsockopt setsockopt", test_socket_options},
    {"socketpair pipe pipe2", test_two_ends},
    {"poll __poll_chk ppoll", test_poll},
    {"select pselect", test_select},
    {"epoll_wait epoll_pwait epoll_ctl", test_epoll},
    {"wait waitpid wait3 wait4 waitid", test_wait},
    {"nanosleep clock_nanosleep", test_sleep},
    {"open open64 __open_2 __open64_2 openat openat64 __openat_2 __openat64_2", test_open},
    {"creat creat64", test_create},
    {"fopen fopen64 freopen freopen64", test_stream_open},
    {"opendir", test_opendir},
    {"memfd_create shm_open", test_memory_name},
    {"access euidaccess faccessat unlink unlinkat remove mkdir mkdirat rmdir chmod fchmodat chown "
     "lchown fchownat truncate truncate64 mkfifo mknod mknodat inotify_add_watch statvfs statvfs64",
     test_path},
    {"chdir", test_change_folder},
    {"rename renameat renameat2 link linkat symlink symlinkat", test_two_paths},
    {"mkstemp mkstemp64 mkostemp mkostemp64 mkdtemp", test_template},
    {"mount umount2 chroot", test_refused_path},
    {"utimensat futimens utimes utime", test_times},
    {"getcwd __getcwd_chk readlink readlinkat __readlink_chk __readlinkat_chk", test_text_answer},
    {"setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr "
     "removexattr",
     test_attributes},
    {"stat stat64 lstat lstat64 fstat fstat64 fstatat fstatat64 __xstat __xstat64 __lxstat "
     "__lxstat64 __fxstat __fxstat64 __fxstatat __fxstatat64",
     test_status},
    {"statx statfs statfs64 fstatfs fstatfs64", test_other_status},
    {"getdents64", test_entries},
    {"ioctl fcntl fcntl64", test_control},
};

RUN_ROWS(rows)
