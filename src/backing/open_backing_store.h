// SPDX-License-Identifier: Apache-2.0
// backing/open_backing_store.h: from the word of `backing_dev` to a store.
//
// What:    a path of a block device or of an existing regular file, or an NBD URI (`nbd://`,
//          `nbd+unix://`, and with TLS `nbds://`, `nbds+unix://`).
// Errors:  ENOTBLK when the path is neither a block device nor a regular file; EINVAL when it holds
//          less than a block; EBUSY when something else uses it (another uzram, a mount, swap);
//          EROFS for an NBD export that may only be read; otherwise what open or connect said.
// Threads: any; blocks, for an NBD server up to the time limit.
// Proof:   open_backing_store_test.cc.
// Source:  the kernel's errno values for `backing_dev` (drivers/block/zram).
#pragma once

#include <memory>
#include <string>

#include "backing/backing_store.h"
#include "base/file_descriptor.h"

namespace uzram {

// Files and devices go through io_uring unless the system or the caller forbids it.
enum class FileEngine : std::uint8_t { Automatic, Threads };

[[nodiscard]] bool is_nbd_uri(const std::string& word);

Result<std::unique_ptr<BackingStore>> open_backing_store(const std::string& word,
                                                         const BackingOptions& options = {},
                                                         FileEngine engine = FileEngine::Automatic);

// Goes on with the open file of a process that has ended (BackingStore::descriptor), and with its
// lock.
Result<std::unique_ptr<BackingStore>> adopt_backing_file(FileDescriptor file,
                                                         const BackingOptions& options = {},
                                                         FileEngine engine = FileEngine::Automatic);

}  // namespace uzram
