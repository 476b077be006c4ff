// SPDX-License-Identifier: Apache-2.0
// New processes, and the end of this one.
#include <alloca.h>
#include <spawn.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdlib>

#include "preload/interpose/guarded_call.h"

namespace uzram::exec {
namespace {

using SpawnFunction = int(pid_t*, const char*, const posix_spawn_file_actions_t*,
                          const posix_spawnattr_t*, char* const*, char* const*);

int spawn(SpawnFunction* next, pid_t* process, const char* path,
          const posix_spawn_file_actions_t* actions, const posix_spawnattr_t* attributes,
          char* const* arguments, char* const* environment) {
  Guard guard("posix_spawn");
  guard.hold(process, sizeof *process, true);
  guard.hold_string(path);
  guard.hold(actions, sizeof *actions, false);
  guard.hold(attributes, sizeof *attributes, false);
  guard.hold_strings(arguments);
  guard.hold_strings(environment);
  return next(process, path, actions, attributes, arguments, environment);
}

// A list of arguments, up to its null, as an array on the caller's stack.
#define UZ_GATHER(first)                                                               \
  std::size_t count = 1;                                                               \
  va_list rest;                                                                        \
  va_start(rest, first);                                                               \
  while (va_arg(rest, char*) != nullptr) ++count;                                      \
  va_end(rest);                                                                        \
  auto** const arguments = static_cast<char**>(::alloca((count + 1) * sizeof(char*))); \
  arguments[0] = const_cast<char*>(first);                                             \
  va_start(rest, first);                                                               \
  for (std::size_t i = 1; i <= count; ++i) arguments[i] = va_arg(rest, char*)

}  // namespace
}  // namespace uzram::exec

namespace exec = uzram::exec;

UZ_EXPORT int posix_spawn(pid_t* process, const char* path,
                          const posix_spawn_file_actions_t* actions,
                          const posix_spawnattr_t* attributes, char* const* arguments,
                          char* const* environment) {
  return exec::spawn(UZ_NEXT(exec::SpawnFunction, "posix_spawn"), process, path, actions,
                     attributes, arguments, environment);
}
UZ_EXPORT int posix_spawnp(pid_t* process, const char* file,
                           const posix_spawn_file_actions_t* actions,
                           const posix_spawnattr_t* attributes, char* const* arguments,
                           char* const* environment) {
  return exec::spawn(UZ_NEXT(exec::SpawnFunction, "posix_spawnp"), process, file, actions,
                     attributes, arguments, environment);
}

UZ_EXPORT int execl(const char* path, const char* first, ...) noexcept {
  UZ_GATHER(first);
  va_end(rest);
  return ::execv(path, arguments);
}
UZ_EXPORT int execlp(const char* file, const char* first, ...) noexcept {
  UZ_GATHER(first);
  va_end(rest);
  return ::execvp(file, arguments);
}
UZ_EXPORT int execle(const char* path, const char* first, ...) noexcept {
  UZ_GATHER(first);
  char** const environment = va_arg(rest, char**);
  va_end(rest);
  return ::execve(path, arguments, environment);
}

UZ_EXPORT void _exit(int status) {
  exec::say_report();
  UZ_NEXT(void(int), "_exit")(status);
  __builtin_unreachable();
}
UZ_EXPORT void _Exit(int status) noexcept { ::_exit(status); }
