// SPDX-License-Identifier: Apache-2.0
// control/block_state.h: one line for each stored page, as the kernel's debugfs file has it.
//
// What:    lines from any page on, so many at a time: the text of a large device is long. Not here:
//          byte offsets into it (frontend/fuse/tree_listing.h).
// Shapes:  a line is the page's number in 12 columns, its last access in seconds since boot in 12
//          columns and a fraction of 6 digits that is always 0 (a time takes 4 bytes a page), and
//          six flags in the order s w h i r n, each a '.' when it is clear: kBlockStateLineBytes in
//          all. A page that recovery found damaged holds nothing and has no line.
// Threads: any. Pages may change meanwhile: each line is right at its own moment.
// Proof:   block_state_test.cc.
// Source:  read_block_state of the kernel's zram, version 6.12; 7.0 for the fraction.
#pragma once

#include "control/attribute_table.h"

namespace uzram {

inline constexpr std::size_t kBlockStateLineBytes = 40;

// Errors: EINVAL no disksize.
[[nodiscard]] InputResult<TextPart> list_block_state(const Device& device, PageIndex first,
                                                     std::size_t most_lines);

}  // namespace uzram
