# SPDX-License-Identifier: Apache-2.0
"""The test runner tells the truth: what fails, dies, hangs or is skipped is counted as that."""
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap
import unittest

RUNNER = pathlib.Path(__file__).resolve().parent / "runner"
sys.path.insert(0, str(RUNNER))

import gtest  # noqa: E402
import process  # noqa: E402
import stages  # noqa: E402
import tidy  # noqa: E402
from results import FAILED, PASSED, SKIPPED, Case, closing_line, count_text  # noqa: E402
from results import lines_of  # noqa: E402


def read_gtest(text, status):
    reader = gtest.Reader()
    for line in textwrap.dedent(text).splitlines():
        reader.line(line)
    return gtest.finish(reader, "program", status, "died")


class GtestTest(unittest.TestCase):
    def test_outcomes_and_skip_reason(self):
        cases = read_gtest("""\
            [ RUN      ] Disk.Reads
            [       OK ] Disk.Reads (3 ms)
            [ RUN      ] Disk.Writes/0
            a.cc:3: Failure
            [  FAILED  ] Disk.Writes/0, where GetParam() = lz4 (1 ms)
            [ RUN      ] Disk.Loops
            a.cc:9: Skipped
            no loop device here

            [  SKIPPED ] Disk.Loops (0 ms)
            [  FAILED  ] Disk.Writes/0, where GetParam() = lz4
            """, 1)
        self.assertEqual([Case("Disk.Reads", PASSED),
                          Case("Disk.Writes/0", FAILED, "a.cc:3: Failure"),
                          Case("Disk.Loops", SKIPPED, "no loop device here")], cases)

    def test_result_after_unfinished_output(self):
        cases = read_gtest("[ RUN      ] A.B\nhello[       OK ] A.B (0 ms)\n", 0)
        self.assertEqual([Case("A.B", PASSED)], cases)

    def test_death_in_a_case_fails_that_case(self):
        cases = read_gtest("[ RUN      ] A.B\n[       OK ] A.B (0 ms)\n[ RUN      ] A.C\n", -6)
        self.assertEqual([Case("A.B", PASSED), Case("A.C", FAILED, "died")], cases)

    def test_failure_after_all_cases_is_a_failure(self):
        cases = read_gtest("[ RUN      ] A.B\n[       OK ] A.B (0 ms)\n==1==ERROR: leak\n", 23)
        self.assertEqual([Case("A.B", PASSED), Case("program", FAILED, "died")], cases)

    def test_other_programs_count_once(self):
        self.assertEqual([Case("program", PASSED)], read_gtest("fine\n", 0))
        self.assertEqual([Case("program", FAILED, "died")], read_gtest("bad\n", 2))


class SummaryTest(unittest.TestCase):
    cases = [Case("a", PASSED), Case("b", SKIPPED, "no qemu"), Case("c", FAILED), Case("d", PASSED)]

    def test_closing_line(self):
        self.assertEqual("2 passed, 1 failed, 1 skipped", closing_line(self.cases))
        self.assertEqual("0 passed, 0 failed, 0 skipped", closing_line([]))

    def test_count_text_leaves_out_what_is_zero(self):
        self.assertEqual("1 passed", count_text(self.cases[:1]))

    def test_a_skip_is_told_once_with_all_its_stages(self):
        self.assertEqual(["  b [dev, asan]: no qemu"],
                         lines_of(SKIPPED, [("dev", self.cases), ("asan", self.cases)]))

    def test_what_failed_is_told_by_name(self):
        self.assertEqual(["  c [dev]: no reason given"], lines_of(FAILED, [("dev", self.cases)]))


