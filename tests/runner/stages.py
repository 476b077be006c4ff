# SPDX-License-Identifier: Apache-2.0
"""The stages of a test run: what each builds or runs, and the cases that come of it."""
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
from typing import Callable

import gtest
import process
from results import FAILED, PASSED, Case

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOGS = ROOT / "build" / "logs"
JOBS = os.cpu_count() or 1

# What tsan has to see: a suite or a case whose name says that threads meet in it. room.cmake
# chooses files by the same words.
CONCURRENT_FILTER = "*Concurrent*:*Thread*"
_BUILD_SECONDS, _PROGRAM_SECONDS, _PYTHON_SECONDS = 1500, 600, 900
_TIDY_SECONDS = 2400  # A machine with cold caches and two slow cores.

_SANITIZER_ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


# Builds and what is general; tests that use what a machine has one of, or measure; the others.
FIRST, ALONE, BESIDE = "first", "alone", "beside"


@dataclasses.dataclass
class Stage:
    """A named piece of the run; `work(log, tell)` returns its cases."""

    name: str
    work: Callable
    is_quick: bool = False
    is_in_whole: bool = True  # Runs when nobody asks for something else.
    lane: str = FIRST

    @property
    def log(self):
        return LOGS / (self.name.replace("/", "_") + ".log")


def end_text(status, seconds):
    if status == process.TIMED_OUT:
        return f"ended after {seconds} s without finishing"
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"


def one_case(name, argv, log, seconds, tell=None, environment=None):
    status = process.run(argv, log, seconds, environment, tell, cwd=ROOT)
    if status == 0:
        return [Case(name, PASSED)]
    return [Case(name, FAILED, end_text(status, seconds))]


@contextlib.contextmanager
def work_folder():
    """A folder for a test's files. Others may pass through it: tests become another user."""
    with tempfile.TemporaryDirectory(prefix="uzram-test-") as folder:
        os.chmod(folder, 0o755)
        yield folder


# --- building

_building = threading.Lock()


def configure(preset, log, is_needed=False):
    """An empty list, or the failed case. What is configured already is left to ninja."""
    if (ROOT / "build" / preset / "build.ninja").exists() and not is_needed:
        return []
    status = process.run(["cmake", "--preset", preset], log, _BUILD_SECONDS, cwd=ROOT)
    if status == 0:
        return []
    return [Case(f"{preset}.build", FAILED, "cmake: " + end_text(status, _BUILD_SECONDS))]


def configure_and_build(preset, log, tell, targets=()):
    """One case: the preset configures and builds without a warning that is an error."""
    with _building:
        return configure_and_build_alone(preset, log, tell, targets)


def configure_and_build_alone(preset, log, tell, targets):
    failed = configure(preset, log)
    if failed:
        return failed

    def progress(line):
        step = re.match(r"\[(\d+/\d+)\] .*?([\w.]+)$", line)
        if step:
            tell(f"building {step.group(1)} {step.group(2)}")

    argv = ["ninja", "-k", "20", "-C", f"build/{preset}", *targets]
    return one_case(f"{preset}.build", argv, log, _BUILD_SECONDS, progress)


def build_stage(preset, is_quick=False, is_in_whole=True):
    """Builds a preset, then runs every test program that CMake registers there."""
    def work(log, tell):
        cases = configure_and_build(preset, log, tell)
        if cases[0].outcome == PASSED:
            cases += run_programs(preset, log, tell)
        return cases
    return Stage(preset, work, is_quick, is_in_whole)


def tidy_stage():
    def work(log, tell):
        # Nothing is built there, so nothing else notices new files.
        failed = configure("clang", log, is_needed=True)
        argv = ["python3", "tests/runner/tidy.py"]
        return failed or one_case("clang-tidy", argv, log, _TIDY_SECONDS, tell)
    return Stage("tidy", work)


def format_stage():
    def work(log, tell):
        listed = subprocess.run(["git", "ls-files", "--", "*.cc", "*.h"], cwd=ROOT, check=True,
                                capture_output=True, text=True)
        files = [name for name in listed.stdout.split() if (ROOT / name).exists()]
        tell(f"{len(files)} files")
        return one_case("format", ["clang-format", "--dry-run", "-Werror", *files], log, 300)
    return Stage("format", work, is_quick=True)


# --- test programs

def registered_programs(preset):
    """[(name, argv, whether others need it first)] that CMake knows as tests in a built preset."""
    listed = subprocess.run(["ctest", "--test-dir", f"build/{preset}", "--show-only=json-v1"],
                            cwd=ROOT, check=True, capture_output=True, text=True)
    programs = []
    for test in json.loads(listed.stdout)["tests"]:
        properties = {each["name"] for each in test.get("properties", ())}
        if "command" in test:
            argv = [word for word in test["command"] if word]
            programs.append((test["name"], argv, "FIXTURES_SETUP" in properties))
    return programs


def run_program(name, argv, log, told):
    """Runs one program; its output is gathered first, so that programs side by side do not mix."""
    reader = gtest.Reader()

    def line(text):
        before = reader.running
        reader.line(text)
        if reader.running and reader.running != before:
            told(f"{name}: {reader.running}")

    own_log = log.with_suffix("." + name.replace("/", "_") + ".part")
    with work_folder() as folder:
        environment = {**_SANITIZER_ENVIRONMENT, "TMPDIR": folder, "TEST_TMPDIR": folder}
        status = process.run(argv, own_log, _PROGRAM_SECONDS, environment, line, cwd=ROOT)
    cases = gtest.finish(reader, name, status, end_text(status, _PROGRAM_SECONDS))
    return cases, own_log


