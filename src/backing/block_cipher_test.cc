// SPDX-License-Identifier: Apache-2.0
#include "backing/block_cipher.h"

#include <gtest/gtest.h>

#include <array>
#include <string_view>
#include <vector>

namespace uzram {
namespace {

std::vector<std::byte> bytes_of(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(digit(hex[i]) * 16 + digit(hex[i + 1])));
  return bytes;
}

class BlockCipherTest : public ::testing::Test {
 protected:
  // IEEE 1619-2007, annex B, vector 10: data unit ff, plain text 00 01 02 ... twice.
  std::vector<std::byte> key_ = bytes_of(
      "2718281828459045235360287471352662497757247093699959574966967627"
      "3141592653589793238462643383279502884197169399375105820974944592");
  BlockCipher cipher_ =
      std::move(*BlockCipher::make(std::span<const std::byte, kBackingKeyBytes>(key_)));
  std::vector<std::byte> plain_ = counting(512);

  static std::vector<std::byte> counting(std::size_t count) {
    std::vector<std::byte> bytes(count);
    for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i);
    return bytes;
  }
  std::vector<std::byte> encrypted(BlockCipher::Tweak tweak) {
    std::vector<std::byte> bytes = plain_;
    cipher_.encrypt(tweak, bytes);
    return bytes;
  }
};

TEST_F(BlockCipherTest, EncryptsAsTheStandardSays) {
  const std::vector<std::byte> bytes = encrypted({0xff, 0});
  const std::vector<std::byte> start = bytes_of(
      "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b"
      "5d31e276f8fe4a8d66b317f9ac683f44680a86ac35adfc3345befecb4bb188fd");
  EXPECT_EQ(std::vector<std::byte>(bytes.begin(), bytes.begin() + 64), start);
}

TEST_F(BlockCipherTest, DecryptsWhatItEncrypted) {
  std::vector<std::byte> bytes = encrypted({12, 345});
  EXPECT_NE(bytes, plain_);
  cipher_.decrypt({12, 345}, bytes);
  EXPECT_EQ(bytes, plain_);
}

TEST_F(BlockCipherTest, TellsBlocksAndGenerationsApart) {
  EXPECT_NE(encrypted({1, 0}), encrypted({0, 0}));
  EXPECT_NE(encrypted({0, 1}), encrypted({0, 0}));
  EXPECT_NE(encrypted({0, 1}), encrypted({1, 0}));
  EXPECT_EQ(encrypted({1, 1}), encrypted({1, 1}));
}

TEST_F(BlockCipherTest, IsNotMadeWithEqualHalves) {
  std::copy_n(key_.begin(), 32, key_.begin() + 32);
  const auto made = BlockCipher::make(std::span<const std::byte, kBackingKeyBytes>(key_));
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code, EINVAL);
}

}  // namespace
}  // namespace uzram
