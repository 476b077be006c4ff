// SPDX-License-Identifier: Apache-2.0
#include "cluster/f2fs_file.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "cluster/f2fs_layout.h"

namespace uzram {
namespace {

bool is_data(std::uint32_t address) {
  return address != f2fs::kNoBlock && address != f2fs::kReservedBlock &&
         address != f2fs::kPackedCluster;
}

}  // namespace

F2fsResult<void> F2fsFile::check_readable() const {
  if (inode_.is_encrypted) return f2fs_fail(EACCES, place_ + ": its content is encrypted");
  const std::uint64_t most_bytes = inode_.inline_content.bytes != 0
                                       ? inode_.inline_content.bytes
                                       : map_.most_blocks() * kPageBytes;
  if (inode_.size_bytes > most_bytes) {
    return f2fs_fail(EUCLEAN, place_ + ": its size is " + std::to_string(inode_.size_bytes) +
                                  " bytes; its addresses reach " + std::to_string(most_bytes));
  }
  return {};
}

F2fsResult<F2fsCluster> F2fsFile::cluster(std::uint64_t index) {
  UZ_CHECK(inode_.is_compressed && inode_.inline_content.bytes == 0);
  const std::size_t page_count = inode_.cluster.page_count();
  const std::uint64_t first = index * page_count;
  const auto damaged = [&](const char* what) {
    return f2fs_fail(EUCLEAN, place_ + ": cluster " + std::to_string(index) + " " + what);
  };
  F2fsCluster found;
  bool has_ended = false;  // A packed cluster: there are no more blocks with data.
  for (std::size_t page = 0; page < page_count; ++page) {
    const auto place = map_.find(first + page);
    if (!place) return f2fs_fail(place.error());
    const std::uint32_t address = place->address;
    if (address == f2fs::kPackedCluster) {
      if (page != 0) return damaged("has its mark in the wrong place");
      found.is_packed = true;
    } else if (!found.is_packed) {
      found.blocks.push_back(is_data(address) ? address : f2fs::kNoBlock);
    } else if (is_data(address)) {
      if (has_ended) return damaged("has data behind a gap");
      found.blocks.push_back(address);
    } else {
      has_ended = true;
    }
    if (address == f2fs::kReservedBlock) ++found.reserved_blocks;
  }
  if (found.is_packed && found.blocks.empty()) return damaged("is packed but has no data");
  return found;
}

F2fsResult<void> F2fsFile::read_packed(const F2fsCluster& cluster, MutableBytes out) {
  UZ_CHECK(cluster.is_packed && out.size() == cluster.blocks.size() * kPageBytes);
  std::size_t done = 0;
  while (done < cluster.blocks.size()) {
    std::size_t count = 1;
    while (done + count < cluster.blocks.size() &&
           cluster.blocks[done + count] == cluster.blocks[done] + count) {
      ++count;
    }
    auto got = volume_.read_data(cluster.blocks[done], place_,
                                 out.subspan(done * kPageBytes, count * kPageBytes));
    if (!got) return got;
    done += count;
  }
  return {};
}

F2fsResult<void> F2fsFile::load_cluster(std::uint64_t index) {
  if (kept_index_ == index) return {};
  kept_index_.reset();
  is_unpacked_ = false;
  auto found = cluster(index);
  if (!found) return f2fs_fail(found.error());
  kept_cluster_ = *std::move(found);
  kept_index_ = index;
  return {};
}

F2fsResult<void> F2fsFile::unpack_kept() {
  if (is_unpacked_) return {};
  const std::string cluster_place = place_ + ": cluster " + std::to_string(*kept_index_);
  if (!unpacker_) {
    auto made = ClusterUnpacker::make(inode_.cluster.algorithm);
    if (!made) return f2fs_fail(made.error().code, place_ + ": no memory to unpack");
    unpacker_ = *std::move(made);
  }
  kept_.resize(inode_.cluster.cluster_bytes());
  packed_.resize(kept_cluster_.blocks.size() * kPageBytes);
  if (auto got = read_packed(kept_cluster_, packed_); !got) return got;
  const std::string where = cluster_place + " (block " + std::to_string(kept_cluster_.blocks[0]);
  if (!unpacker_->unpack(packed_, kept_))
    return f2fs_fail(EUCLEAN, where + ") does not unpack to its size");
  if (inode_.cluster.has_checksum && !is_cluster_checksum_right(packed_)) {
    if (checksum_faults_.count == 0) checksum_faults_.first_cluster = *kept_index_;
    ++checksum_faults_.count;
  }
  is_unpacked_ = true;
  return {};
}

F2fsResult<void> F2fsFile::read_in_page(std::uint64_t index, std::size_t offset, MutableBytes out) {
  std::uint32_t address = f2fs::kNoBlock;
  if (inode_.is_compressed) {
    const std::size_t page_count = inode_.cluster.page_count();
    if (auto got = load_cluster(index / page_count); !got) return got;
    const std::size_t page = index % page_count;
    if (kept_cluster_.is_packed) {
      if (auto got = unpack_kept(); !got) return got;
      std::memcpy(out.data(), &kept_[page * kPageBytes + offset], out.size());
      return {};
    }
    address = kept_cluster_.blocks[page];
  } else {
    const auto place = map_.find(index);
    if (!place) return f2fs_fail(place.error());
    address = place->address;
  }
  if (address == f2fs::kPackedCluster) {
    return f2fs_fail(EUCLEAN, place_ + ": page " + std::to_string(index) +
                                  " is packed, but the file is not compressed");
  }
  if (!is_data(address)) {
    std::memset(out.data(), 0, out.size());
    return {};
  }
  if (out.size() == kPageBytes) return volume_.read_data(address, place_, out);
  BlockBytes block;
  if (auto got = volume_.read_data(address, place_, block); !got) return got;
  std::memcpy(out.data(), &block[offset], out.size());
  return {};
}

F2fsResult<void> F2fsFile::read(std::uint64_t offset, MutableBytes out) {
  UZ_CHECK(offset <= inode_.size_bytes && out.size() <= inode_.size_bytes - offset);
  if (auto readable = check_readable(); !readable) return readable;
  if (out.empty()) return {};
  if (inode_.inline_content.bytes != 0) {
    const ConstBytes content = inode_.bytes_of(inode_.inline_content);
    std::memcpy(out.data(), &content[offset], out.size());
    return {};
  }
  std::size_t done = 0;
  while (done < out.size()) {
    const std::size_t in_page = (offset + done) % kPageBytes;
    const std::size_t bytes = std::min(kPageBytes - in_page, out.size() - done);
    auto got = read_in_page((offset + done) / kPageBytes, in_page, out.subspan(done, bytes));
    if (!got) return got;
    done += bytes;
  }
  return {};
}

F2fsResult<std::uint64_t> F2fsFile::next_data(std::uint64_t offset) {
  if (const auto readable = check_readable(); !readable) return f2fs_fail(readable.error());
  if (offset >= inode_.size_bytes || inode_.inline_content.bytes != 0)
    return std::min(offset, inode_.size_bytes);
  std::uint64_t index = offset / kPageBytes;
  while (index < bytes_to_pages(inode_.size_bytes)) {
    auto place = map_.find(index);
    if (!place) return f2fs_fail(place.error());
    const std::uint64_t next = place->next_index;
    if (inode_.is_compressed && !is_data(place->address)) {
      // The later pages of a packed cluster have no addresses, but data.
      place = map_.find(index - index % inode_.cluster.page_count());
      if (!place) return f2fs_fail(place.error());
    }
    if (is_data(place->address) || place->address == f2fs::kPackedCluster)
      return std::max(offset, index * kPageBytes);
    index = next;
  }
  return inode_.size_bytes;
}

}  // namespace uzram