def run_programs(preset, log, tell, only=None, extra=(), prefix=()):
    """Every registered program (or those of the paths in `only`), several side by side."""
    programs = [(name, [*prefix, *argv, *extra], is_first)
                for name, argv, is_first in registered_programs(preset)
                if only is None or pathlib.Path(argv[0]).name in only]
    cases = []
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for turn in (True, False):
            started = [pool.submit(run_program, name, argv, log, tell)
                       for name, argv, is_first in programs if is_first == turn]
            for future in concurrent.futures.as_completed(started):
                found, own_log = future.result()
                with open(log, "ab") as whole:
                    whole.write(own_log.read_bytes())
                own_log.unlink()
                cases += found
    return cases


def room_tests(preset):
    """The targets of a configured preset's test programs, as CMake lists them."""
    return (ROOT / "build" / preset / "room_tests.txt").read_text(encoding="utf-8").split()


def tsan_stage():
    """The cases with threads in their names; the preset compiles only the files that have some."""
    def work(log, tell):
        cases = configure("tsan", log, is_needed=True)
        if cases:
            return cases
        targets = room_tests("tsan")
        cases = configure_and_build("tsan", log, tell, targets)
        if cases[0].outcome == PASSED:
            # The sanitizer's shadow wants a fixed address layout on new kernels.
            cases += run_programs("tsan", log, tell, targets, prefix=["setarch", "-R"],
                                  extra=[f"--gtest_filter={CONCURRENT_FILTER}"])
        return cases
    return Stage("tsan", work)


# --- fuzzers

def fuzzers(preset):
    return [pathlib.Path(line) for line in
            (ROOT / "build" / preset / "fuzzers.txt").read_text(encoding="utf-8").split()]


def corpora_stage():
    """Replays the seeds of every fuzzer under the sanitizers; a fuzzer without seeds fails."""
    def work(log, tell):
        built = configure_and_build("asan", log, tell)
        if built[0].outcome == FAILED:
            return [Case("corpora.build", FAILED, built[0].note)]
        # A room may make its seeds instead: then it registers their replay as a test of its own.
        replayed = {pathlib.PurePath(name).name for name, _, _ in registered_programs("asan")}
        cases = []
        for program in fuzzers("asan"):
            name = f"corpora.{program.name}"
            if program.name in replayed | {"canary_fuzz"}:
                continue
            tell(program.name)
            seeds = ROOT / "fuzz" / "corpus" / program.name
            if not seeds.is_dir() or not any(seeds.iterdir()):
                cases.append(Case(name, FAILED, f"no seeds in fuzz/corpus/{program.name}"))
                continue
            cases += one_case(name, [program, seeds], log, _PROGRAM_SECONDS,
                              environment=_SANITIZER_ENVIRONMENT)
        return cases
    return Stage("corpora", work)


def canary_stage():
    """A fuzzer with a planted bug has to find it, or fuzzing itself is broken."""
    def work(log, tell):
        cases = configure_and_build("fuzz", log, tell, ["canary_fuzz"])
        if cases[0].outcome == FAILED:
            return cases
        [program] = [path for path in fuzzers("fuzz") if path.name == "canary_fuzz"]
        with work_folder() as folder:
            argv = [program, "-max_total_time=60", "-seed=1", f"-artifact_prefix={folder}/"]
            status = process.run(argv, log, 120, on_line=tell, cwd=ROOT)
        if status > 0:
            return cases + [Case("canary finds its bug", PASSED)]
        return cases + [Case("canary finds its bug", FAILED, "it ran and found nothing")]
    return Stage("canary", work)


# --- Python tests

def python_stage(path, is_quick=False, needs_build=True):
    """The unittest cases of one file; those that use the programs see the newest release build."""
    relative = path.relative_to(ROOT)

    def work(log, tell):
        built = configure_and_build("release", log, tell) if needs_build else []
        if any(case.outcome == FAILED for case in built):
            return built
        with work_folder() as folder:
            results = pathlib.Path(folder) / "results"
            argv = ["python3", "tests/runner/run_unittest.py", path, results]
            environment = {"UZRAM_BUILD": str(ROOT / "build" / "release"), "TMPDIR": folder,
                           "PYTHONDONTWRITEBYTECODE": "1"}
            status = process.run(argv, log, _PYTHON_SECONDS, environment, tell, cwd=ROOT)
            lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
        cases = [Case(**json.loads(line)) for line in lines]
        if status != 0 and not any(case.outcome == FAILED for case in cases):
            cases.append(Case(str(relative), FAILED, end_text(status, _PYTHON_SECONDS)))
        return cases
    name = str(relative).removeprefix("tests/").removesuffix(".py")
    return Stage(name, work, is_quick, lane=lane_of(path) if needs_build else FIRST)


def lane_of(path):
    """A test says itself when it may run beside others; it is alone otherwise."""
    says_so = re.search(r"^RUNS_BESIDE_OTHERS = True$", path.read_text(encoding="utf-8"), re.M)
    return BESIDE if says_so else ALONE


def python_tests():
    return sorted((ROOT / "tests").rglob("[a-z]*_test.py"))


def all_stages():
    """In the order of a whole run: cheap and general first, whole-system tests last."""
    house = [ROOT / "tests" / name for name in ("layers_test.py", "style_test.py",
                                                "runner_test.py")]
    others = [path for path in python_tests() if path not in house]
    return [
        format_stage(),
        *[python_stage(path, is_quick=True, needs_build=False) for path in house],
        build_stage("release"),
        # Its compiler is the release's and its checks are asan's; alone, it is the quickest.
        build_stage("dev", is_quick=True, is_in_whole=False),
        build_stage("asan"),
        tidy_stage(),
        corpora_stage(),
        tsan_stage(),
        canary_stage(),
        *sorted((python_stage(path) for path in others), key=lambda stage: stage.lane),
    ]


def forget_old_logs():
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
