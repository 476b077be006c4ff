// SPDX-License-Identifier: Apache-2.0
// pager/pager_file_fixture.h: a cluster file in memory, mapped by a pager, in tests.
#pragma once

#include <memory>
#include <vector>

#include "cluster/cluster_file.h"
#include "cluster/memory_storage.h"
#include "pager/pager_fixture.h"

namespace uzram {

// A cluster file on a disk that tests can fill, fail and damage.
struct TestClusterFile {
  std::shared_ptr<MemoryDisk> disk = std::make_shared<MemoryDisk>();
  std::shared_ptr<ClusterFile> file;

  TestClusterFile(std::shared_ptr<MemoryDisk> on, std::shared_ptr<ClusterFile> held)
      : disk(std::move(on)), file(std::move(held)) {}
  explicit TestClusterFile(unsigned log_pages = kLeastClusterLog) {
    ClusterOptions options;
    options.log_pages = log_pages;
    auto made = ClusterFile::create(std::make_unique<MemoryStorage>(disk), options, {});
    EXPECT_TRUE(made.has_value());
    if (made) file = std::move(*made);
  }
  // Page i is test page `seed + i`; the last one has `extra_bytes` only, if any.
  void fill(std::uint64_t pages, std::uint64_t seed = 0, std::size_t extra_bytes = 0) {
    std::vector<std::byte> content((pages + 1) * kPageBytes);
    for (std::uint64_t page = 0; page <= pages; ++page)
      fill_test_page(content.data() + page * kPageBytes, seed + page);
    content.resize(pages * kPageBytes + extra_bytes);
    EXPECT_TRUE(file->write(0, content).has_value());
    EXPECT_TRUE(file->sync().has_value());
  }
  // With buffers for two clusters only, so that writes go to the disk at once.
  void open_again_without_cache() {
    auto opened = ClusterFile::open(std::make_unique<MemoryStorage>(disk), StorageMode::Write,
                                    {.cache_bytes = 0, .thread_count = 1});
    EXPECT_TRUE(opened.has_value());
    if (opened) file = std::move(*opened);
  }
  // Whether a page of the file is this one, now.
  [[nodiscard]] bool has_page(std::uint64_t page, std::uint64_t seed) const {
    std::array<std::byte, kPageBytes> content{};
    const auto got = file->read(page * kPageBytes, content);
    return got && *got == kPageBytes && is_test_page(content.data(), seed);
  }
  // What a crash would leave, opened anew.
  [[nodiscard]] TestClusterFile after_crash() const {
    TestClusterFile left{std::make_shared<MemoryDisk>(), nullptr};
    left.disk->bytes = left.disk->durable = disk->durable;
    auto opened =
        ClusterFile::open(std::make_unique<MemoryStorage>(left.disk), StorageMode::Read, {});
    EXPECT_TRUE(opened.has_value());
    if (opened) left.file = std::move(*opened);
    return left;
  }
};

class PagerFileFixture : public EveryBackend {
 protected:
  std::byte* map(const TestClusterFile& from, std::uint64_t pages, MapSharing sharing,
                 AccessHint hint = AccessHint::Normal, std::uint64_t first_page = 0) {
    auto made = pager().map_cluster_file(from.file, first_page * kPageBytes, pages * kPageBytes,
                                         sharing, hint);
    EXPECT_TRUE(made.has_value()) << std::strerror(errno_of(made));
    return made ? *made : nullptr;
  }
  // Without threads that pack, so that nothing depends on who is faster.
  static PagerConfig alone(std::uint64_t limit_bytes = 8 * kMebibyte) {
    PagerConfig quiet = config(limit_bytes);
    quiet.compressor_threads = 0;
    return quiet;
  }
  void put_away(std::byte* start, std::uint64_t pages) {
    ASSERT_EQ(errno_of(pager().page_out(start, pages * kPageBytes)), 0);
  }
  int sync(std::byte* start, std::uint64_t pages) {
    return errno_of(pager().sync(start, pages * kPageBytes));
  }
};

}  // namespace uzram
