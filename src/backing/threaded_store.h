// SPDX-License-Identifier: Apache-2.0
// backing/threaded_store.h: a file or block device through pread and pwrite, where io_uring is not
// to be had.
//
// What:    a helper thread for each request, so that who waits can stop waiting. A thread that the
//          system never lets go is left behind with what it uses.
// Errors:  make -> EAGAIN when the system allows no more threads, ENOMEM.
// Proof:   backing_store_test.cc.
#pragma once

#include <memory>

#include "backing/backing_file.h"

namespace uzram {

Result<std::unique_ptr<BackingStore>> make_threaded_store(BackingFile file,
                                                          const BackingOptions& options);

}  // namespace uzram