class LaneTest(unittest.TestCase):
    def test_a_test_is_alone_unless_it_says_otherwise(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "some_test.py"
            for text, lane in (("import os\n", stages.ALONE),
                               ("import os\nRUNS_BESIDE_OTHERS = True\n", stages.BESIDE),
                               ("# RUNS_BESIDE_OTHERS = True\n", stages.ALONE)):
                path.write_text(text, encoding="utf-8")
                self.assertEqual(lane, stages.lane_of(path))

    def test_every_build_is_part_of_a_whole_run_or_of_a_quick_one(self):
        builds = {stage.name: stage for stage in stages.all_stages()
                  if stage.name in ("release", "dev", "asan", "tsan")}
        self.assertEqual(["release", "asan", "tsan"],
                         [name for name, stage in builds.items() if stage.is_in_whole])
        self.assertEqual(["dev"], [name for name, stage in builds.items() if stage.is_quick])

    def test_builds_come_before_every_test_that_needs_them(self):
        lanes = [stage.lane for stage in stages.all_stages()]
        self.assertEqual(sorted(lanes, key=[stages.FIRST, stages.ALONE, stages.BESIDE].index),
                         lanes)


class TidyTest(unittest.TestCase):
    def look_at(self, *texts):
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for index, text in enumerate(texts):
                paths.append(pathlib.Path(folder) / "src" / f"room{index}.cc")
                paths[-1].parent.mkdir(exist_ok=True)
                paths[-1].write_text(text, encoding="utf-8")
            return tidy.check_together(paths, ["-std=c++20"])

    def test_files_looked_at_together_are_clean_together(self):
        self.assertEqual(0, self.look_at("int f() { return 1; }\n", "int g();\n").returncode)

    def test_the_analyzer_follows_paths_of_files_looked_at_together(self):
        result = self.look_at("int f();\n", "int g(int* p) { return p == nullptr ? *p : 0; }\n")
        self.assertEqual(1, result.returncode)
        self.assertIn("core.NullDereference", result.stdout)

    def test_what_does_not_compile_together_is_told(self):
        result = self.look_at("static int f() { return 1; }\n", "static int f() { return 2; }\n")
        self.assertIn("clang-diagnostic-error", result.stdout)


class UnittestTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_file(self, body):
        path, results = self.folder / "some_test.py", self.folder / "results"
        path.write_text("import os, unittest\n" + textwrap.dedent(body), encoding="utf-8")
        ran = subprocess.run([sys.executable, RUNNER / "run_unittest.py", path, results],
                             capture_output=True, text=True, check=False)
        lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
        cases = [json.loads(line) for line in lines]
        return ran.returncode, {case["name"]: (case["outcome"], case["note"]) for case in cases}

    def test_outcomes(self):
        status, cases = self.run_file("""\
            class T(unittest.TestCase):
                def test_good(self): pass
                def test_bad(self): self.fail("no")
                def test_error(self): raise OSError("gone")
                def test_skip(self): self.skipTest("no fio")
                def test_parts(self):
                    for i in range(3):
                        with self.subTest(i=i): self.assertNotEqual(1, i)
            """)
        self.assertEqual(1, status)
        self.assertEqual((PASSED, ""), cases["some_test.T.test_good"])
        self.assertEqual((FAILED, "no"), cases["some_test.T.test_bad"])
        self.assertEqual(FAILED, cases["some_test.T.test_error"][0])
        self.assertEqual((SKIPPED, "no fio"), cases["some_test.T.test_skip"])
        self.assertEqual(FAILED, cases["some_test.T.test_parts (i=1)"][0])
        self.assertEqual(5, len(cases))

    def test_class_that_skips_itself(self):
        status, cases = self.run_file("""\
            class T(unittest.TestCase):
                @classmethod
                def setUpClass(cls): raise unittest.SkipTest("not root")
                def test_a(self): pass
            """)
        self.assertEqual((0, {"some_test.T": (SKIPPED, "not root")}), (status, cases))

    def test_death_keeps_what_ran(self):
        status, cases = self.run_file("""\
            class T(unittest.TestCase):
                def test_a(self): pass
                def test_b(self): os._exit(9)
            """)
        self.assertEqual((9, {"some_test.T.test_a": (PASSED, "")}), (status, cases))

    def test_file_without_cases_fails(self):
        status, cases = self.run_file("")
        self.assertNotEqual(0, status)
        self.assertEqual({}, cases)


class ProcessTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.log = pathlib.Path(folder.name) / "log"

    def test_output_goes_to_log_and_caller(self):
        lines = []
        status = process.run(["sh", "-c", "echo one; echo two >&2; exit 3"], self.log, 30,
                             on_line=lines.append)
        self.assertEqual((3, ["one", "two"]), (status, lines))
        self.assertEqual(["one", "two"], process.tail(self.log, 2))

    def test_a_program_that_hangs_is_ended_with_its_children(self):
        status = process.run(["sh", "-c", "sleep 600 & sleep 600"], self.log, 0.2)
        self.assertEqual(process.TIMED_OUT, status)

    def test_death_by_signal(self):
        self.assertEqual(-signal.SIGKILL, process.run(["sh", "-c", "kill -9 $$"], self.log, 30))


if __name__ == "__main__":
    unittest.main()
