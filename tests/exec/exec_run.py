# SPDX-License-Identifier: Apache-2.0
"""Runs programs with and without `uzram exec`, and holds one against the other."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import find_program, uzram_program  # noqa: E402

MEBI = 1 << 20
BACKENDS = ("automatic", "signal")

# Only against programs that hang: how fast the machine is must not matter.
_SECONDS = 600

# A process counts the memory of the one that has started it as its own: this one is small.
_LAUNCHER = """
import os, sys
process = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(process, 0)
with open(sys.argv[1], "w") as file:
    file.write(str(usage.ru_maxrss * 1024))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def is_sanitized(build):
    cache = (build / "CMakeCache.txt").read_text(encoding="utf-8")
    return re.search(r"^UZRAM_SANITIZE:\w+=.+", cache, re.M) is not None


class ExecTest(unittest.TestCase):
    """A folder for each case, which is gone afterwards."""

    def setUp(self):
        if is_sanitized(pathlib.Path(uzram_program()).parent):
            self.skipTest("a sanitized library cannot be put before an ordinary program")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def need(self, *programs):
        for name in programs:
            if not find_program(name):
                self.skipTest(f"{name} is not installed")

    def need_backend(self, backend):
        probe = subprocess.run([uzram_program(), "pager", "--probe", "--json"],
                               capture_output=True, check=True)
        works = {each["backend"]: each["works"] for each in json.loads(probe.stdout)["backends"]}
        if not works[backend]:
            self.skipTest(f"this machine, or user, does not allow the backend {backend}")

    def run_plain(self, *words, **keywords):
        return subprocess.run(list(map(str, words)), capture_output=True, check=False,
                              timeout=_SECONDS, cwd=self.folder, **keywords)

    def run_paged(self, limit, *words, options=(), **keywords):
        command = [uzram_program(), "exec", "--memory-limit", str(limit), *options, "--", *words]
        return self.run_plain(*command, **keywords)

    def peak_of(self, *words, **keywords):
        """Runs a program without uzram. Returns: how it ended, and its memory at the most."""
        peak = self.folder / "peak"
        done = self.run_plain("/usr/bin/python3", "-I", "-S", "-c", _LAUNCHER, peak, *words,
                              **keywords)
        return done, int(peak.read_text(encoding="utf-8"))

    def check_a_third(self, *words, options=(), is_needed_again=True, **keywords):
        """As check_same, with a third of the memory that the program needs without."""
        plain, peak = self.peak_of(*words, **keywords)
        self.assertGreater(peak // 3, 8 * MEBI, "a third of it is below the least limit")
        self.check_same(peak // 3, *words, options=options, plain=plain,
                        is_needed_again=is_needed_again, **keywords)

    def check_same(self, limit, *words, options=(), plain=None, least_evicted=None,
                   is_needed_again=True, **keywords):
        """Both runs end alike; with paging, more was put away than the limit (or what is said) and
        some of it was needed again."""
        plain = plain or self.run_plain(*words, **keywords)
        self.assertEqual(0, plain.returncode, plain.stderr)
        stats = self.folder / "stats"
        stats.unlink(missing_ok=True)
        paged = self.run_paged(limit, *words, options=("--stats", stats, *options), **keywords)
        self.assertEqual(0, paged.returncode, paged.stderr.decode(errors="replace"))
        self.assertTrue(plain.stdout == paged.stdout, "the results differ")
        lines = [json.loads(line) for line in stats.read_text(encoding="utf-8").splitlines()]
        # Programs that start others: the one that has needed the most.
        largest = max(lines, key=lambda line: line["evicted_pages"])
        self.assertLessEqual(max(line["total_bytes"] for line in lines), limit * 1.05)
        self.assertGreater(largest["evicted_pages"] * 4096, least_evicted or limit)
        if is_needed_again:
            self.assertGreater(largest["major_faults"], 100)

    def compile(self, name, *libraries):
        self.need("cc")
        source = pathlib.Path(__file__).resolve().parent / name
        program = self.folder / source.stem
        subprocess.run(["cc", "-O1", "-pthread", "-o", program, source, *libraries],
                       check=True)
        return program


def environment(**more):
    return {**os.environ, **more}
