#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The bench measures what it says: its client notices wrong bytes, its rows judge as they print.

No time is judged here; sizes are tiny.
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.get("UZRAM_BUILD", ROOT / "build" / "release"))
PAGE_BYTES = 4096
SECONDS = 120

sys.path.insert(0, str(ROOT / "bench"))
from disks import our_nbd  # noqa: E402
from report import Row, Skipped, table, verdict  # noqa: E402


def sample_pages(count):
    numbers = random.Random(3)
    words = [bytes(numbers.choices(b"etaoinshrdlu", k=6)) for _ in range(300)]
    pages = [b" ".join(numbers.choices(words, k=700))[:PAGE_BYTES] for _ in range(count)]
    # Every tenth page is same-filled.
    return [bytes(PAGE_BYTES) if index % 10 == 9 else page for index, page in enumerate(pages)]


class ReportTest(unittest.TestCase):
    def test_a_ratio_is_judged_against_its_limit(self):
        for ours, theirs, target, is_met in ((11, 10, ("<=", 1.15), True),
                                             (12, 10, ("<=", 1.15), False),
                                             (30, 10, (">=", 3), True),
                                             (29, 10, (">=", 3), False),
                                             (10, 10, ("<", 1), False)):
            row = Row("what", "unit", ours, theirs, "peer", target)
            self.assertIs(row.is_met, is_met, (ours, theirs, target))
        self.assertIsNone(Row("what", "unit", 1, 2).is_met)

    def test_a_value_without_a_peer_is_judged_by_itself(self):
        self.assertIs(Row("what", "percent", 4.9, target=("<=", 5)).is_met, True)
        self.assertIs(Row("what", "percent", 5.1, target=("<=", 5)).is_met, False)

    def test_rounds_count_by_their_median(self):
        self.assertEqual(Row("what", "unit", [1, 100, 2], [4, 4, 4]).ratio, 0.5)

    def test_what_is_missed_and_what_is_skipped_is_named(self):
        rows = [Row("slow thing", "ns", 2, 1, "peer", ("<=", 1)), Skipped("absent", "no device")]
        self.assertIn("NO", table(rows))
        self.assertIn("skipped: no device", table(rows))
        text = verdict(rows)
        self.assertIn("0 of 1 targets met", text)
        self.assertIn("missed: slow thing", text)
        self.assertIn("skipped: absent", text)


class MeasureTest(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="uzram-bench-test-")
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        self.corpus = self.folder / "corpus.bin"
        self.corpus.write_bytes(b"".join(sample_pages(640)))

    def measure(self, *words):
        done = subprocess.run([BUILD / "bench" / "uzram_bench", *words, "--corpus", self.corpus],
                              capture_output=True, text=True, timeout=SECONDS, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip()

    def test_both_sides_of_the_library_are_timed_in_every_round(self):
        for algorithm in ("lz4", "zstd"):
            answer = self.measure("library", "--algorithm", algorithm, "--rounds", "3")
            self.assertEqual(answer["pages"], 576)  # Without the same-filled ones.
            for part in ("fresh_write", "overwrite", "read"):
                for side in ("ours", "theirs"):
                    self.assertEqual(len(answer[part][side]), 3)
                    self.assertGreater(min(answer[part][side]), 50)

    def test_memory_counts_every_page_and_all_parts(self):
        answer = self.measure("memory", "--algorithm", "zstd", "--same-filled")
        account = answer["after_fill"]
        self.assertEqual(account["orig_data_bytes"], 640 * PAGE_BYTES)
        self.assertEqual(account["same_pages"], 64)
        self.assertEqual(account["total_bytes"],
                         sum(account[part] for part in ("mem_used_bytes", "table_bytes",
                                                        "pool_metadata_bytes", "context_bytes",
                                                        "reserved_bytes")))
        self.assertGreaterEqual(answer["process_bytes"], account["mem_used_bytes"])

    def test_the_client_notices_one_wrong_byte(self):
        with our_nbd(BUILD, "16M", "lz4") as server:
            client = ("client", "--target", server.uri, "--depth", "4")
            self.assertEqual(self.measure(*client, "--job", "fill")["requests"], 576)
            self.assertEqual(self.measure(*client, "--job", "verify")["requests"], 576)
            data = bytearray(self.corpus.read_bytes())
            data[300 * PAGE_BYTES + 17] ^= 1
            self.corpus.write_bytes(data)
            self.assertIn("Bad message", self.measure(*client, "--job", "verify"))

    def test_the_client_counts_what_the_server_did(self):
        with our_nbd(BUILD, "16M", "lz4") as server:
            for job in ("read", "write"):
                answer = self.measure("client", "--target", server.uri, "--job", job, "--depth",
                                      "8", "--seconds", "0.2")
                rate = answer["requests"] / answer["seconds"]
                self.assertAlmostEqual(answer["requests_per_second"], rate, delta=rate / 1000)
                self.assertGreater(answer["requests"], 0)

    def test_a_run_prints_a_table_and_writes_its_results(self):
        results = self.folder / "results.json"
        done = subprocess.run([ROOT / "bench" / "run", "--quick", "--build", BUILD, "--corpus",
                               self.folder, "--only", "library|overhead", "--output", results],
                              capture_output=True, text=True, timeout=SECONDS, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("LZ4_decompress_safe", done.stdout)
        self.assertIn("targets met", done.stdout)
        answer = json.loads(results.read_text())
        self.assertGreater(len(answer["rows"]), 10)
        for fact in ("processor", "processors", "kernel", "memory_kibibytes", "packages"):
            self.assertTrue(answer["machine"][fact], fact)

    def test_wrong_words_are_refused(self):
        done = subprocess.run([ROOT / "bench" / "run", "--build", BUILD, "--corpus", self.folder,
                               "--only", "nothing"], capture_output=True, text=True,
                              timeout=SECONDS, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("library, kernel, memory, overhead, nbd, fuse", done.stderr)
        self.assertIn("No such file", self.measure("kernel", "--algorithm", "lz4", "--path",
                                                   "/nonexistent"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
