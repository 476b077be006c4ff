// SPDX-License-Identifier: Apache-2.0
// frontend/mount/caller.h: a thread that works with the ids of the program that asks.
//
// What:    who asks, and ActAs: as long as it is there, the thread has the user, the group and the
//          supplementary groups of the caller, and root's rights over files are gone. The file
//          system below then decides as if the caller had come to it: who may, and whose a new
//          file is. Not here: what is done so (mount_names.cc).
// Shapes:  when the caller has our ids, or we may not take others, nothing happens at all.
// Errors:  begin -> EPERM: the ids cannot be taken; the thread then has its own.
// Threads: ids and umask are each thread's own. An ActAs ends in the thread that began it.
// Proof:   caller_test.cc, tests/mount/caller_test.py.
// Source:  credentials(7), setfsuid(2), user_namespaces(7).
#pragma once

#include <sys/types.h>

#include <utility>

#include "base/result.h"

namespace uzram {

struct Caller {
  uid_t user = 0;
  gid_t group = 0;
  pid_t thread = 0;  // 0: not known here; then it has no supplementary groups.
  mode_t umask = 0;
};

class ActAs {
 public:
  [[nodiscard]] static Result<ActAs> begin(const Caller& caller);
  ActAs(ActAs&& other) noexcept : changed_(std::exchange(other.changed_, Changed::Nothing)) {}
  ActAs& operator=(ActAs&&) = delete;
  ~ActAs() { end(); }

 private:
  enum class Changed : unsigned char { Nothing, Group, All };
  ActAs() = default;
  [[nodiscard]] bool take_ids(const Caller& caller);
  void end();

  Changed changed_ = Changed::Nothing;
};

// Gives this thread a umask of its own, which is empty, and lets go of the working directory.
void separate_umask();
// The mode to make a file with, so that the caller's umask counts where a directory's default ACL
// does not take its place. Changes the umask of a thread that has its own.
[[nodiscard]] mode_t mode_under_umask(const Caller& caller, mode_t mode);

}  // namespace uzram
