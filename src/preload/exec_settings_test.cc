// SPDX-License-Identifier: Apache-2.0
#include "preload/exec_settings.h"

#include <gtest/gtest.h>

namespace uzram {
namespace {

TEST(ExecSettings, ComeThroughTheEnvironmentAsTheyWere) {
  ExecSettings settings;
  settings.limit_bytes = 123456789;
  settings.algorithm = "zstd";
  settings.cluster_pages = 8;
  settings.threshold_bytes = 1000;
  settings.mmap_threshold_bytes = 70000;
  settings.backend = PagerBackend::Signal;
  settings.has_report = true;
  settings.stats_path = "/a path/with=signs and blanks";
  const auto read = read_exec_settings(write_exec_settings(settings));
  ASSERT_TRUE(read);
  EXPECT_EQ(123456789U, read->limit_bytes);
  EXPECT_EQ("zstd", read->algorithm);
  EXPECT_EQ(8U, read->cluster_pages);
  EXPECT_EQ(1000U, read->threshold_bytes);
  EXPECT_EQ(70000U, read->mmap_threshold_bytes);
  EXPECT_EQ(PagerBackend::Signal, read->backend);
  EXPECT_TRUE(read->has_report);
  EXPECT_EQ("/a path/with=signs and blanks", read->stats_path);
}

TEST(ExecSettings, RefuseWhatTheyDoNotKnow) {
  for (const char* const text : {"", "limit", "limit=", "limit=1x", "limit=5 colour=red",
                                 "limit=5 backend=thread", "limit=0", "algorithm=lz4"})
    EXPECT_FALSE(read_exec_settings(text)) << text;
  EXPECT_TRUE(read_exec_settings("limit=5"));
}

TEST(ExecSettings, NameEveryBackendThatFaults) {
  for (const PagerBackend each :
       {PagerBackend::Automatic, PagerBackend::Move, PagerBackend::Protect, PagerBackend::Signal,
        PagerBackend::Strict})
    EXPECT_EQ(each, find_exec_backend(exec_backend_name(each)));
  EXPECT_FALSE(find_exec_backend("explicit"));
  EXPECT_FALSE(find_exec_backend(""));
}

}  // namespace
}  // namespace uzram
