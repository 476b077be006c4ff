// SPDX-License-Identifier: Apache-2.0
// backing/block_cipher.h: AES-256-XTS over one block at a time.
//
// Shapes:  a unit is the front of a block: any multiple of 16 bytes, at least 16.
// Errors:  make -> EINVAL when the key's two halves are the same or there is no such cipher.
// Threads: one at a time for each BlockCipher.
// Memory:  everything is made in the factory; encrypt and decrypt allocate nothing.
// Proof:   block_cipher_test.cc (the vectors of IEEE 1619).
// Source:  OpenSSL 3 (EVP_aes_256_xts).
#pragma once

#include <memory>
#include <span>

#include "base/result.h"
#include "base/units.h"

struct evp_cipher_ctx_st;

namespace uzram {

inline constexpr std::size_t kBackingKeyBytes = 64;
inline constexpr std::size_t kCipherStepBytes = 16;

class BlockCipher {
 public:
  // What makes equal content of two blocks, or of two versions of one, look different.
  struct Tweak {
    std::uint64_t block = 0;
    std::uint64_t generation = 0;
  };

  static Result<BlockCipher> make(std::span<const std::byte, kBackingKeyBytes> key);

  void encrypt(Tweak tweak, MutableBytes unit) { run(*encryption_, tweak, unit); }
  void decrypt(Tweak tweak, MutableBytes unit) { run(*decryption_, tweak, unit); }

 private:
  struct Deleter {
    void operator()(evp_cipher_ctx_st* context) const;
  };
  using Context = std::unique_ptr<evp_cipher_ctx_st, Deleter>;

  static Context make_context(std::span<const std::byte, kBackingKeyBytes> key, bool encrypts);
  static void run(evp_cipher_ctx_st& context, Tweak tweak, MutableBytes unit);

  Context encryption_;
  Context decryption_;
};

}  // namespace uzram
