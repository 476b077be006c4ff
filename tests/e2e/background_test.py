# SPDX-License-Identifier: Apache-2.0
"""Idle pages, recompression, clusters, block_state, the map: on a disk in use, through the tree."""
import collections
import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import unittest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "oracle")]

from steps import Disk, PAGE_BYTES  # noqa: E402
from uzram_daemon import DaemonTest, run, uzram_program  # noqa: E402

_WORDS = ["".join(random.Random(i).choices("etaoinshrdlu", k=2 + i % 8)) for i in range(200)]


def text_pages(count):
    source = random.Random(count)
    text = " ".join(source.choice(_WORDS) for _ in range(count * PAGE_BYTES // 4))
    return text.encode()[:count * PAGE_BYTES]


class BackgroundTest(DaemonTest):
    """A disk with 2000 pages of text, 200 of noise and 100 of zeros from its start on."""

    def make(self, *settings):
        words = [word for setting in settings for word in ("--set", setting)]
        self.name, self.disk = self.daemon.create("--size", "256M", "--algorithm", "lz4", *words)
        content = text_pages(2000) + random.Random(1).randbytes(200 * PAGE_BYTES)
        self.content = content + bytes(100 * PAGE_BYTES)
        with Disk(self.disk) as disk:
            for page in range(2300):
                disk.write(page, self.page(page))

    def page(self, number):
        return self.content[number * PAGE_BYTES:][:PAGE_BYTES]

    def set(self, attribute, value):
        path = self.daemon.tree / "block" / self.name / attribute
        with open(path, "w", encoding="utf-8") as file:
            file.write(value)

    def block_state_path(self):
        return self.daemon.tree / "kernel" / "debug" / "zram" / self.name / "block_state"

    def flags(self):
        """{flags: how many pages}."""
        text = self.block_state_path().read_text(encoding="ascii")
        self.assertEqual(len(text), 40 * text.count("\n"))
        return dict(collections.Counter(line.split()[2] for line in text.splitlines()))

    def check_content(self):
        with Disk(self.disk) as disk:
            self.assertEqual(hashlib.sha256(self.content).hexdigest(), disk.digest(range(2300)))

    def test_pages_go_idle_and_are_packed_together(self):
        self.make()
        self.assertEqual({"......": 2000, "..h...": 200, "s.....": 100}, self.flags())
        self.set("idle", "3600")
        self.assertEqual(2000, self.flags()["......"])
        self.set("idle", "0")
        self.assertEqual({"...i..": 2000, "..hi..": 200, "s.....": 100}, self.flags())
        before = self.daemon.mm_stat(self.name)
        self.set("recompress", "type=idle cluster=16")
        flags = self.flags()
        self.assertGreater(flags["....r."], 1900)
        after = self.daemon.mm_stat(self.name)
        self.assertLess(after["compr_data_size"], 0.8 * before["compr_data_size"])
        self.check_content()

    def test_recompression_while_somebody_reads_and_writes(self):
        self.make("recomp_algorithm=algo=zstd priority=1")
        stop, used, wrong = threading.Event(), [], []

        def use():
            source = random.Random(3)
            with Disk(self.disk) as disk:
                while not stop.is_set():
                    page = source.randrange(2300)
                    if disk.read(page) != self.page(page):
                        wrong.append(page)
                    disk.write(page, self.page(page))
                    used.append(page)

        user = threading.Thread(target=use)
        user.start()
        try:
            for words in ("priority=1", "cluster=4", "type=idle cluster=32 level=1", "cluster=32"):
                self.set("idle", "all")
                self.set("recompress", words)
                self.flags()
        finally:
            stop.set()
            user.join()
        self.assertEqual([], wrong)
        self.assertGreater(len(used), 10)
        self.check_content()

    def test_the_command_line_says_the_same_as_the_tree(self):
        self.make("recomp_algorithm=algo=zstd priority=1")
        self.daemon.must("set", self.name, "idle", "all")
        self.daemon.must("set", self.name, "recompress", "type=idle", "priority=1", "max_pages=500")
        from_tree = self.block_state_path().read_text(encoding="ascii")
        self.assertEqual(from_tree, self.daemon.must("get", self.name, "block_state"))
        drawn = json.loads(self.daemon.must("map", self.name, "--json"))
        kinds = {name: each["pages"] for name, each in drawn["kinds"].items() if each["pages"]}
        self.assertEqual(100, kinds["same-filled"])
        self.assertEqual(200, kinds["huge"])
        self.assertEqual(65536 - 2300, kinds["empty"])
        self.assertEqual(from_tree.count("r"), kinds["recompressed"])
        self.assertEqual(2000, kinds["packed"] + kinds["recompressed"])
        stored = sum(each["packed_bytes"] for each in drawn["kinds"].values())
        self.assertAlmostEqual(self.daemon.mm_stat(self.name)["compr_data_size"], stored, delta=9)
        text = self.daemon.must("map", self.disk, "--width", "32")
        self.assertNotIn("\x1b", text, "no colours where there is no terminal")
        self.assertRegex(text, r"(?m)^    0B [PRpr]+[Hh]+S*\.*$")

    def test_block_state_is_for_its_owner_only(self):
        self.make()
        done = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat",
                   self.block_state_path(), check=False)
        self.assertNotEqual(0, done.returncode)
        self.assertIn("Permission denied", done.stderr)

    def test_the_map_has_colours_on_a_terminal_only_where_they_are_wanted(self):
        self.need("script")
        self.make()
        words = f"{uzram_program()} map {self.name} --socket {self.daemon.socket}"
        for environment, is_coloured in (({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False),
                                         ({"TERM": "xterm", "NO_COLOR": "1"}, False),
                                         ({"TERM": "xterm", "NO_COLOR": ""}, True)):
            kept = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
            shown = subprocess.run(["script", "-qec", words, "/dev/null"], check=True, text=True,
                                   capture_output=True, env={**kept, **environment}).stdout
            self.assertIn("same-filled", shown)
            self.assertEqual(is_coloured, "\x1b[" in shown, environment)


if __name__ == "__main__":
    unittest.main()
