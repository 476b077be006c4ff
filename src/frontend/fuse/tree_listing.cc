// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/tree_listing.h"

#include <algorithm>

#include "control/attribute_table.h"
#include "device/device.h"

namespace uzram {

Result<std::string> TreeListing::take_lines(Place& place, std::uint64_t most_lines) {
  std::string text;
  while (place.page && most_lines > 0) {
    // Never past a mark without setting it.
    const std::uint64_t to_mark = kMarkLines - place.line % kMarkLines;
    auto part = attribute_.list(device_, *place.page, std::min(most_lines, to_mark));
    if (!part) return fail(part.error().code);
    const std::uint64_t lines = part->text.size() / attribute_.line_bytes;
    place.line += lines;
    place.page = part->next;
    most_lines -= lines;
    text += part->text;
    const bool is_at_next_mark = lines > 0 && place.line == (marks_.size() + 1) * kMarkLines;
    if (is_at_next_mark && place.page) marks_.push_back(*place.page);
  }
  return text;
}

Result<TreeListing::Place> TreeListing::find(std::uint64_t line) {
  if (line == end_.line) return end_;
  Place place;
  if (const auto mark = std::min<std::uint64_t>(line / kMarkLines, marks_.size()); mark > 0) {
    place.line = mark * kMarkLines;
    place.page = marks_[mark - 1];
  }
  if (end_.line > place.line && end_.line < line) place = end_;
  constexpr std::uint64_t kMostSkipped = 4096;  // Their texts are made and thrown away.
  while (place.page && place.line < line) {
    const auto skipped = take_lines(place, std::min(line - place.line, kMostSkipped));
    if (!skipped) return tl::unexpected(skipped.error());
  }
  return place;
}

Result<std::size_t> TreeListing::read(std::uint64_t offset, MutableBytes out) {
  const std::uint64_t width = attribute_.line_bytes;
  if (offset == 0) {
    marks_.clear();
    end_ = {};
    split_line_.clear();
  }
  const std::uint64_t first_line = offset / width;
  if (first_line > device_.disksize() / kPageBytes) return 0;
  const std::uint64_t skipped_bytes = offset % width;
  std::string text;
  Place place;
  if (skipped_bytes != 0 && !split_line_.empty() && end_.line == first_line + 1) {
    text = split_line_;
    place = end_;
  } else {
    const Result<Place> found = find(first_line);
    if (!found) return tl::unexpected(found.error());
    place = *found;
    if (place.line < first_line) return 0;  // There are not so many.
  }
  const std::uint64_t wanted = skipped_bytes + out.size();
  if (wanted > text.size()) {
    const auto more = take_lines(place, (wanted - text.size() + width - 1) / width);
    if (!more) return tl::unexpected(more.error());
    text += *more;
  }
  if (text.size() <= skipped_bytes) return 0;
  const std::size_t bytes = std::min<std::size_t>(out.size(), text.size() - skipped_bytes);
  const auto* const begin = reinterpret_cast<const std::byte*>(text.data()) + skipped_bytes;
  std::copy_n(begin, bytes, out.data());
  const std::size_t end_in_line = (skipped_bytes + bytes) % width;
  split_line_ = end_in_line == 0 ? std::string() : text.substr(text.size() - width);
  end_ = place;
  return bytes;
}

}  // namespace uzram
