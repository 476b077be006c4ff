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
        return subprocess.run(list(map(str, words)), capture_output=True, timeout=120, check=False,
                              cwd=self.folder, **keywords)

    def run_paged(self, limit, *words, options=(), **keywords):
        command = [uzram_program(), "exec", "--memory-limit", str(limit), *options, "--", *words]
        return self.run_plain(*command, **keywords)

    def check_same(self, limit, *words, options=(), least_held=None, **keywords):
        """Both runs end alike; with paging, more than the limit was held, and pages were put
        away. Returns: the last line of statistics."""
        plain = self.run_plain(*words, **keywords)
        self.assertEqual(0, plain.returncode, plain.stderr)
        stats = self.folder / "stats"
        stats.unlink(missing_ok=True)
        paged = self.run_paged(limit, *words, options=("--stats", stats, *options), **keywords)
        self.assertEqual((0, plain.stdout), (paged.returncode, paged.stdout),
                         paged.stderr.decode(errors="replace"))
        lines = [json.loads(line) for line in stats.read_text(encoding="utf-8").splitlines()]
        last = lines[-1]
        self.assertLessEqual(max(line["total_bytes"] for line in lines), limit * 1.05)
        self.assertGreater(last["evicted_pages"] * 4096, least_held or limit)
        self.assertGreater(last["major_faults"], 0)
        return last

    def compile(self, name):
        self.need("cc")
        source = pathlib.Path(__file__).resolve().parent / name
        program = self.folder / source.stem
        subprocess.run(["cc", "-O1", "-pthread", "-o", program, source], check=True)
        return program


def environment(**more):
    return {**os.environ, **more}
