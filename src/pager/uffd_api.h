// SPDX-License-Identifier: Apache-2.0
// pager/uffd_api.h: the parts of the userfaultfd interface that Debian 12's headers do not have.
//
// Shapes: numbers and structures of the system call interface, which never change.
// Source: linux/userfaultfd.h of later kernels; ioctl_userfaultfd(2).
#pragma once

#include <linux/userfaultfd.h>

#include <cstdint>

namespace uzram {

inline constexpr std::uint64_t kUffdFeatureMove = std::uint64_t{1} << 16;
inline constexpr std::uint64_t kUffdFeaturePoison = std::uint64_t{1} << 14;
inline constexpr unsigned kUffdUserModeOnly = 1;

struct UffdMove {
  std::uint64_t destination;
  std::uint64_t source;
  std::uint64_t bytes;
  std::uint64_t mode;
  std::int64_t moved;  // Out: bytes done, or -errno.
};
static_assert(sizeof(UffdMove) == 40);
inline constexpr std::uint64_t kUffdMoveAllowHoles = std::uint64_t{1} << 1;
inline constexpr unsigned long kUffdioMove = _IOWR(UFFDIO, 0x05, UffdMove);

struct UffdPoison {
  uffdio_range range;
  std::uint64_t mode;
  std::int64_t updated;  // Out: bytes done, or -errno.
};
static_assert(sizeof(UffdPoison) == 32);
inline constexpr std::uint64_t kUffdPoisonDontWake = 1;
inline constexpr unsigned long kUffdioPoison = _IOWR(UFFDIO, 0x08, UffdPoison);

}  // namespace uzram
