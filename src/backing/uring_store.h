// SPDX-License-Identifier: Apache-2.0
// backing/uring_store.h: a file or block device through io_uring.
//
// What:    each request has a small ring of its own, so that whoever holds the request submits and
//          waits without a lock, a helper thread or a wake-up in between.
// Errors:  make -> EPERM, ENOSYS, ENOMEM and the like where io_uring is forbidden or too old: then
//          `file` is as it was (threaded_store.h can have it).
// Proof:   backing_store_test.cc.
#pragma once

#include <memory>

#include "backing/backing_file.h"

namespace uzram {

Result<std::unique_ptr<BackingStore>> make_uring_store(BackingFile& file,
                                                       const BackingOptions& options);

}  // namespace uzram
