// SPDX-License-Identifier: Apache-2.0
// Nothing to write back to, instead of open_backing_store.cc and block_cipher.cc, for libraries
// that are loaded into other people's programs: a pager's device never gets a backing store, and
// what the stores need (NBD with its TLS, io_uring, OpenSSL) would be loaded with it.
#include "backing/block_cipher.h"
#include "backing/open_backing_store.h"
#include "base/check.h"

namespace uzram {

bool is_nbd_uri(const std::string&) { return false; }

Result<std::unique_ptr<BackingStore>> open_backing_store(const std::string&, const BackingOptions&,
                                                         FileEngine) {
  return fail(ENOSYS);
}

Result<std::unique_ptr<BackingStore>> adopt_backing_file(FileDescriptor, const BackingOptions&,
                                                         FileEngine) {
  return fail(ENOSYS);
}

Result<BlockCipher> BlockCipher::make(std::span<const std::byte, kBackingKeyBytes>) {
  return fail(ENOSYS);
}
// There is no cipher that they could be called for.
void BlockCipher::run(evp_cipher_ctx_st&, Tweak, MutableBytes) { UZ_CHECK(false); }
void BlockCipher::Deleter::operator()(evp_cipher_ctx_st*) const { UZ_CHECK(false); }

}  // namespace uzram
