// SPDX-License-Identifier: Apache-2.0
// base/file_descriptor.h: one owned file descriptor.
//
// Owns: the descriptor; closed on destruction. A closed or moved-from FileDescriptor holds none.
#pragma once

#include <unistd.h>

#include <utility>

namespace uzram {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  // Takes ownership. A negative value (a failed open) holds none.
  explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
  FileDescriptor(FileDescriptor&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      reset();
      descriptor_ = std::exchange(other.descriptor_, -1);
    }
    return *this;
  }
  ~FileDescriptor() { reset(); }

  [[nodiscard]] bool is_open() const { return descriptor_ >= 0; }
  // Requires: is_open(). Borrowed: the caller must not close it.
  [[nodiscard]] int get() const { return descriptor_; }
  [[nodiscard]] int release() { return std::exchange(descriptor_, -1); }
  void reset() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }

 private:
  int descriptor_ = -1;
};

}  // namespace uzram
