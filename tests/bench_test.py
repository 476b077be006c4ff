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
# Of a device's memory.
PARTS = ("mem_used_bytes", "table_bytes", "pool_metadata_bytes", "context_bytes", "reserved_bytes",
         "backing_bytes")

sys.path.insert(0, str(ROOT / "bench"))
from disks import Unavailable, kernel_zram, kernel_zram_bytes, our_nbd  # noqa: E402
from report import Row, Skipped, table, verdict  # noqa: E402


def sample_pages(count):
    numbers = random.Random(3)
    words = [bytes(numbers.choices(b"etaoinshrdlu", k=6)) for _ in range(300)]
    pages = [b" ".join(numbers.choices(words, k=700))[:PAGE_BYTES] for _ in range(count)]
    # Every tenth page is same-filled.
    return [bytes(PAGE_BYTES) if index % 10 == 9 else page for index, page in enumerate(pages)]


def neighbour_pages(count):
    """Much of a page is also in the pages around it: the more of them together, the smaller."""
    numbers = random.Random(4)
    pages = []
    for index in range(count):
        if index % 16 == 0:
            common = numbers.randbytes(2000)
        pages.append((common + numbers.randbytes(100)).ljust(PAGE_BYTES, b"."))
    return pages


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


class CorpusTest(unittest.TestCase):
    """With a corpus of 640 pages, every tenth of them same-filled."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="uzram-bench-test-")
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        self.corpus = self.folder / "corpus.bin"
        self.keep(sample_pages(640))

    def keep(self, pages):
        self.corpus.write_bytes(b"".join(pages))

    def measure(self, *words):
        done = subprocess.run([BUILD / "bench" / "uzram_bench", *words, "--corpus", self.corpus],
                              capture_output=True, text=True, timeout=SECONDS, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip()


class MeasureTest(CorpusTest):
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
                         sum(account[part] for part in PARTS))
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
        self.assertIn("library, kernel, memory, overhead, nbd, fuse, demotion, cold-reads, policy, "
                      "writeback, dedup", done.stderr)
        self.assertIn("No such file", self.measure("kernel", "--algorithm", "lz4", "--path",
                                                   "/nonexistent"))


class ClusterTest(CorpusTest):
    def test_cluster_files_save_what_f2fs_saves_and_are_gone_afterwards(self):
        self.keep(neighbour_pages(640))
        for algorithm in ("lz4", "zstd:3"):
            answer = self.measure("cluster", "--algorithm", algorithm, "--log-size", "2",
                                  "--rounds", "2", "--folder", self.folder)
            self.assertEqual(answer["clusters"], 160)
            saved = answer["saved_bytes"]
            # Root slots and one map block; the file system may need a block or two itself.
            self.assertLess(abs(saved["theirs"] - saved["ours"] - 3 * PAGE_BYTES), 3 * PAGE_BYTES)
            self.assertGreater(saved["theirs"], 160 * PAGE_BYTES)
            for job, sides in (("pack_1", ("ours", "theirs", "theirs_written")),
                               ("pack_2", ("ours", "theirs")), ("cold_read", ("ours", "theirs")),
                               ("hit", ("ours",))):
                for side in sides:
                    self.assertEqual(len(answer[job][side]), 2, (job, side))
                    self.assertGreater(min(answer[job][side]), 0)
        self.assertEqual(list(self.folder.glob("uzram-bench-*")), [])
        self.assertIn("is no algorithm", self.measure("cluster", "--algorithm", "zstd:99"))


class AfterWriteTest(CorpusTest):
    def test_the_model_has_the_classes_of_the_kernels_allocator(self):
        model = self.measure("zram-model", "--algorithm", "lz4")
        self.assertEqual((model["classes"], model["huge_bytes"]), (119, 3625))

    def test_the_model_counts_every_page_by_its_kind(self):
        noise = random.Random(5)
        self.keep([bytes(PAGE_BYTES)] * 7 + [noise.randbytes(PAGE_BYTES) for _ in range(50)])
        model = self.measure("zram-model", "--algorithm", "zstd", "--same-filled")
        self.assertEqual((model["same_pages"], model["huge_pages"]), (7, 50))
        self.assertEqual(model["mem_used_bytes"], 50 * PAGE_BYTES)
        self.assertEqual(model["total_bytes"], 50 * PAGE_BYTES + 57 * 16 + 50 * 8)

    def test_the_model_agrees_with_the_driver(self):
        model = self.measure("zram-model", "--algorithm", "lz4", "--same-filled")
        try:
            with kernel_zram("lz4", 640 * PAGE_BYTES) as node:
                filled = self.measure("client", "--target", node, "--job", "fill", "--same-filled")
                self.assertEqual(filled["requests"], 640)
                used = kernel_zram_bytes(0)
        except Unavailable as reason:
            self.skipTest(str(reason))
        self.assertLess(abs(model["mem_used_bytes"] - used), used / 100)

    def test_each_stage_of_demotion_has_its_cpu_and_its_memory(self):
        self.keep(neighbour_pages(576) + [bytes(PAGE_BYTES)] * 64)
        answer = self.measure("demotion", "--stages", "4:1", "16:3", "--rounds", "3",
                              "--same-filled")
        self.assertEqual([stage["stage"] for stage in answer["stages"]], ["4:1", "16:3"])
        packed_before = answer["after_fill"]["compr_data_bytes"]
        for stage in answer["stages"]:
            account = stage["account"]
            self.assertEqual(stage["tried_pages"], 576)
            self.assertEqual(account["orig_data_bytes"], 640 * PAGE_BYTES)
            self.assertEqual(account["total_bytes"], sum(account[part] for part in PARTS))
            self.assertLess(account["compr_data_bytes"], packed_before)
            packed_before = account["compr_data_bytes"]
            self.assertEqual(len(stage["cpu_per_page"]), 3)
            for all_threads, one in zip(stage["cpu_per_page"], stage["maker_cpu_per_page"]):
                self.assertGreaterEqual(all_threads, one)
                self.assertGreater(one, 500)
        self.assertIn("not PAGES:LEVEL", self.measure("demotion", "--stages", "4"))
        self.assertIn("Invalid argument", self.measure("demotion", "--stages", "64:1"))

    def test_cold_reads_are_of_full_clusters_only(self):
        self.keep(sample_pages(100))  # 90 of them are not same-filled: 22 times 4, and 2.
        answer = self.measure("cold-reads", "--stages", "4:1", "--rounds", "3")
        self.assertEqual((answer["clusters"], answer["member_pages"]), (22, 88))
        for part in ("p50", "p99", "scan"):
            self.assertEqual(len(answer[part]), 3)
            self.assertEqual(len(answer[f"bare_{part}"]), 3)
            self.assertGreater(min(answer[f"bare_{part}"]), 0)
        for middle, high in zip(answer["p50"], answer["p99"]):
            self.assertGreaterEqual(high, middle)
        self.keep([random.Random(page).randbytes(PAGE_BYTES) for page in range(8)])
        self.assertIn("No data", self.measure("cold-reads", "--stages", "4:1"))

    def test_duplicates_are_counted_byte_for_byte(self):
        pages = sample_pages(640)
        almost = bytearray(pages[5])
        almost[-1] ^= 1
        self.keep(pages + pages[100:160] + pages[100:130] + [bytes(almost)])
        answer = self.measure("dedup", "--rounds", "3")
        self.assertEqual(answer["duplicates"], 54 + 27)  # Every tenth is same-filled.
        self.assertEqual(answer["unique_pages"], 576 + 1)
        self.assertGreaterEqual(answer["duplicates_found"], 0.95 * (54 + 27))
        self.assertLessEqual(answer["duplicates_found"], 54 + 27)
        self.assertGreater(answer["saved_bytes"], 0)
        for part in ("fresh_write", "overwrite"):
            for side in ("with", "without", "added"):
                self.assertEqual(len(answer[part][side]), 3)

    def test_writeback_writes_all_pages_and_encrypts_them(self):
        # The first word of the first page that it makes.
        word = (0xe220a8397b1dcdaf).to_bytes(8, "little")
        with tempfile.TemporaryDirectory(prefix="backing-", dir=BUILD) as folder:
            file = pathlib.Path(folder) / "file"
            for options, is_readable in (((), False), (("--no-encryption",), True)):
                file.write_bytes(bytes(8 << 20))
                answer = self.measure("writeback", "--path", file, "--mebibytes", "4", *options)
                self.assertEqual(answer["written_pages"], 1024)
                self.assertEqual(answer["written_blocks"], 1024)
                self.assertIs(word in file.read_bytes(), is_readable)
            packed = self.measure("writeback", "--path", file, "--content", "corpus")
            self.assertEqual(packed["written_pages"], 576)
            self.assertLess(packed["written_blocks"], 576)
            self.assertIn("No such file", self.measure("writeback", "--path", f"{folder}/absent"))
            file.write_bytes(bytes(2 << 20))
            self.assertIn("No space", self.measure("writeback", "--path", file, "--mebibytes", "4"))

    def test_reads_beside_the_policy_stay_apart_from_its_pages(self):
        text = b" ".join(sample_pages(3))[:PAGE_BYTES - 8]
        self.keep([page.to_bytes(8, "little") + text for page in range(1, 8193)])
        settings = ("on idle_after=1s recompress_after=off cluster_after=1s large_after=off "
                    "burst=off psi_percent=off max_pages=256")
        for words in (("--round-pages", "512"), ("--settings", settings, "--seconds", "1.5")):
            answer = self.measure("policy", "--rounds", "2", *words)
            for part in ("alone_p50", "alone_p99", "beside_p50", "beside_p99"):
                self.assertEqual(len(answer[part]), 2)
            self.assertGreater(min(answer["demoted_pages"]), 200)
        self.assertIn("Invalid argument", self.measure("policy", "--settings", "perhaps"))

    def test_a_run_judges_what_happens_after_the_write(self):
        self.keep(neighbour_pages(640))
        results = self.folder / "results.json"
        done = subprocess.run([ROOT / "bench" / "run", "--quick", "--build", BUILD, "--corpus",
                               self.folder, "--only", "cold-reads|writeback|dedup", "--output",
                               results], capture_output=True, text=True, timeout=SECONDS,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = json.loads(results.read_text())["rows"]
        targets = {row["what"]: row.get("target") for row in rows}
        self.assertEqual(targets["read of a cold page, clusters by 4, p99, in time"], "<= 25000")
        self.assertEqual(targets["read of a cold page, clusters by 16, p99, in time"], "<= 70000")
        against = {row["what"]: row.get("against") or "" for row in rows}
        self.assertIn("zstd alone", against["sequential scan, clusters by 16"])
        self.assertEqual(targets["writeback of incompressible pages, encrypted"], ">= 0.8")
        self.assertIn("skipped: dedup: exact duplicates found", done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
