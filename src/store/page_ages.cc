// SPDX-License-Identifier: Apache-2.0
#include "store/page_ages.h"

#include <algorithm>
#include <bit>

namespace uzram {
namespace {

// Whether the word can carry an idle mark.
bool has_idle_mark(SlotWord word) {
  switch (word.state()) {
    case SlotState::Packed:
    case SlotState::Raw:
    case SlotState::Member:
    case SlotState::Shared:
      return true;
    default:
      return false;
  }
}

template <typename Work>
void walk(Store& store, std::uint64_t begin, std::uint64_t end, Work work) {
  for (std::uint64_t slot = store.next_touched_slot(begin, end); slot < end;
       slot = store.next_touched_slot(slot + 1, end)) {
    const SlotWord word = store.word_of_slot({slot});
    if (!word.is_empty()) work(PageIndex{slot}, word);
  }
}
template <typename Work>
void walk_pages(Store& store, Work work) {
  walk(store, 0, store.regions().pages_end, work);
}
template <typename Work>
void walk_shared(Store& store, Work work) {
  walk(store, store.regions().shared_begin, store.shared_slots().end(), work);
}

void set_idle(Store& store, PageIndex slot, bool is_idle) {
  store.change_flags(slot, [is_idle](SlotWord word) {
    if (!has_idle_mark(word)) return word;
    return is_idle ? word.with(SlotWord::kIdle) : word.without(SlotWord::kIdle);
  });
}

bool is_written_back(const Store& store, SlotWord word) {
  if (word.state() == SlotState::WrittenBack) return true;
  return word.state() == SlotState::Member &&
         store.word_of_slot(word.slot()).state() == SlotState::ClusterWrittenBack;
}

// Requires: a word that has a form: not same-filled, shared or lost.
SlotForm form_of(const Store& store, SlotWord word) {
  if (is_written_back(store, word)) return SlotForm::WrittenBack;
  if (word.state() == SlotState::Member) {
    const std::size_t pages =
        std::clamp<std::size_t>(store.cluster_slots().size(word.slot()), 2, kMostClusterPages);
    const auto steps = std::bit_width(pages) - std::bit_width(std::size_t{2});
    return static_cast<SlotForm>(static_cast<int>(SlotForm::Cluster2) + static_cast<int>(steps));
  }
  if (word.is_incompressible()) return SlotForm::Incompressible;
  if (word.state() == SlotState::Raw) return SlotForm::Raw;
  return word.priority() == 0 ? SlotForm::Packed : SlotForm::Recompressed;
}

bool has_form(SlotWord word) {
  return word.state() == SlotState::WrittenBack ||
         (has_idle_mark(word) && word.state() != SlotState::Shared);
}

SlotWord swept(SlotWord word, const AgeSweep& sweep) {
  if (!has_idle_mark(word)) return word;
  int age = sweep.is_restart ? 0 : word.age();
  if (!sweep.is_restart && (sweep.advancing >> age & 1) != 0 && age < SlotWord::kMostAge) ++age;
  const SlotWord aged = word.with_age(age);
  return age >= sweep.idle_age ? aged.with(SlotWord::kIdle) : aged;
}

double packed_share_bytes(const Store& store, const PageState& state) {
  const SlotWord content = state.content;
  double bytes = 0;
  if (content.state() == SlotState::Packed) bytes = static_cast<double>(content.packed_bytes());
  if (content.state() == SlotState::Raw) bytes = kPageBytes;
  if (content.state() == SlotState::Member) {
    const SlotWord cluster = store.word_of_slot(content.slot());
    const std::uint32_t users = std::max(1U, store.cluster_slots().users(content.slot()));
    if (cluster.state() == SlotState::Cluster)
      bytes = static_cast<double>(ClusterShape::of(cluster).stream_bytes) / users;
  }
  return bytes / std::max(1U, state.sharers);
}

}  // namespace

void mark_all_idle(Store& store) {
  const auto mark = [&store](PageIndex slot, SlotWord) { set_idle(store, slot, true); };
  walk_pages(store, mark);
  walk_shared(store, mark);
}

Result<void> mark_idle_for(Store& store, std::chrono::seconds age) {
  if (!store.config().tracks_access) return fail(EINVAL);
  const std::int64_t now = store.boot_seconds();
  const auto is_old = [&store, now, age](PageIndex page) {
    return now - static_cast<std::int64_t>(store.access_seconds(page)) >= age.count();
  };
  // Shared content is as young as its youngest page.
  walk_shared(store, [&store](PageIndex slot, SlotWord) { set_idle(store, slot, true); });
  walk_pages(store, [&](PageIndex page, SlotWord word) {
    const bool old = is_old(page);
    set_idle(store, page, old);
    if (!old && word.state() == SlotState::Shared) set_idle(store, word.slot(), false);
  });
  return {};
}

SlotCensus sweep_ages(Store& store, const AgeSweep& sweep) {
  SlotCensus census{};
  const auto visit = [&](PageIndex slot, SlotWord word) {
    SlotWord now = swept(word, sweep);
    if (now != word) {
      store.change_flags(slot, [&](SlotWord current) { return now = swept(current, sweep); });
    }
    if (!has_form(now)) return;
    const auto form = static_cast<std::size_t>(form_of(store, now));
    ++census[form][static_cast<std::size_t>(now.age())];
  };
  walk_pages(store, visit);
  walk_shared(store, visit);
  return census;
}

bool PageState::is_recompressed() const {
  if (content.state() == SlotState::Member) return true;
  return (content.state() == SlotState::Packed || content.state() == SlotState::WrittenBack) &&
         content.priority() > 0;
}

bool PageState::is_incompressible() const {
  return (content.state() == SlotState::Packed || content.state() == SlotState::Raw ||
          content.state() == SlotState::WrittenBack) &&
         content.is_incompressible();
}

std::optional<PageState> state_of(const Store& store, PageIndex page) {
  PageState state;
  state.page = page;
  state.word = store.word_of(page);
  if (state.word.is_empty()) return std::nullopt;
  state.content = state.word;
  if (state.word.state() == SlotState::Shared) {
    state.content = store.word_of_slot(state.word.slot());
    state.sharers = store.shared_slots().users(state.word.slot());
  }
  state.is_written_back = is_written_back(store, state.content);
  if (state.content.state() == SlotState::Member)
    state.cluster_pages = store.cluster_slots().size(state.content.slot());
  state.access_seconds = store.access_seconds(page);
  state.packed_share_bytes = packed_share_bytes(store, state);
  return state;
}

}  // namespace uzram
