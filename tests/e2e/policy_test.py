# SPDX-License-Identifier: Apache-2.0
"""A disk that looks after itself, in real time: what nobody touches gets smaller, moves out, and
reads as before."""
import os
import pathlib
import random
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import DaemonTest, wait_until  # noqa: E402

PAGE = 4096
PAGES = 1024
QUICK = "on idle_after=1s recompress_after=1s cluster_after=1s large_after=2s burst=off"


def words_of(page):
    """A page of text that packs well, and better beside its neighbours; another one for each."""
    chooser = random.Random(page)
    lines = (f"line {chooser.randrange(1000)} of page {page}: nothing has happened here since\n"
             for _ in range(200))
    return "".join(lines).encode()[:PAGE]


class PolicyTest(DaemonTest):
    def setUp(self):
        super().setUp()
        self.backing = self.daemon.state.with_suffix(".backing")
        with open(self.backing, "wb") as file:
            file.truncate(16 << 20)
        self.addCleanup(self.backing.unlink)

    def fill(self, disk):
        with open(disk, "r+b", buffering=0) as file:
            for page in range(PAGES):
                file.write(words_of(page))
            os.fsync(file.fileno())

    def check(self, disk, pages=range(PAGES)):
        """Past the page cache, so that it is the daemon who answers."""
        with open(disk, "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            for page in pages:
                file.seek(page * PAGE)
                self.assertEqual(words_of(page), file.read(PAGE), f"page {page}")

    def letters(self, name):
        """How many pages have which flags in block_state."""
        counts = {}
        for line in self.daemon.must("get", name, "block_state").splitlines():
            flags = line.split()[-1]
            for flag in set(flags) - {"."}:
                counts[flag] = counts.get(flag, 0) + 1
        return counts

    def test_it_packs_what_nobody_touches(self):
        name, disk = self.daemon.create("--size", "8M", "--algorithm", "lz4",
                                        "--set", "recomp_algorithm=algo=zstd priority=1",
                                        "--policy", QUICK)
        self.fill(disk)
        before = self.daemon.mm_stat(name)["compr_data_size"]
        self.assertTrue(
            wait_until(lambda: self.daemon.mm_stat(name)["compr_data_size"] < 0.7 * before, 30),
            self.daemon.must("policy", name, "--explain"))
        self.check(disk)

    def test_it_writes_back_what_nobody_touches_and_brings_it_back(self):
        name, disk = self.daemon.create("--size", "8M", "--set", f"backing_dev={self.backing}")
        self.fill(disk)
        self.daemon.must("policy", name, *QUICK.split(), "writeback_after=2s")
        written = lambda: int(self.daemon.attribute(name, "bd_stat").split()[0])  # noqa: E731
        self.assertTrue(wait_until(lambda: (written() > 0 and
                                            self.letters(name).get("w", 0) == PAGES),
                                   30), self.daemon.must("policy", name, "--explain"))
        self.daemon.must("policy", name, "off")
        self.check(disk)
        self.assertLess(self.letters(name).get("w", 0), PAGES)

    def test_pages_are_read_and_written_while_it_works(self):
        name, disk = self.daemon.create("--size", "8M", "--set", f"backing_dev={self.backing}",
                                        "--policy", f"{QUICK} writeback_after=2s")
        self.fill(disk)
        ends = threading.Event()
        problems = []

        def use():
            chooser = random.Random(1)
            try:
                while not ends.wait(0.002):
                    self.check(disk, [chooser.randrange(PAGES)])
            except AssertionError as problem:
                problems.append(problem)

        user = threading.Thread(target=use)
        user.start()
        try:
            for line in (QUICK, "off", f"{QUICK} writeback_after=2s", f"{QUICK} cpu_percent=100"):
                self.daemon.must("policy", name, *line.split())
                ends.wait(1.5)
        finally:
            ends.set()
            user.join()
        self.assertEqual([], problems)
        self.check(disk)

    def test_words(self):
        name, _ = self.daemon.create("--size", "1M")
        self.assertEqual("off\n", self.daemon.must("policy", name))
        self.assertIn("nothing happens by itself", self.daemon.must("policy", name, "--explain"))
        shown = self.daemon.must("policy", name, "on", "idle_after=5m", "--explain")
        self.assertRegex(shown, r"^policy: on; ")
        self.assertRegex(self.daemon.must("policy", name), r"^on idle_after=5m .*cpu_percent=10 ")
        self.assertEqual(self.daemon.must("policy", name), self.daemon.attribute(name, "policy"))
        refused = self.daemon.ask("policy", name, "on", "idle_after=soon")
        self.assertEqual(2, refused.returncode)
        self.assertIn("idle_after", refused.stderr)
        (self.daemon.tree / "block" / name / "policy").write_text("off\n", encoding="utf-8")
        self.assertEqual("off\n", self.daemon.must("policy", name))
        refused = self.daemon.ask("create", "--size", "1M", "--policy", "of")
        self.assertEqual(2, refused.returncode)
        self.assertEqual(1, len(self.daemon.devices()))

    def test_reset_and_sigterm_do_not_wait_for_it(self):
        name, disk = self.daemon.create("--size", "8M", "--policy", QUICK)
        self.fill(disk)
        self.assertTrue(wait_until(lambda: self.letters(name).get("r", 0) != 0))
        self.daemon.must("reset", name)
        self.assertEqual("off\n", self.daemon.attribute(name, "policy"))
        _, disk = self.daemon.create("--size", "8M", "--policy", QUICK)
        self.fill(disk)
        self.assertEqual(0, self.daemon.stop())
        self.assertEqual([], self.daemon.leftovers())


if __name__ == "__main__":
    unittest.main()
