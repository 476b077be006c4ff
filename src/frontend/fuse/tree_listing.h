// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/tree_listing.h: a long text that is made while it is read, from any byte on.
//
// What:    an attribute that comes in parts (control/attribute_table.h) as the content of an open
//          file. All lines have one width, so an offset is a line's number and a place in it. Line
//          n is that of the n-th stored page.
// Shapes:  pages come and go while somebody reads. What was read keeps its place: the line behind
//          it is that of the next stored page, so no page comes twice or is left out because of
//          changes further up; and a line that was handed out by half goes on as it began. A read
//          at offset 0 begins anew. Other offsets are counted from the last line before them whose
//          page is remembered: one in kMarkLines, and where the last read ended.
// Memory:  8 bytes for kMarkLines lines, and what one read asks for.
// Errors:  read -> the attribute's own.
// Threads: one at a time.
// Proof:   tree_listing_test.cc.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace uzram {

class Device;
struct Attribute;

class TreeListing {
 public:
  static constexpr std::uint64_t kMarkLines = 65536;

  // Requires: attribute.list. Both must outlive the listing.
  TreeListing(const Device& device, const Attribute& attribute)
      : device_(device), attribute_(attribute) {}

  // Returns: how many bytes; fewer than `out` has at the end only.
  Result<std::size_t> read(std::uint64_t offset, MutableBytes out);

 private:
  struct Place {
    std::uint64_t line = 0;
    std::optional<PageIndex> page = PageIndex{0};  // The first that may have the line; absent at
                                                   // the end.
  };
  // At most `most_lines` lines from `place` on, which moves behind them.
  Result<std::string> take_lines(Place& place, std::uint64_t most_lines);
  Result<Place> find(std::uint64_t line);

  const Device& device_;
  const Attribute& attribute_;
  std::vector<PageIndex> marks_;  // marks_[n]: where line (n + 1) * kMarkLines is.
  Place end_;                     // Of the last read, behind the line it ended in.
  std::string split_line_;        // The line that it ended in, if in the middle.
};

}  // namespace uzram
