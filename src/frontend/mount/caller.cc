// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/caller.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/file_descriptor.h"

namespace uzram {
namespace {

// The system calls themselves: libc changes the groups of every thread of the process.
bool set_groups(const std::vector<gid_t>& groups) {
  return ::syscall(SYS_setgroups, groups.size(), groups.data()) == 0;
}

// They return what was before, and refuse without a word: a second call says how it went.
bool set_file_user(uid_t user) {
  ::syscall(SYS_setfsuid, user);
  return static_cast<uid_t>(::syscall(SYS_setfsuid, static_cast<uid_t>(-1))) == user;
}

bool set_file_group(gid_t group) {
  ::syscall(SYS_setfsgid, group);
  return static_cast<gid_t>(::syscall(SYS_setfsgid, static_cast<gid_t>(-1))) == group;
}

struct OwnIds {
  uid_t user = ::geteuid();
  gid_t group = ::getegid();
  std::vector<gid_t> groups;
};

const OwnIds& own_ids() {
  static const OwnIds ids = [] {
    OwnIds own;
    const int count = ::getgroups(0, nullptr);
    own.groups.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    const int got = ::getgroups(count, own.groups.data());
    own.groups.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return own;
  }();
  return ids;
}

std::string status_text_of(pid_t thread) {
  const FileDescriptor file(
      ::open(fmt::format("/proc/{}/status", thread).c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> piece;
  while (file.is_open()) {
    const ssize_t got = ::read(file.get(), piece.data(), piece.size());
    if (got <= 0) break;
    text.append(piece.data(), static_cast<std::size_t>(got));
    if (static_cast<std::size_t>(got) < piece.size()) break;
  }
  return text;
}

// The numbers of one line, "Groups:\t4 24".
std::vector<gid_t> numbers_of(std::string_view text, std::string_view name) {
  std::vector<gid_t> numbers;
  const std::size_t start = text.find(name);
  if (start == std::string_view::npos) return numbers;
  text.remove_prefix(start + name.size());
  text = text.substr(0, text.find('\n'));
  for (const char* place = text.data(); place < text.data() + text.size(); ++place) {
    gid_t number = 0;
    const auto read = std::from_chars(place, text.data() + text.size(), number);
    if (read.ec != std::errc{}) continue;
    numbers.push_back(number);
    place = read.ptr;
  }
  return numbers;
}

// A caller that was killed may have left its number to somebody else: the ids must be the same.
std::vector<gid_t> groups_of(const Caller& caller) {
  if (caller.thread == 0) return {};
  constexpr std::size_t kForFiles = 3;  // After the real, the effective and the saved one.
  const std::string text = status_text_of(caller.thread);
  const std::vector<gid_t> users = numbers_of(text, "\nUid:");
  const std::vector<gid_t> groups = numbers_of(text, "\nGid:");
  if (users.size() <= kForFiles || groups.size() <= kForFiles) return {};
  if (users[kForFiles] != caller.user || groups[kForFiles] != caller.group) return {};
  return numbers_of(text, "\nGroups:");
}

struct OwnUmask {
  bool is_own = false;
  mode_t now = 0;
};
thread_local OwnUmask own_umask;

}  // namespace

Result<ActAs> ActAs::begin(const Caller& caller) {
  const OwnIds& own = own_ids();
  ActAs acting;
  if (own.user != 0) return acting;
  if (caller.user == own.user && caller.group == own.group) return acting;
  // Root's rights do not come from groups.
  acting.changed_ = caller.user == own.user ? Changed::Group : Changed::All;
  if (!acting.take_ids(caller)) return fail(EPERM);
  return acting;
}

bool ActAs::take_ids(const Caller& caller) {
  if (changed_ == Changed::Group) return set_file_group(caller.group);
  // The user last: with it the rights over files go.
  return set_groups(groups_of(caller)) && set_file_group(caller.group) &&
         set_file_user(caller.user);
}

void ActAs::end() {
  if (changed_ == Changed::Nothing) return;
  const OwnIds& own = own_ids();
  if (changed_ == Changed::All) {
    UZ_CHECK(set_file_user(own.user));
    UZ_CHECK(set_groups(own.groups));
  }
  UZ_CHECK(set_file_group(own.group));
  changed_ = Changed::Nothing;
}

void separate_umask() {
  // The working directory is shared as the umask is: a copy would keep it in use.
  if (::unshare(CLONE_FS) != 0 || ::chdir("/") != 0) return;
  ::umask(0);
  own_umask = {true, 0};
}

mode_t mode_under_umask(const Caller& caller, mode_t mode) {
  if (!own_umask.is_own) return mode & ~caller.umask;
  if (own_umask.now != caller.umask) {
    ::umask(caller.umask);
    own_umask.now = caller.umask;
  }
  return mode;
}

}  // namespace uzram
