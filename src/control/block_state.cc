// SPDX-License-Identifier: Apache-2.0
#include "control/block_state.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "device/device.h"

namespace uzram {

namespace {

void append_line(std::string& text, const PageState& state) {
  const auto flag = [](bool is_set, char letter) { return is_set ? letter : '.'; };
  const std::size_t start = text.size();
  fmt::format_to(std::back_inserter(text), "{:12} {:12}.{:06} {}{}{}{}{}{}\n", state.page.value,
                 state.access_seconds, 0, flag(state.is_same(), 's'),
                 flag(state.is_written_back, 'w'), flag(state.is_huge(), 'h'),
                 flag(state.word.is_idle(), 'i'), flag(state.is_recompressed(), 'r'),
                 flag(state.is_incompressible(), 'n'));
  UZ_DCHECK(text.size() - start == kBlockStateLineBytes);
}

}  // namespace

InputResult<TextPart> list_block_state(const Device& device, PageIndex first,
                                       std::size_t most_lines) {
  TextPart part;
  part.next = first;
  for (std::size_t line_count = 0; line_count < most_lines;) {
    const std::size_t most = std::min(most_lines - line_count, Device::kStatesAtOnce);
    const Result<std::vector<PageState>> states = device.page_states(*part.next, most);
    if (!states) {
      return refuse(states.error().code,
                    "block_state: the device has no disksize yet; write disksize first");
    }
    for (const PageState& state : *states) {
      if (state.word.state() == SlotState::Lost) continue;
      append_line(part.text, state);
      ++line_count;
    }
    if (states->size() < most) {
      part.next.reset();
      return part;
    }
    part.next = PageIndex{states->back().page.value + 1};
  }
  return part;
}

}  // namespace uzram
