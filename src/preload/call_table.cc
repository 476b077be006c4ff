// SPDX-License-Identifier: Apache-2.0
#include "preload/call_table.h"

#include <sys/syscall.h>

#include <utility>

namespace uzram {
namespace {

using namespace rules;

// A name that comes twice is a function that is defined twice (interpose/kernel_calls.cc).
constexpr CallRow kRows[] = {
#define UZ_CALL(name, cut, ...) CallRow{#name, {__VA_ARGS__}, CutKind::cut},
#include "preload/kernel_calls.inc"
#undef UZ_CALL
};

constexpr std::pair<long, std::string_view> kSystemCalls[] = {
    {SYS_read, "read"},
    {SYS_write, "write"},
    {SYS_pread64, "pread64"},
    {SYS_pwrite64, "pwrite64"},
    {SYS_readv, "readv"},
    {SYS_writev, "writev"},
    {SYS_recvmsg, "recvmsg"},
    {SYS_sendmsg, "sendmsg"},
    {SYS_sendto, "sendto"},
    {SYS_recvfrom, "recvfrom"},
    {SYS_getrandom, "getrandom"},
    {SYS_getcwd, "getcwd"},
    {SYS_openat, "openat"},
    {SYS_newfstatat, "fstatat"},
    {SYS_fstat, "fstat"},
    {SYS_statx, "statx"},
    {SYS_readlinkat, "readlinkat"},
    {SYS_getdents64, "getdents64"},
    {SYS_ioctl, "ioctl"},
    {SYS_connect, "connect"},
    {SYS_bind, "bind"},
    {SYS_accept4, "accept4"},
    {SYS_execve, "execve"},
    {SYS_memfd_create, "memfd_create"},
    {SYS_pipe2, "pipe2"},
    {SYS_wait4, "wait4"},
    {SYS_prlimit64, "prlimit64"},
    {SYS_renameat2, "renameat2"},
    {SYS_unlinkat, "unlinkat"},
    {SYS_mkdirat, "mkdirat"},
    {SYS_copy_file_range, "copy_file_range"},
};

}  // namespace

std::span<const CallRow> call_table() { return kRows; }

const CallRow* find_call(std::string_view name) {
  for (const CallRow& row : kRows)
    if (row.name == name) return &row;
  return nullptr;
}

const CallRow* find_system_call(long number) {
  for (const auto& [each, name] : kSystemCalls)
    if (each == number) return find_call(name);
  return nullptr;
}

}  // namespace uzram
