// SPDX-License-Identifier: Apache-2.0
#include "pager/probe.h"

#include "pager/pager_fixture.h"

namespace uzram {
namespace {

TEST(PagerProbe, SaysWhatAPagerThenDoes) {
  const PagerProbe probe = probe_pager();
  for (const BackendProbe& each : probe.backends) {
    auto made = Pager::create(PagerFixture::config_of(each.backend));
    EXPECT_EQ(errno_of(made), each.code) << name_of(each.backend);
    EXPECT_EQ(each.fault_nanoseconds != 0, each.code == 0) << name_of(each.backend);
  }
  auto made = Pager::create(PagerFixture::config_of(PagerBackend::Automatic));
  ASSERT_TRUE(made.has_value());
  EXPECT_EQ((*made)->backend(), probe.automatic());
  EXPECT_EQ(probe.backends[2].code, 0) << "protected addresses work everywhere";
  EXPECT_EQ(probe.backends[3].code, 0);
  EXPECT_EQ(probe.userfaultfd_code == 0, probe.backends[1].code == 0);
  EXPECT_EQ(probe.backends[4].code, strict_refusal());
}

TEST(PagerProbe, AutomaticIsTheFirstThatWorks) {
  PagerProbe probe;
  probe.backends = {{{PagerBackend::Move, ENOSYS, 0},
                     {PagerBackend::Protect, 0, 5000},
                     {PagerBackend::Signal, 0, 9000},
                     {PagerBackend::Explicit, 0, 3000},
                     {PagerBackend::Strict, 0, 9000}}};
  EXPECT_EQ(probe.automatic(), PagerBackend::Protect);
}

}  // namespace
}  // namespace uzram
