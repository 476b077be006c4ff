// SPDX-License-Identifier: Apache-2.0
// Random commands on a store and on a std::map at once. UZRAM_SEED repeats one run;
// UZRAM_MODEL_STEPS=5000000 makes a long one of it.
#include "store/store_model.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

#include "store/background_fixture.h"

namespace uzram {
namespace {

// What runs, for the message when a check of the store ends the process.
char current_run[256];

void print_current_run(int) {
  const auto ignored = ::write(STDERR_FILENO, current_run, std::strlen(current_run));
  static_cast<void>(ignored);
  std::signal(SIGABRT, SIG_DFL);
}

void run_commands(const StoreConfig& config, std::uint64_t seed, int command_count) {
  std::signal(SIGABRT, print_current_run);
  Random random(seed);
  StoreModel model(config);
  for (int i = 0; i < command_count; ++i) {
    const std::uint64_t raw = random.next();
    std::array<std::uint8_t, kCommandBytes> bytes{};
    std::memcpy(bytes.data(), &raw, bytes.size());
    const Command command = command_from(bytes.data());
    const std::string text = to_text(command);
    std::snprintf(current_run, sizeof current_run, "seed %llu, command %d: %s\n",
                  static_cast<unsigned long long>(seed), i, text.c_str());
    // The run is the same for any prefix: commands 0 to i are the shortest that fail.
    ASSERT_EQ(model.run(command), "") << current_run;
    if (i % 100 == 99) {
      ASSERT_EQ(model.compare_all(), "") << current_run;
    }
  }
  ASSERT_EQ(model.compare_all(), "") << current_run;
  EXPECT_GT(model.changed_in_background(), 0U) << current_run;
  if (!config.backing.where.empty()) {
    EXPECT_GT(model.written_back(), 0U) << current_run;
    EXPECT_GT(model.brought_back(), 0U) << current_run;
  }
  std::signal(SIGABRT, SIG_DFL);
}

std::uint64_t first_seed() {
  const char* given = std::getenv("UZRAM_SEED");
  return given == nullptr ? 1 : std::strtoull(given, nullptr, 10);
}

// Two algorithms, the second for recompression.
using Algorithms = std::pair<const char*, const char*>;

int step_count(int usual) {
  const char* given = std::getenv("UZRAM_MODEL_STEPS");
  return given == nullptr ? usual : static_cast<int>(std::strtol(given, nullptr, 10));
}

StoreConfig config_with_everything(const char* first, const char* second) {
  StoreConfig config = config_of(first, second, kModelPages);
  config.uses_dedup = true;
  config.tracks_access = true;
  StoreModel::choose_disk(config);
  return config;
}

class StoreModelRun : public testing::TestWithParam<Algorithms> {};

TEST_P(StoreModelRun, AgreesWithAMap) {
  constexpr std::uint64_t kRuns = 4;
  const std::uint64_t first = first_seed();
  for (std::uint64_t seed = first; seed < first + kRuns && !HasFatalFailure(); ++seed)
    run_commands(config_with_everything(GetParam().first, GetParam().second), seed,
                 step_count(UZ_UNDER_SANITIZER ? 300 : 1000));
}

TEST(StoreModel, AgreesWithAMapWithoutPageChecks) {
  StoreConfig config = config_with_everything("lz4", "zstd");
  config.has_page_checks = false;
  config.backing.encrypts = false;
  run_commands(config, first_seed(), step_count(1000));
}

TEST(StoreModel, AgreesWithAMapWithoutDeduplicationAndBackingStore) {
  run_commands(config_of("lz4", "zstd", kModelPages), first_seed(), step_count(1000));
}

std::string algorithm_names(const testing::TestParamInfo<Algorithms>& row) {
  return std::string(row.param.first) + "_" + row.param.second;
}

INSTANTIATE_TEST_SUITE_P(Algorithms, StoreModelRun,
                         testing::Values(Algorithms("lz4", "zstd"), Algorithms("zstd", "lz4hc"),
                                         Algorithms("lzo", "zstd")),
                         algorithm_names);

}  // namespace
}  // namespace uzram
