// SPDX-License-Identifier: Apache-2.0
// Random commands against a pager and a plain copy at once, from a printed seed.
#include "pager/pager_model.h"

#include <cstdlib>
#include <random>

#include "pager/pager_fixture.h"

namespace uzram {
namespace {

constexpr int kRounds = 4;
constexpr int kCommands = UZ_PAGER_UNDER_SANITIZER != 0 ? 250 : 600;

// UZRAM_TEST_SEED runs a printed seed again.
std::uint64_t model_seed() {
  if (const char* const given = std::getenv("UZRAM_TEST_SEED"))
    return std::strtoull(given, nullptr, 0);
  return std::random_device()();
}

class PagerModelRun : public EveryBackend {};
INSTANTIATE_TEST_SUITE_P(Backends, PagerModelRun, backends_with_faults(), backend_name);

TEST_P(PagerModelRun, AgreesWithACopyOfMemory) {
  const std::uint64_t seed = model_seed();
  SCOPED_TRACE("UZRAM_TEST_SEED=" + std::to_string(seed));
  Random random(seed);
  for (int round = 0; round < kRounds; ++round) {
    const PagerConfig config =
        PagerModel::config_from(static_cast<std::uint8_t>(random.next()), GetParam());
    UZ_MAKE_PAGER(*this, config);
    PagerModel model(pager(), config);
    for (int i = 0; i < kCommands; ++i) {
      const std::uint64_t bytes = random.next();
      const PagerCommand command =
          pager_command_from(reinterpret_cast<const std::uint8_t*>(&bytes));
      const std::string difference = model.run(command);
      ASSERT_EQ(difference, "") << "round " << round << ", command " << i << ": operation "
                                << command.operation % 32;
    }
    ASSERT_EQ(model.compare_all(), "");
    pager_.reset();
  }
}

}  // namespace
}  // namespace uzram
