// SPDX-License-Identifier: Apache-2.0
#include "app/run_program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>

namespace uzram {
namespace {

TEST(RunProgram, GivesTheExitCodeAndTheLastLine) {
  const ProgramOutcome outcome = run_program({"sh", "-c", "echo one; echo two >&2; exit 3"});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_EQ(outcome.last_line, "two");
}

TEST(RunProgram, PassesWordsThroughNoShell) {
  EXPECT_EQ(run_program({"echo", "$HOME; a  b"}).last_line, "$HOME; a  b");
}

TEST(RunProgram, GivesNoInput) { EXPECT_EQ(run_program({"cat"}).exit_code, 0); }

TEST(RunProgram, SaysWhenThereIsNoSuchProgram) {
  const ProgramOutcome outcome = run_program({"uzram-no-such-program"});
  EXPECT_EQ(outcome.exit_code, 127);
  EXPECT_EQ(outcome.last_line, "ENOENT");
}

TEST(RunProgram, TellsAKilledProgramFromAFailedOne) {
  EXPECT_EQ(run_program({"sh", "-c", "kill -9 $$"}).exit_code, 128 + SIGKILL);
}

TEST(RunProgram, LetsTheProgramReceiveSignalsThatTheDaemonBlocks) {
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &blocked, &before), 0);
  EXPECT_EQ(run_program({"sh", "-c", "kill -TERM $$; sleep 5"}).exit_code, 128 + SIGTERM);
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
}

TEST(RunProgram, IsNotMisledByTheCallersPath) {
  std::string folder = testing::TempDir() + "uzram-path-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string trap = folder + "/uname";
  ASSERT_EQ(::symlink("/bin/false", trap.c_str()), 0);
  const std::string before = std::getenv("PATH");
  ASSERT_EQ(::setenv("PATH", folder.c_str(), 1), 0);
  EXPECT_EQ(run_program({"uname"}).last_line, "Linux");
  ASSERT_EQ(::setenv("PATH", before.c_str(), 1), 0);
  ::unlink(trap.c_str());
  ::rmdir(folder.c_str());
}

TEST(RunProgram, GivesNoVariableAndNoDescriptor) {
  ASSERT_EQ(::setenv("LD_SOMETHING", "from outside", 1), 0);
  EXPECT_EQ(run_program({"sh", "-c", "echo $LD_SOMETHING$HOME$LANG"}).last_line, "C");
  ASSERT_EQ(::unsetenv("LD_SOMETHING"), 0);
  const int inherited = ::open("/dev/null", O_RDONLY);  // Without O_CLOEXEC.
  ASSERT_GE(inherited, 0);
  const std::string look = "test -e /proc/self/fd/" + std::to_string(inherited) + " && echo open";
  EXPECT_EQ(run_program({"sh", "-c", look}).last_line, "");
  ::close(inherited);
}

TEST(RunProgram, GivesDefaultSignals) {
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(run_program({"sh", "-c", "kill -PIPE $$; sleep 5"}).exit_code, 128 + SIGPIPE);
  ::signal(SIGPIPE, before);
}

TEST(RunProgram, ReadsMuchOutput) {
  EXPECT_EQ(run_program({"sh", "-c", "seq 1 100000"}).last_line, "100000");
}

}  // namespace
}  // namespace uzram
