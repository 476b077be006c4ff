// SPDX-License-Identifier: Apache-2.0
// Random commands on a pool and on a std::map at once. UZRAM_SEED repeats one run.
#include "pool/pool_model.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace uzram {
namespace {

constexpr int kCommands = 3'000;

// Written before each command: a check that fails in the pool aborts the program. Everything is
// checked after each command, so the one named here ends the shortest prefix that fails.
char current_run[200];

void print_current_run(int) {
  const ssize_t ignored = ::write(STDERR_FILENO, current_run, std::strlen(current_run));
  static_cast<void>(ignored);
  ::signal(SIGABRT, SIG_DFL);
}

PoolModel::Command next_command(Random& random) {
  std::array<std::uint8_t, PoolModel::kCommandBytes> raw;
  for (std::uint8_t& byte : raw) byte = static_cast<std::uint8_t>(random.next());
  return PoolModel::decode(raw.data());
}

// Returns: the commands that the model refused.
std::uint64_t run_commands(std::uint64_t seed, int command_count) {
  PoolModel model;
  Random random(seed);
  for (int i = 1; i <= command_count; ++i) {
    const PoolModel::Command command = next_command(random);
    std::snprintf(current_run, sizeof current_run,
                  "UZRAM_SEED=%llu fails after %d commands, the last of which is: %s\n",
                  static_cast<unsigned long long>(seed), i, PoolModel::text_of(command).c_str());
    model.run(command);
    if (i % 100 == 0) model.check_all();
  }
  return model.refused_count();
}

TEST(PoolModel, RandomCommandsLeaveThePoolAsTheMapSays) {
  const char* given = std::getenv("UZRAM_SEED");
  const std::uint64_t first = given != nullptr ? std::strtoull(given, nullptr, 10)
                                               : static_cast<std::uint64_t>(std::time(nullptr));
  std::printf("UZRAM_SEED=%llu\n", static_cast<unsigned long long>(first));
  const auto old_handler = ::signal(SIGABRT, print_current_run);
  std::uint64_t refused = 0;
  // Four seeds in a row may never run out of anything: seen once.
  for (std::uint64_t seed = first; seed < first + 4 || (refused == 0 && seed < first + 40); ++seed)
    refused += run_commands(seed, kCommands);
  ::signal(SIGABRT, old_handler);
  EXPECT_GT(refused, 0U) << "neither the limit nor the addresses ever ran out";
}

void check_a_spoiled_model() {
  PoolModel model;
  Random random(1);
  while (model.object_count() == 0) model.run(next_command(random));
  model.check_all();
  model.spoil();
  model.check_all();
}

// All of it in the child that dies: an arena is not inherited.
TEST(PoolModelDeathTest, ASpoiledByteIsNoticed) {
  EXPECT_DEATH(check_a_spoiled_model(), "check failed: .*memcmp");
}

}  // namespace
}  // namespace uzram
