// SPDX-License-Identifier: Apache-2.0
// base/units.h: the words for pages and bytes that cross rooms.
//
// Shapes: a page is kPageBytes bytes; a PageIndex counts pages from the start of a device.
// Units:  bytes, unless a name ends in another unit.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>

namespace uzram {

inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::size_t kPageShift = 12;
// What Linux counts block devices and st_blocks in, whatever a device's own blocks are.
inline constexpr std::size_t kSectorBytes = 512;

using ConstBytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;
using PageView = std::span<const std::byte, kPageBytes>;
using PageBuffer = std::span<std::byte, kPageBytes>;

// Which page of a device. Not a byte offset and not a count.
struct PageIndex {
  std::uint64_t value = 0;
  friend auto operator<=>(const PageIndex&, const PageIndex&) = default;
};

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t step) {
  return (value + step - 1) / step * step;
}

constexpr std::uint64_t bytes_to_pages(std::uint64_t bytes) {
  return (bytes + kPageBytes - 1) >> kPageShift;
}

}  // namespace uzram
