// SPDX-License-Identifier: Apache-2.0
// cluster/f2fs_error.h: what is wrong with an f2fs image, and where.
//
// What:   an errno value and one line that names the place: a reader of damaged images is asked
//         where the damage is.
// Shapes: EUCLEAN: the image is damaged there. EOPNOTSUPP: it has a feature that is not read.
//         ENOENT, ENOTDIR, EISDIR, EINVAL: what was asked for. EIO and others: the device's own.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace uzram {

struct [[nodiscard]] F2fsError {
  int code = 0;      // A positive errno value.
  std::string text;  // "inode 5: ..."
};

template <typename T>
using F2fsResult = tl::expected<T, F2fsError>;

[[nodiscard]] inline tl::unexpected<F2fsError> f2fs_fail(int code, std::string text) {
  return tl::unexpected<F2fsError>(F2fsError{code, std::move(text)});
}
[[nodiscard]] inline tl::unexpected<F2fsError> f2fs_fail(F2fsError error) {
  return tl::unexpected<F2fsError>(std::move(error));
}

}  // namespace uzram
