// SPDX-License-Identifier: Apache-2.0
#include "backing/block_cipher.h"

#include <openssl/evp.h>

#include <array>
#include <cstring>

#include "base/check.h"

namespace uzram {
namespace {

constexpr std::size_t kTweakBytes = 16;

void store_little_endian(std::uint64_t value, unsigned char* place) {
  for (std::size_t i = 0; i < sizeof value; ++i)
    place[i] = static_cast<unsigned char>(value >> (8 * i));
}

}  // namespace

void BlockCipher::Deleter::operator()(evp_cipher_ctx_st* context) const {
  EVP_CIPHER_CTX_free(context);
}

BlockCipher::Context BlockCipher::make_context(std::span<const std::byte, kBackingKeyBytes> key,
                                               bool encrypts) {
  Context context(EVP_CIPHER_CTX_new());
  if (context == nullptr) return nullptr;
  const auto* bytes = reinterpret_cast<const unsigned char*>(key.data());
  // Units are whole blocks of the cipher, so there is nothing to pad.
  if (EVP_CipherInit_ex(context.get(), EVP_aes_256_xts(), nullptr, bytes, nullptr,
                        encrypts ? 1 : 0) != 1) {
    return nullptr;
  }
  return context;
}

Result<BlockCipher> BlockCipher::make(std::span<const std::byte, kBackingKeyBytes> key) {
  constexpr std::size_t kHalf = kBackingKeyBytes / 2;
  // XTS with equal halves is weak; OpenSSL refuses it when encrypting only.
  if (std::memcmp(key.data(), key.data() + kHalf, kHalf) == 0) return fail(EINVAL);
  BlockCipher cipher;
  cipher.encryption_ = make_context(key, true);
  cipher.decryption_ = make_context(key, false);
  if (cipher.encryption_ == nullptr || cipher.decryption_ == nullptr) return fail(EINVAL);
  return cipher;
}

void BlockCipher::run(evp_cipher_ctx_st& context, Tweak tweak, MutableBytes unit) {
  UZ_DCHECK(unit.size() >= kCipherStepBytes && unit.size() % kCipherStepBytes == 0);
  std::array<unsigned char, kTweakBytes> raw;
  store_little_endian(tweak.block, raw.data());
  store_little_endian(tweak.generation, raw.data() + sizeof tweak.block);
  auto* bytes = reinterpret_cast<unsigned char*>(unit.data());
  int done = 0;
  // The key and the direction (-1) stay.
  UZ_CHECK(EVP_CipherInit_ex(&context, nullptr, nullptr, nullptr, raw.data(), -1) == 1);
  UZ_CHECK(EVP_CipherUpdate(&context, bytes, &done, bytes, static_cast<int>(unit.size())) == 1);
  UZ_CHECK(static_cast<std::size_t>(done) == unit.size());
}

}  // namespace uzram
