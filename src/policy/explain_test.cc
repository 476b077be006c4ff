// SPDX-License-Identifier: Apache-2.0
#include "policy/explain.h"

#include <gtest/gtest.h>

#include "policy/policy_fixture.h"

namespace uzram {
namespace {

class Explain : public PolicyTest {
 protected:
  std::string text() { return explain(plan_, snapshot_, decision_); }
};

TEST_F(Explain, SaysThatItIsOff) {
  start("off");
  EXPECT_EQ(text(), "policy: off; nothing happens by itself. \"on\" starts it.\n");
}

TEST_F(Explain, SaysWhatHappensNowAndWhatEachStageWaitsFor) {
  abilities_.has_priority = {true, false, false, false};
  start("on");
  put_for(Stage::SmallCluster, PageForm::Packed, 300'000);
  snapshot_.memory_some_avg10_percent = 0.5;
  snapshot_.written_back_bytes += 1 << 30;
  look_after(Minutes(3));
  EXPECT_EQ(text(),
            "policy: on; 1 step now\n"
            "next look: in 1s\n"
            "pressure: none\n"
            "  processes wait for memory 0.5 % of the time; pressure begins at 5 %\n"
            "  no mem_limit is set\n"
            "stages; sweeps are 10m apart:\n"
            "  idle: after 10m, at the latest 20m\n"
            "    waits for the next sweep over all ages\n"
            "    next look in 7m\n"
            "  recompress: off: recomp_algorithm has no algorithm of priority 1\n"
            "  cluster: after 20m, at the latest 30m\n"
            "    now: 4096 of 300000 pages untouched for 20m: into clusters of 4 with "
            "zstd 1; at most 40 ms of CPU\n"
            "  large: after 1h, at the latest 1h30m\n"
            "    waits for pages that are untouched for 1h\n"
            "  deep: off: deep_after=off\n"
            "  writeback: after 8h, at the latest 17h30m\n"
            "    waits for pages that are untouched for 8h\n"
            "budgets:\n"
            "  CPU: 200 ms of 200 ms left; fills with 10 % of one core\n"
            "  pages: in 1s recompress and cluster 4096, write back 1024\n"
            "  writeback: 3 GiB of 4 GiB for 24 hours left\n");
}

TEST_F(Explain, SaysWhatPressureChanges) {
  start("on");
  put(PageForm::Packed, 1, 300'000);
  snapshot_.mem_limit_bytes = 100 << 20;
  snapshot_.pool_bytes = 96 << 20;
  look_after(Minutes(3));
  EXPECT_EQ(text(),
            "policy: on; 1 step now\n"
            "next look: in 1s\n"
            "pressure: high\n"
            "  this kernel shows no PSI\n"
            "  96 MiB of mem_limit 100 MiB are used; pressure begins at 85 %\n"
            "stages; sweeps are 10m apart:\n"
            "  idle: after 10m, at the latest 20m; under this pressure 0s to 10m\n"
            "    waits for the next sweep over all ages\n"
            "    next look in 7m\n"
            "  recompress: after 10m, at the latest 20m; under this pressure 0s to 10m\n"
            "    a later stage takes the same pages\n"
            "  cluster: after 20m, at the latest 30m; under this pressure 0s to 10m\n"
            "    now: 4096 of 300000 pages untouched since the last sweep (pressure): "
            "into clusters of 4 with zstd 1; at most 40 ms of CPU\n"
            "  large: after 1h, at the latest 1h30m; under this pressure 10m to 20m\n"
            "    waits for pages that are untouched for 10m (pressure)\n"
            "  deep: off: deep_after=off\n"
            "  writeback: after 8h, at the latest 17h30m; under this pressure 1h30m to "
            "9h30m\n"
            "    waits for pages that are untouched for 1h30m (pressure)\n"
            "budgets:\n"
            "  CPU: 200 ms of 200 ms left; fills with 10 % of one core\n"
            "  pages: in 1s recompress and cluster 4096, write back 1024\n"
            "  writeback: 4 GiB of 4 GiB for 24 hours left\n");
}

TEST_F(Explain, SaysHowLongItBacksOffAndHowMuchIsReady) {
  start("on bytes_per_day=unlimited psi_percent=off limit_percent=off");
  put_for(Stage::SmallCluster, PageForm::Packed, 300'000);
  snapshot_.foreground_requests = 1'000'000;
  look_after(Seconds(10));
  EXPECT_EQ(text(),
            "policy: on; nothing for 10s: backs off: 100000 foreground requests a "
            "second, a burst is above 20000\n"
            "next look: in 10s\n"
            "pressure: none\n"
            "  PSI is not asked\n"
            "  mem_limit is not asked\n"
            "stages; sweeps are 10m apart:\n"
            "  idle: after 10m, at the latest 20m\n"
            "    waits for the next sweep over all ages\n"
            "    next look in 9m50s\n"
            "  recompress: after 10m, at the latest 20m\n"
            "    backs off: 100000 foreground requests a second, a burst is above 20000\n"
            "    300000 pages are ready\n"
            "    next look in 10s\n"
            "  cluster: after 20m, at the latest 30m\n"
            "    backs off: 100000 foreground requests a second, a burst is above 20000\n"
            "    300000 pages are ready\n"
            "    next look in 10s\n"
            "  large: after 1h, at the latest 1h30m\n"
            "    backs off: 100000 foreground requests a second, a burst is above 20000\n"
            "    next look in 10s\n"
            "  deep: off: deep_after=off\n"
            "  writeback: after 8h, at the latest 17h30m\n"
            "    waits for pages that are untouched for 8h\n"
            "budgets:\n"
            "  CPU: 200 ms of 200 ms left; fills with 10 % of one core\n"
            "  pages: in 1s recompress and cluster 4096, write back 1024\n"
            "  writeback: as many bytes a day as there are\n");
}

}  // namespace
}  // namespace uzram
