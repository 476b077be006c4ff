// SPDX-License-Identifier: Apache-2.0
// cluster/cluster_file_fixture.h: a cluster file in memory beside the plain bytes that it should
// hold.
//
// What:   random changes, made to both; content that packs well, badly, or not at all.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "cluster/cluster_file.h"
#include "cluster/memory_storage.h"
#include "codec/page_kinds.h"

namespace uzram {

using ContentBytes = std::vector<std::byte>;

inline ContentBytes content_of(PageKind kind, std::size_t bytes, std::uint64_t seed = 1) {
  ContentBytes made(bytes);
  PageMaker(seed).fill(kind, made);
  return made;
}

inline ContentBytes read_whole(ClusterFile& file) {
  ContentBytes content(file.size_bytes());
  const auto got = file.read(0, content);
  EXPECT_TRUE(got) << (got ? 0 : got.error().code);
  EXPECT_EQ(got.value_or(0), content.size());
  return content;
}

inline std::unique_ptr<ClusterFile> open_bytes(const ContentBytes& bytes,
                                               StorageMode mode = StorageMode::Write) {
  auto disk = std::make_shared<MemoryDisk>();
  disk->bytes = disk->durable = bytes;
  auto opened = ClusterFile::open(std::make_unique<MemoryStorage>(disk), mode, {});
  return opened ? *std::move(opened) : nullptr;
}

// Changes at random from `base` on, to the file and to plain bytes alike.
class RandomChanges {
 public:
  RandomChanges(std::uint64_t seed, std::uint64_t most_bytes, std::uint64_t base = 0)
      : random_(seed), most_bytes_(base + most_bytes), base_(base) {}

  // Returns: what the file said. `plain` has the change when the file has it.
  Result<void> change(ClusterFile& file, ContentBytes& plain) {
    std::uint64_t offset = base_ + random_.below(most_bytes_ - base_);
    // Long writes from the beginning of a cluster take a way of their own.
    const bool is_aligned = random_.below(3) == 0;
    if (is_aligned) offset -= offset % (kPageBytes << (2 + random_.below(7)));
    const bool is_long = is_aligned || random_.below(4) == 0;
    const std::uint64_t bytes =
        std::min(1 + random_.below(is_long ? most_bytes_ - base_ : 9000), most_bytes_ - offset);
    switch (random_.below(8)) {
      case 0: {
        auto done = file.truncate(offset);
        if (done) plain.resize(offset);
        return done;
      }
      case 1: {
        auto done = file.punch(offset, bytes);
        if (done) {
          for (std::uint64_t i = offset; i < std::min<std::uint64_t>(offset + bytes, plain.size());
               ++i)
            plain[i] = std::byte{0};
        }
        return done;
      }
      case 2:
        return write(
            file, plain, file.size_bytes(),
            std::min<std::uint64_t>(bytes, most_bytes_ - std::min(most_bytes_, file.size_bytes())));
      default:
        return write(file, plain, offset, bytes);
    }
  }
  [[nodiscard]] Random& random() { return random_; }

  // Returns: whether some part of the file is as it should be.
  [[nodiscard]] bool reads_back(ClusterFile& file, const ContentBytes& plain) {
    const std::uint64_t offset = random_.below(most_bytes_);
    ContentBytes part(1 + random_.below(9000));
    const ConstBytes rest = ConstBytes(plain).subspan(std::min<std::size_t>(offset, plain.size()));
    const ConstBytes expected = rest.first(std::min(rest.size(), part.size()));
    const auto got = file.read(offset, part);
    if (!got) return false;
    part.resize(*got);
    return std::equal(part.begin(), part.end(), expected.begin(), expected.end());
  }

 private:
  Result<void> write(ClusterFile& file, ContentBytes& plain, std::uint64_t offset,
                     std::uint64_t bytes) {
    const ContentBytes content =
        content_of(kPageKinds[random_.below(kPageKinds.size())], bytes, random_.next());
    auto done = file.write(offset, content);
    if (!done || bytes == 0) return done;
    if (plain.size() < offset + bytes) plain.resize(offset + bytes);
    std::copy(content.begin(), content.end(), plain.begin() + static_cast<std::ptrdiff_t>(offset));
    return done;
  }

  Random random_;
  const std::uint64_t most_bytes_;
  const std::uint64_t base_;
};

}  // namespace uzram
