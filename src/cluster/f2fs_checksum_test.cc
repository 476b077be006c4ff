// SPDX-License-Identifier: Apache-2.0
#include "cluster/f2fs_checksum.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "base/random.h"

namespace uzram {
namespace {

ConstBytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

// Bit by bit, as the polynomial is written down.
std::uint32_t slow_checksum(ConstBytes bytes, std::uint32_t value) {
  for (const std::byte byte : bytes) {
    value ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb88320U : 0U);
  }
  return value;
}

TEST(F2fsChecksum, IsTheWellKnownOneButForTheInversions) {
  EXPECT_EQ(~f2fs_checksum(bytes_of("123456789"), ~0U), 0xcbf43926U);
}

TEST(F2fsChecksum, IsThePolynomialBitByBit) {
  Random random(3);
  std::vector<std::byte> content(1000);
  for (std::byte& byte : content) byte = static_cast<std::byte>(random.next());
  for (std::size_t bytes = 0; bytes < content.size(); bytes += 13) {
    const ConstBytes part = ConstBytes(content).first(bytes);
    EXPECT_EQ(f2fs_checksum(part), slow_checksum(part, kF2fsMagic));
  }
}

TEST(F2fsChecksum, GoesOnFromWhereItEnded) {
  EXPECT_EQ(f2fs_checksum(bytes_of("456789"), f2fs_checksum(bytes_of("123"))),
            f2fs_checksum(bytes_of("123456789")));
  EXPECT_EQ(f2fs_checksum({}), kF2fsMagic);
}

}  // namespace
}  // namespace uzram
