// SPDX-License-Identifier: Apache-2.0
// What work in the background does to slots: read and mark, then replace what is still marked.
#include <cstring>

#include "base/check.h"
#include "store/store.h"

namespace uzram {

Result<bool> Store::read_and_mark(PageIndex slot, SlotWord seen, PageBuffer out) {
  const LaneHolder<ReadLane> lane(lanes_->read);
  const SlotWord word = table_.hold(slot);
  if (word != seen) {
    table_.release(slot, word);
    return false;
  }
  const Result<Fetched> fetched = fetch(*lane, word);
  table_.release(slot, fetched ? word.with(SlotWord::kMarked) : word);
  if (!fetched) return tl::unexpected(fetched.error());
  if (const Result<void> done = unpack_fetched(*lane, *fetched, out); !done) {
    release_mark(slot);
    return tl::unexpected(done.error());
  }
  return true;
}

Result<std::size_t> Store::copy_and_mark(PageIndex slot, SlotWord seen, MutableBytes out) {
  const SlotWord word = table_.hold(slot);
  if (word != seen) {
    table_.release(slot, word);
    return std::size_t{0};
  }
  const std::size_t object = object_bytes(word);
  std::size_t bytes = 0;
  if (word.state() == SlotState::Cluster) {
    bytes = cluster_objects_.copy_out(word, out);
  } else if (object != 0 && object <= out.size()) {
    std::memcpy(out.data(), pool_->at(word.handle(), object).data(), object);
    bytes = word.state() == SlotState::Packed ? word.packed_bytes() : object;
  }
  table_.release(slot, bytes == 0 ? word : word.with(SlotWord::kMarked));
  if (bytes == 0 || !config_.has_page_checks) return bytes;
  // Damage must not be carried along: on the other side it would have a check that holds.
  bool is_sound = true;
  if (word.state() == SlotState::Packed)
    is_sound = matches_page_check(out.data() + bytes, page_check_(out.data(), bytes));
  if (word.state() == SlotState::Cluster)
    is_sound = !checked_cluster(out.first(bytes), page_check_).empty();
  if (is_sound) return bytes;
  release_mark(slot);
  return fail(EIO);
}

Result<SlotWord> Store::build_alone(PageView content, SlotWord old_word) {
  const LaneHolder<WriteLane> lane(lanes_->write);
  return build(*lane, content, old_word);
}

bool Store::replace_marked(PageIndex slot, SlotWord fresh) {
  const std::optional<SlotWord> old_word = table_.publish_marked(slot, fresh);
  if (!old_word) return false;
  counters_.replace(*old_word, fresh, kind_of(slot));
  drop(*old_word);
  return true;
}

void Store::put(PageIndex page, SlotWord fresh) {
  table_.touch(page);
  retire(table_.publish(page, fresh), fresh);
  // What it was before says nothing of what it is.
  if (dedup_ != nullptr) dedup_->clear(page);
  note_access(page);
}

Result<bool> Store::try_claim_and_read(PageIndex page, SlotWord seen, PageBuffer out) {
  if (!table_.try_claim(page, seen)) return false;
  const LaneHolder<ReadLane> lane(lanes_->read);
  const SlotWord word = table_.hold(page);
  const Result<void> done = read_held(*lane, word, out);
  table_.release(page, word);
  if (done) return true;
  table_.unclaim(page);
  return tl::unexpected(done.error());
}

void Store::replace_claimed(PageIndex page, SlotWord fresh) {
  const int age = word_of(page).age();
  retire(table_.publish_claimed(page, fresh.with_age(age)), fresh);
}

void Store::unmark(PageIndex slot, std::uint64_t flags) {
  table_.change_flags(slot, [flags](SlotWord word) {
    if (!word.is_marked()) return word;
    return word.without(SlotWord::kMarked | SlotWord::kIdle).with(flags);
  });
}

Result<PageIndex> Store::add_cluster(MutableBytes stream, std::size_t packed_bytes,
                                     std::size_t page_count, LimitRule rule) {
  const std::optional<PageIndex> slot = clusters_->take();
  if (!slot) return fail(ENOSPC);
  const Result<SlotWord> word = cluster_objects_.build(stream, packed_bytes, page_check_, rule);
  if (!word) {
    static_cast<void>(clusters_->drop_user(*slot));
    clusters_->give(*slot);
    return tl::unexpected(word.error());
  }
  clusters_->add_users(*slot, static_cast<std::uint32_t>(page_count));
  clusters_->set_size(*slot, page_count);
  table_.touch(*slot);
  const SlotWord old_word = table_.publish(*slot, *word);
  UZ_DCHECK(old_word.is_empty());
  counters_.replace(old_word, *word, SlotKind::Cluster);
  return *slot;
}

}  // namespace uzram
