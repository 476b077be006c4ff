// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/disk_requests.h: answers FUSE requests to a file system that is one file: the disk.
//
// What:    from one request to one reply, whatever carried it. Not here: reading requests and
//          writing replies (fuse_reader.h, fuse_uring.h), the mount (fuse_mount.h).
// Shapes:  a request is its header, the operation's fixed arguments and its payload; every length
//          and number in it is untrusted.
// Errors:  the reply carries the errno: the device's own (ENOSPC, EIO, ENOMEM), EINVAL a request
//          that makes no sense, EOPNOTSUPP, ENOSYS what a disk does not have, EBUSY an open while
//          the disk is being taken away.
// Threads: every member from any thread. handle does not allocate.
// Laws:    nothing that INIT agreed on is needed to serve, so a process that takes over a
//          connection can go on with a new DiskRequests.
// Proof:   disk_requests_test.cc (every operation, hostile requests), disk_requests_fuzz.cc.
// Source:  the protocol of fuse_protocol.h.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/mutex.h"
#include "base/result.h"
#include "base/units.h"
#include "frontend/fuse/fuse_protocol.h"

namespace uzram {

class Device;

class DiskRequests {
 public:
  struct Request {
    fuse_in_header header;
    ConstBytes op;       // The fixed arguments; may be longer than they are.
    ConstBytes payload;  // The data of a WRITE.
  };
  struct Reply {
    bool is_wanted = true;  // False: the kernel waits for none.
    int error = 0;          // A positive errno value; then there are no bytes.
    std::size_t bytes = 0;  // At the front of `out`.
  };

  // `device` must outlive this and stay initialised. `offers_uring`: INIT says that we can.
  // `release_bell`: an eventfd that is rung when somebody has closed the file; -1 for none.
  explicit DiskRequests(Device& device, bool offers_uring = false, int release_bell = -1);

  // `out` may be the memory of op and payload: they are used up before it is written.
  // Requires: out has kMostDataBytes at least.
  Reply handle(const Request& request, MutableBytes out);

  // Both sides' flags; 0 before INIT.
  [[nodiscard]] std::uint64_t agreed_flags() const {
    return agreed_flags_.load(std::memory_order_acquire);
  }
  // From now on nobody can open the file. Returns: false, and nothing changes, when more than
  // `most_opens` have it open.
  [[nodiscard]] bool try_close(long most_opens);
  void reopen();

 private:
  Reply init(ConstBytes op, MutableBytes out);
  Reply get_attributes(MutableBytes out) const;
  Reply set_attributes(ConstBytes op, MutableBytes out) const;
  Reply open(MutableBytes out);
  Reply release();
  Reply read(ConstBytes op, MutableBytes out);
  Reply write(const Request& request, MutableBytes out);
  Reply allocate(ConstBytes op);
  Reply seek(ConstBytes op, MutableBytes out);
  Reply describe_file_system(MutableBytes out) const;

  // constant after construction
  Device& device_;
  const bool offers_uring_;
  const int release_bell_;
  const std::uint64_t inode_;  // The arena's, so that no two disks of one boot have the same.
  // Release by the thread that answers INIT, acquire by whoever starts what was agreed on.
  std::atomic<std::uint64_t> agreed_flags_{0};
  Mutex opens_mutex_;
  long open_count_ UZ_GUARDED_BY(opens_mutex_) = 0;
  bool is_closed_ UZ_GUARDED_BY(opens_mutex_) = false;
};

}  // namespace uzram
