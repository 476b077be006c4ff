// SPDX-License-Identifier: Apache-2.0
#include "app/run_program.h"

#include <gtest/gtest.h>
#include <signal.h>

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

TEST(RunProgram, ReadsMuchOutput) {
  EXPECT_EQ(run_program({"sh", "-c", "seq 1 100000"}).last_line, "100000");
}

}  // namespace
}  // namespace uzram
