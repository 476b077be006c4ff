// SPDX-License-Identifier: Apache-2.0
// control/backing_attributes.h: the backing store, and what is written back to it.
//
// What:    backing_dev, writeback, writeback_limit, writeback_limit_enable, writeback_batch_size,
//          compressed_writeback and, ours, backing_encryption. Not here: bd_stat (stat_text.h),
//          what is written (store/writeback.h).
// Shapes:  the kernel's; backing_dev takes files and NBD servers as well as block devices.
// Errors:  backing_dev -> EBUSY after disksize, or somebody else uses it; ENOTBLK neither a file
//          nor a block device; EINVAL less than a page; those of open. writeback -> EINVAL no
//          disksize, or a word that is none; ENODEV no backing store; ERANGE pages outside the
//          device; EIO the limit is used up, or the store failed; ENOSPC the store is full.
// Threads: any. writeback blocks while it works, and waits for another one.
// Proof:   backing_attributes_test.cc, attribute_fuzz.cc.
#pragma once

#include <string>
#include <string_view>

#include "control/input_error.h"

namespace uzram {

class Device;

[[nodiscard]] InputResult<std::string> show_backing_dev(const Device& device);
[[nodiscard]] InputResult<void> store_backing_dev(Device& device, std::string_view text);
[[nodiscard]] InputResult<void> store_writeback(Device& device, std::string_view text);
[[nodiscard]] InputResult<std::string> show_writeback_limit(const Device& device);
[[nodiscard]] InputResult<void> store_writeback_limit(Device& device, std::string_view text);
[[nodiscard]] InputResult<std::string> show_writeback_limit_enable(const Device& device);
[[nodiscard]] InputResult<void> store_writeback_limit_enable(Device& device, std::string_view text);
[[nodiscard]] InputResult<std::string> show_writeback_batch_size(const Device& device);
[[nodiscard]] InputResult<void> store_writeback_batch_size(Device& device, std::string_view text);

}  // namespace uzram
