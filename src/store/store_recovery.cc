// SPDX-License-Identifier: Apache-2.0
// Opening the arena of a process that is gone, and the proof that an arena is consistent.
//
// The slot words alone decide: every object that a word points to is live, everything else in the
// pool is free. A process killed between building an object and publishing its word leaves bytes
// that nobody points to; one killed between publishing and freeing leaves the old object the same
// way. Both go back to the kernel here.
#include <chrono>
#include <map>
#include <thread>

#include "backing/open_backing_store.h"
#include "base/check.h"
#include "store/same_filled.h"
#include "store/store.h"

namespace uzram {

namespace {

// The lock of a process that was killed goes with its last request, a moment after itself.
constexpr std::chrono::seconds kPatience{5};

std::unique_ptr<BackingStore> find_backing_store(const std::string& where) {
  const auto last = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    auto opened = open_backing_store(where);
    if (opened) return std::move(*opened);
    if (opened.error().code != EBUSY || std::chrono::steady_clock::now() >= last) return nullptr;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace

Result<std::unique_ptr<Store>> Store::open(FileDescriptor memfd, std::size_t lane_count,
                                           std::unique_ptr<BackingStore> backing,
                                           LaneUse lane_use) {
  auto arena = Arena::open(std::move(memfd));
  if (!arena) return tl::unexpected(arena.error());
  const Result<StoreConfig> config = read_arena_header(**arena);
  if (!config) return tl::unexpected(config.error());
  const Result<ArenaLayout> layout = make_layout(*config);
  if (!layout) return tl::unexpected(layout.error());
  if (backing == nullptr && !config->backing.where.empty())
    backing = find_backing_store(config->backing.where);
  // Another store than the one that was written to is none.
  if (backing != nullptr && backing->block_count() != config->backing.block_count) backing.reset();
  auto store = make(*config, std::move(*arena), *layout, lane_count, std::move(backing), lane_use);
  if (!store) return store;
  if (const Result<void> recovered = (*store)->recover(); !recovered)
    return tl::unexpected(recovered.error());
  return store;
}

bool Store::is_plausible(SlotWord word, SlotKind kind) const {
  if (!word.is_well_formed()) return false;
  const bool is_cluster =
      word.state() == SlotState::Cluster || word.state() == SlotState::ClusterWrittenBack;
  if (word.is_empty() || word.state() == SlotState::Lost) return true;
  if (is_cluster != (kind == SlotKind::Cluster)) return false;
  switch (word.state()) {
    case SlotState::Packed:
      return codecs_[static_cast<std::size_t>(word.priority())] != nullptr &&
             object_bytes(word) <= kPageBytes;
    case SlotState::Shared:
      return kind == SlotKind::Page && regions_.is_shared(word.slot());
    case SlotState::Member:
      return regions_.is_cluster(word.slot());
    case SlotState::WrittenBack:
      return !config_.backing.where.empty() &&
             codecs_[static_cast<std::size_t>(word.priority())] != nullptr;
    case SlotState::ClusterWrittenBack:
      return !config_.backing.where.empty();
    default:
      return true;
  }
}

void Store::survey_region(std::uint64_t begin, std::uint64_t end) {
  for (std::uint64_t slot = table_.next_touched(begin, end); slot < end;
       slot = table_.next_touched(slot + 1, end)) {
    const SlotWord word = table_.load({slot});
    if (!is_plausible(word, kind_of({slot}))) continue;
    if (word.state() == SlotState::Cluster) cluster_objects_.survey(word);
    const std::size_t bytes = object_bytes(word);
    if (bytes != 0) pool_->survey(word.handle(), bytes);
  }
}

// Finds the table's resident pages, and asks every word which classes it votes for.
void Store::survey_table() {
  const std::uint64_t table_end = layout_.table_offset + layout_.table_bytes;
  for (std::uint64_t offset = arena_->next_resident(layout_.table_offset); offset < table_end;
       offset = arena_->next_resident(offset + kPageBytes)) {
    table_.touch({(offset - layout_.table_offset) / sizeof(std::uint64_t)});
  }
  survey_region(0, regions_.pages_end);
  survey_region(regions_.shared_begin, regions_.cluster_end);
}

void Store::count_users(SlotWord word) {
  if (word.state() == SlotState::Shared) shared_->adopt_user(word.slot());
  if (word.state() == SlotState::Member) clusters_->adopt_user(word.slot());
}

// Requires: the words are those that stay, but for what they refer to.
void Store::count_users_of_region(std::uint64_t begin, std::uint64_t end) {
  for (std::uint64_t slot = table_.next_touched(begin, end); slot < end;
       slot = table_.next_touched(slot + 1, end)) {
    const SlotKind kind = kind_of({slot});
    if (kind == SlotKind::Shared && shared_->users({slot}) == 0) continue;
    const SlotWord word = table_.load({slot});
    if (is_plausible(word, kind)) count_users(word);
  }
}

// The word that the slot shall have, with its objects adopted.
SlotWord Store::recovered_word(SlotWord word, SlotKind kind) {
  word = word.without(SlotWord::kBusy | SlotWord::kClaimed | SlotWord::kMarked);
  if (!is_plausible(word, kind)) return SlotWord::lost();
  const std::size_t bytes = object_bytes(word);
  if (bytes != 0) return pool_->adopt(word.handle(), bytes) ? word : SlotWord::lost();
  switch (word.state()) {
    case SlotState::Cluster:
      return cluster_objects_.adopt(word) ? word : SlotWord::lost();
    case SlotState::Shared:
    case SlotState::Member: {
      // Recovered before: what it says now stays.
      const SlotWord target = word_of_slot(word.slot());
      const bool is_there = !target.is_empty() && target.state() != SlotState::Lost;
      return is_there ? word : SlotWord::lost();
    }
    case SlotState::WrittenBack:
      return backing_ == nullptr || backing_->adopt(word.place(), bytes_written_back(word))
                 ? word
                 : SlotWord::lost();
    case SlotState::ClusterWrittenBack:
      return backing_ == nullptr || backing_->adopt(word.place(), word.written_bytes())
                 ? word
                 : SlotWord::lost();
    default:
      return word;
  }
}

// Shared and cluster slots: those without users were about to be made or to be dropped. The others
// are adopted; of one that cannot be, the users are lost.
void Store::adopt_users_region(SharedSlots& slots, SlotKind kind) {
  const std::uint64_t begin = slots.begin();
  const std::uint64_t end = kind == SlotKind::Shared ? regions_.shared_end : regions_.cluster_end;
  for (std::uint64_t slot = table_.next_touched(begin, end); slot < end;
       slot = table_.next_touched(slot + 1, end)) {
    SlotWord kept;
    if (slots.users({slot}) != 0) {
      kept = recovered_word(table_.load({slot}), kind);
      if (kept.state() == SlotState::Lost) kept = SlotWord{};
    }
    table_.overwrite({slot}, kept);
    counters_.replace(SlotWord{}, kept, kind);
  }
}

Result<void> Store::recover() {
  survey_table();
  count_users_of_region(0, regions_.pages_end);
  count_users_of_region(regions_.shared_begin, regions_.shared_end);
  // What pages own comes first: a page that was about to share its content still owns it.
  const std::uint64_t end = regions_.pages_end;
  const auto recover_pages = [this, end](bool owners) {
    for (std::uint64_t page = table_.next_touched(0, end); page < end;
         page = table_.next_touched(page + 1, end)) {
      const SlotWord word = table_.load({page});
      const bool refers = word.state() == SlotState::Shared || word.state() == SlotState::Member;
      if (refers == owners) continue;
      const SlotWord kept = recovered_word(word, SlotKind::Page);
      if (kept != word) table_.overwrite({page}, kept);
      counters_.replace(SlotWord{}, kept);
      // Nobody knows when; not long ago, then.
      note_access({page});
    }
  };
  recover_pages(true);
  adopt_users_region(*clusters_, SlotKind::Cluster);
  adopt_users_region(*shared_, SlotKind::Shared);
  recover_pages(false);
  forget_lost_users();
  if (backing_ != nullptr) backing_->finish_adoption();
  raw_pages_since_.store(static_cast<std::uint64_t>(sums().raw_pages), std::memory_order_relaxed);
  needs_dedup_index_.store(dedup_ != nullptr && sums().stored_pages != 0,
                           std::memory_order_relaxed);
  if (const Result<void> prepared = prepare_found_clusters(); !prepared) return prepared;
  return pool_->finish_adoption();
}

// Slots that turned out damaged have no users any more: those were lost with them.
void Store::forget_lost_users() {
  const auto forget = [this](SharedSlots& slots) {
    for (std::uint64_t slot = slots.begin(); slot < slots.end(); ++slot) {
      if (slots.users({slot}) != 0 && word_of_slot({slot}).is_empty()) slots.forget({slot});
    }
  };
  forget(*shared_);
  forget(*clusters_);
}

Result<void> Store::prepare_found_clusters() {
  if (clusters_->taken() == 0) return {};
  for (std::uint64_t slot = clusters_->begin(); slot < clusters_->end(); ++slot) {
    if (clusters_->users({slot}) == 0) continue;
    const SlotWord word = word_of_slot({slot});
    if (word.state() == SlotState::ClusterWrittenBack)
      clusters_->set_size({slot}, clusters_->users({slot}));  // At least; it is not worth a read.
    if (word.state() == SlotState::Cluster)
      clusters_->set_size({slot}, cluster_objects_.page_count(word));
  }
  return cluster_cache_.prepare(kMostClusterPages);
}

// --- the proof

// Returns: how many objects of the pool the region's words point to.
std::uint64_t Store::check_region(std::uint64_t begin, std::uint64_t end, StoreSums& sums) const {
  std::uint64_t objects = 0;
  for (std::uint64_t slot = table_.next_touched(begin, end); slot < end;
       slot = table_.next_touched(slot + 1, end)) {
    const SlotWord word = table_.load({slot});
    UZ_CHECK(!word.is_busy() && !word.is_claimed());
    UZ_CHECK(is_plausible(word, kind_of({slot})));
    sums += StoreSums::of(word, kind_of({slot}));
    if (word.state() == SlotState::Cluster) objects += ClusterObjects::object_count(word);
    const std::size_t bytes = object_bytes(word);
    if (bytes == 0) continue;
    ++objects;
    if (word.state() != SlotState::Packed || !config_.has_page_checks) continue;
    const MutableBytes object = pool_->at(word.handle(), bytes);
    UZ_CHECK(matches_page_check(object.data() + word.packed_bytes(),
                                page_check_(object.data(), word.packed_bytes())));
  }
  return objects;
}

// Counts of users against the words that use.
void Store::check_users() const {
  std::map<std::uint64_t, std::uint32_t> users;
  const auto count = [&](std::uint64_t begin, std::uint64_t end) {
    for (std::uint64_t slot = table_.next_touched(begin, end); slot < end;
         slot = table_.next_touched(slot + 1, end)) {
      const SlotWord word = table_.load({slot});
      if (word.state() == SlotState::Shared || word.state() == SlotState::Member)
        ++users[word.slot().value];
    }
  };
  count(0, regions_.pages_end);
  count(regions_.shared_begin, regions_.shared_end);
  for (const auto& [slot, number] : users) {
    const SharedSlots& slots = regions_.is_shared({slot}) ? *shared_ : *clusters_;
    UZ_CHECK(slots.users({slot}) == number);
    UZ_CHECK(!word_of_slot({slot}).is_empty());
  }
  const StoreSums sums = counters_.sum();
  UZ_CHECK(users.size() == static_cast<std::size_t>(sums.shared_slots + sums.clusters));
  UZ_CHECK(shared_->taken() == static_cast<std::uint64_t>(sums.shared_slots));
  UZ_CHECK(clusters_->taken() == static_cast<std::uint64_t>(sums.clusters));
}

void Store::check_invariants() const {
  StoreSums sums;
  std::uint64_t objects = check_region(0, regions_.pages_end, sums);
  objects += check_region(regions_.shared_begin, regions_.cluster_end, sums);
  UZ_CHECK(sums == counters_.sum());
  UZ_CHECK(objects == pool_->check_invariants());
  if (backing_ != nullptr) backing_->check_invariants();
  check_users();
}

}  // namespace uzram
