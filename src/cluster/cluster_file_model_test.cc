// SPDX-License-Identifier: Apache-2.0
// Random changes, syncs and new openings against plain bytes.
#include <gtest/gtest.h>

#include "cluster/cluster_file_fixture.h"

namespace uzram {
namespace {

struct ModelRun {
  ClusterOptions options;
  std::uint64_t most_bytes;
  unsigned thread_count;
};
// What GoogleTest prints for one.
void PrintTo(const ModelRun& run, std::ostream* out) {
  *out << cluster_algorithm_text(run.options) << " " << run.options.log_pages;
}

class ClusterFileModel : public testing::TestWithParam<ModelRun> {};

TEST_P(ClusterFileModel, AgreesWithPlainBytes) {
  const ModelRun& run = GetParam();
  const ClusterFileLimits limits{.cache_bytes = 5 * run.options.cluster_bytes(),
                                 .thread_count = run.thread_count};
  const auto disk = std::make_shared<MemoryDisk>();
  auto file =
      ClusterFile::create(std::make_unique<MemoryStorage>(disk), run.options, limits).value();
  RandomChanges changes(77, run.most_bytes);
  ContentBytes plain;
  for (int step = 0; step < 150; ++step) {
    ASSERT_TRUE(changes.change(*file, plain)) << step;
    if (step % 5 == 0) {
      ASSERT_TRUE(read_whole(*file) == plain) << step;
    }
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(changes.reads_back(*file, plain)) << step;
    if (changes.random().below(8) == 0) {
      ASSERT_TRUE(file->sync());
      file->check_invariants();
    }
    if (changes.random().below(20) == 0) {
      ASSERT_TRUE(file->sync());
      file = ClusterFile::open(std::make_unique<MemoryStorage>(disk), StorageMode::Write, limits)
                 .value();
    }
  }
  ASSERT_TRUE(file->sync());
  EXPECT_EQ(file->verify([](std::uint64_t, std::uint64_t) {}, [](std::uint64_t) {}), 0U);
  EXPECT_TRUE(read_whole(*file) == plain);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, ClusterFileModel,
    testing::Values(ModelRun{{}, 400'000, 1},
                    ModelRun{
                        {.algorithm = ClusterAlgorithm::Zstd, .has_checksum = true}, 300'000, 1},
                    ModelRun{{.algorithm = ClusterAlgorithm::LzoRle, .log_pages = 4}, 600'000, 1},
                    ModelRun{{.log_pages = 8}, 5'000'000, 1}));

class ClusterFileThreadModel : public ClusterFileModel {};

TEST_P(ClusterFileThreadModel, PacksOnTwoThreads) {
  const ModelRun& run = GetParam();
  const auto disk = std::make_shared<MemoryDisk>();
  auto file = ClusterFile::create(std::make_unique<MemoryStorage>(disk), run.options,
                                  {.thread_count = run.thread_count})
                  .value();
  const ContentBytes content = content_of(PageKind::Text, run.most_bytes);
  ASSERT_TRUE(file->write(0, content));
  ASSERT_TRUE(file->sync());
  EXPECT_TRUE(read_whole(*open_bytes(disk->durable)) == content);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ClusterFileThreadModel,
                         testing::Values(ModelRun{{}, 3'000'000, 2},
                                         ModelRun{{.log_pages = 8}, 3'000'000, 3}));

}  // namespace
}  // namespace uzram
