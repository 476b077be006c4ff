// SPDX-License-Identifier: Apache-2.0
// frontend/mount/mount_server.h: a directory served through FUSE, from mounting to unmounting.
//
// What:    the session with the kernel, the threads that answer, the end. Not here: the answers
//          (mount_operations.h); signals, words on a terminal, becoming a daemon (the command).
// Owns:    the mount, the volume, the threads.
// Errors:  start -> in words: the directory or the mount point cannot be used, or somebody else
//          serves it. finish -> what could not be made safe, as errno.
// Threads: start, serve and finish from one; request_end from any.
// Proof:   tests/mount.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <tl/expected.hpp>
#include <vector>

#include "frontend/mount/volume.h"

struct fuse_session;

namespace uzram {

class MountServer {
 public:
  // Mounts; when this returns, the kernel and we agree. Nothing is answered before serve().
  [[nodiscard]] static tl::expected<std::unique_ptr<MountServer>, std::string> start(
      const std::string& directory, const std::string& mount_point, const MountOptions& options);
  ~MountServer();

  // Starts the threads. `ended` (an eventfd) becomes readable when the mount is gone.
  void serve(int ended);
  // Takes the mount away; whoever still uses it loses it.
  void unmount();
  // Waits for the threads, and makes safe what is not yet.
  [[nodiscard]] Result<void> finish();

 private:
  struct EndSession {
    void operator()(fuse_session* session) const;
  };

  MountServer(std::unique_ptr<Volume> volume, std::string mount_point)
      : volume_(std::move(volume)), mount_point_(std::move(mount_point)) {}
  tl::expected<void, std::string> mount(const std::string& directory);
  void answer_requests(int ended);

  const std::unique_ptr<Volume> volume_;
  const std::string mount_point_;
  std::unique_ptr<fuse_session, EndSession> session_;
  std::vector<std::thread> threads_;
};

}  // namespace uzram
