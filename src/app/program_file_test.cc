// SPDX-License-Identifier: Apache-2.0
#include "app/program_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace uzram {
namespace {

class ProgramFileTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directory(folder); }
  void TearDown() override { std::filesystem::remove_all(folder); }
  std::string put(const std::string& name, const std::string& content) const {
    const std::string path = folder / name;
    std::ofstream(path) << content;
    EXPECT_EQ(0, ::chmod(path.c_str(), 0755));
    return path;
  }
  static std::string refusal(const std::string& name) {
    const auto found = find_preloadable_program(name);
    return found ? "" : found.error().text;
  }
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("uzram-program-" + std::to_string(::getpid()));
};

TEST_F(ProgramFileTest, IsFoundAsAShellFindsIt) {
  const auto found = find_preloadable_program("sh");
  ASSERT_TRUE(found);
  EXPECT_TRUE(std::filesystem::exists(*found));
  EXPECT_EQ("/proc/self/exe", *find_preloadable_program("/proc/self/exe"));
  EXPECT_NE("", refusal("no-such-program"));
  EXPECT_NE("", refusal("/etc/passwd"));
}

TEST_F(ProgramFileTest, OfAScriptIsItsInterpreter) {
  EXPECT_EQ("", refusal(put("script", "#!/bin/sh -e\ntrue\n")));
  EXPECT_NE("", refusal(put("other", "#!" + put("text", "words") + "\n")));
}

TEST_F(ProgramFileTest, IsRefusedWithTheReason) {
  EXPECT_NE(std::string::npos,
            refusal(put("text", "words and words, but no program")).find("no program"));
  std::ifstream own("/proc/self/exe", std::ios::binary);
  std::string head(64, '\0');
  own.read(head.data(), 64);
  head[56] = head[57] = 0;  // No program headers: no interpreter.
  EXPECT_NE(std::string::npos, refusal(put("fixed", head)).find("statically"));
  head[4] = 1;
  EXPECT_NE(std::string::npos, refusal(put("small", head)).find("64-bit"));
}

}  // namespace
}  // namespace uzram
