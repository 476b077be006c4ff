// SPDX-License-Identifier: Apache-2.0
#include "store/dedup_index.h"

#include <algorithm>
#include <bit>

namespace uzram {

Result<std::unique_ptr<DedupIndex>> DedupIndex::create(std::uint64_t slot_count,
                                                       std::uint64_t most_contents) {
  const std::uint64_t most_buckets =
      std::max(kFirstBuckets, most_contents * 100 / (kMostLoad * kBucketEntries) + 1);
  auto buckets = SparseArray<Bucket>::create(most_buckets);
  if (!buckets) return tl::unexpected(buckets.error());
  auto tags = SparseArray<std::atomic<std::uint32_t>>::create(slot_count);
  if (!tags) return tl::unexpected(tags.error());
  return std::unique_ptr<DedupIndex>(new DedupIndex(std::move(*buckets), std::move(*tags)));
}

DedupIndex::Candidates DedupIndex::find(ContentTag tag) const {
  Candidates found;
  for (const std::uint64_t home : homes(tag, bucket_count_.load(std::memory_order_relaxed))) {
    for (const std::atomic<std::uint64_t>& place : buckets_[home].entries) {
      const std::uint64_t entry = place.load(std::memory_order_relaxed);
      if (entry == 0 || tag_in(entry) != tag || found.count == kCandidates) continue;
      found.slots[found.count++] = slot_in(entry);
    }
  }
  return found;
}

bool DedupIndex::try_put(std::uint64_t bucket, std::uint64_t entry) {
  for (std::atomic<std::uint64_t>& place : buckets_[bucket].entries) {
    std::uint64_t none = 0;
    if (place.load(std::memory_order_relaxed) == 0 &&
        place.compare_exchange_strong(none, entry, std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

// Puts the entry where another one is that has room in its other bucket. Buckets that were not
// split yet have twice the entries of those that were: without this a tenth of all contents found
// no room.
bool DedupIndex::try_displace(std::uint64_t bucket, std::uint64_t entry) {
  for (std::atomic<std::uint64_t>& place : buckets_[bucket].entries) {
    const std::uint64_t other = place.load(std::memory_order_relaxed);
    if (other == 0) continue;
    const std::array<std::uint64_t, 2> two =
        homes(tag_in(other), bucket_count_.load(std::memory_order_relaxed));
    const std::uint64_t elsewhere = two[0] == bucket ? two[1] : two[0];
    if (elsewhere == bucket || !try_put(elsewhere, other)) continue;
    std::uint64_t expected = other;
    if (place.compare_exchange_strong(expected, entry, std::memory_order_relaxed)) return true;
    // It was forgotten meanwhile: so is its copy.
    static_cast<void>(take_out(elsewhere, other));
  }
  return false;
}

bool DedupIndex::try_insert(std::uint64_t entry) {
  const ContentTag tag = tag_in(entry);
  const std::array<std::uint64_t, 2> two =
      homes(tag, bucket_count_.load(std::memory_order_relaxed));
  const auto used = [this](std::uint64_t bucket) {
    const auto& entries = buckets_[bucket].entries;
    return std::count_if(entries.begin(), entries.end(), [](const auto& place) {
      return place.load(std::memory_order_relaxed) != 0;
    });
  };
  // The emptier of the two.
  const bool is_first = used(two[0]) <= used(two[1]);
  return try_put(two[is_first ? 0 : 1], entry) || try_put(two[is_first ? 1 : 0], entry) ||
         try_displace(two[0], entry) || try_displace(two[1], entry);
}

int DedupIndex::insert(std::uint64_t entry) {
  if (try_insert(entry)) return 1;
  // All full. If that is because whoever makes the table larger has lost their processor, they are
  // waited for.
  if (needs_buckets()) {
    MutexLock lock(growth_mutex_);
    while (needs_buckets()) add_bucket();
  }
  if (try_insert(entry)) return 1;
  // Chance, which is rare: some other content is forgotten.
  const ContentTag tag = tag_in(entry);
  const std::uint64_t home = homes(tag, bucket_count_.load(std::memory_order_relaxed))[0];
  buckets_[home].entries[tag.value % kBucketEntries].store(entry, std::memory_order_relaxed);
  return 0;
}

bool DedupIndex::take_out(std::uint64_t bucket, std::uint64_t entry) {
  for (std::atomic<std::uint64_t>& place : buckets_[bucket].entries) {
    std::uint64_t expected = entry;
    if (place.load(std::memory_order_relaxed) == entry &&
        place.compare_exchange_strong(expected, 0, std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

int DedupIndex::remove(std::uint64_t entry) {
  const ContentTag tag = tag_in(entry);
  for (const std::uint64_t home : homes(tag, bucket_count_.load(std::memory_order_relaxed))) {
    if (take_out(home, entry)) return 1;
  }
  return 0;
}

// Adds buckets while the entries need them. Who finds somebody else at it leaves it to them.
void DedupIndex::grow() {
  if (!needs_buckets() || !growth_mutex_.try_lock()) return;
  while (needs_buckets()) add_bucket();
  growth_mutex_.unlock();
}

bool DedupIndex::needs_buckets() const {
  const std::uint64_t count = bucket_count_.load(std::memory_order_relaxed);
  const std::uint64_t room = count * kBucketEntries * kMostLoad / 100;
  return entry_count_.load(std::memory_order_relaxed) > room && count < buckets_.size();
}

// The new bucket gets its share of another's entries.
void DedupIndex::add_bucket() {
  const std::uint64_t fresh = bucket_count_.load(std::memory_order_relaxed);
  const std::uint64_t source = fresh - std::bit_floor(fresh);
  bucket_count_.store(fresh + 1, std::memory_order_relaxed);
  for (std::atomic<std::uint64_t>& place : buckets_[source].entries) {
    std::uint64_t entry = place.load(std::memory_order_relaxed);
    if (entry == 0) continue;
    const std::array<std::uint64_t, 2> two = homes(tag_in(entry), fresh + 1);
    if (two[0] == source || two[1] == source) continue;
    if (!place.compare_exchange_strong(entry, 0, std::memory_order_relaxed)) continue;
    if (!try_put(fresh, entry)) entry_count_.fetch_sub(1, std::memory_order_relaxed);
  }
}

void DedupIndex::set(PageIndex slot, ContentTag tag) {
  const ContentTag old{tags_[slot.value].exchange(tag.value, std::memory_order_relaxed)};
  if (old == tag) return;
  const int removed = old.value == 0 ? 0 : remove(entry_of(slot, old));
  const int inserted = insert(entry_of(slot, tag));
  const int added = inserted - removed;
  if (added != 0) {
    entry_count_.fetch_add(static_cast<std::uint64_t>(std::int64_t{added}),
                           std::memory_order_relaxed);
  }
  if (added > 0) grow();
}

void DedupIndex::clear(PageIndex slot) {
  if (tags_[slot.value].load(std::memory_order_relaxed) == 0) return;
  const ContentTag old{tags_[slot.value].exchange(0, std::memory_order_relaxed)};
  if (old.value != 0 && remove(entry_of(slot, old)) != 0)
    entry_count_.fetch_sub(1, std::memory_order_relaxed);
}

void DedupIndex::move(PageIndex from, PageIndex to) {
  const ContentTag tag = tag_of(from);
  if (tag.value == 0) return;
  clear(from);
  set(to, tag);
}

}  // namespace uzram
