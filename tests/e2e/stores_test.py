# SPDX-License-Identifier: Apache-2.0
"""Backing stores as their users meet them: at the memory limit, set aside, one over another."""
import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import DaemonTest, run, wait_until  # noqa: E402

MIB = 1 << 20


class StoresTest(DaemonTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="uzram-e2e-", dir="/tmp")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def sparse(self, name, size):
        path = self.folder / name
        with open(path, "wb") as file:
            file.truncate(size)
        return path

    @staticmethod
    def write(disk, content):
        with open(disk, "wb", buffering=0) as file:
            for at in range(0, len(content), MIB):
                file.write(content[at:at + MIB])
            os.fsync(file.fileno())

    def total(self, name):
        words = self.daemon.attribute(name, "total_stat").split()
        return int(words[words.index("total_bytes") + 1])

    def test_writes_go_on_at_the_memory_limit(self):
        store = self.sparse("store", 128 * MIB)
        name, disk = self.daemon.create("--size", "64M", "--algorithm", "lz4", "--mem-limit", "8M",
                                        "--set", f"backing_dev={store}")
        content = os.urandom(24 * MIB)
        self.write(disk, content)
        _, _, used, _, most = self.daemon.attribute(name, "mm_stat").split()[:5]
        self.assertLessEqual(int(used), 8 * MIB)
        # A page that is written over exceeds the limit while both contents exist (law 8).
        self.assertLessEqual(int(most), 8 * MIB + 64 * 1024)
        run("blockdev", "--flushbufs", disk)
        self.assertEqual(content, pathlib.Path(disk).open("rb").read(len(content)))

    def test_a_file_that_was_set_aside_keeps_its_space(self):
        store = self.folder / "store"
        with open(store, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, 32 * MIB)
        before = store.stat().st_blocks
        name, disk = self.daemon.create("--size", "32M", "--algorithm", "lz4", "--set",
                                        f"backing_dev={store}")
        self.write(disk, os.urandom(16 * MIB))
        self.daemon.must("set", name, "writeback", "type=huge")
        run("blkdiscard", disk)
        used = lambda: int(self.daemon.attribute(name, "bd_stat").split()[0])  # noqa: E731
        self.assertTrue(wait_until(lambda: used() == 0))
        self.assertFalse(wait_until(lambda: store.stat().st_blocks < before, seconds=1))

    def test_a_dictionary_is_in_the_cost(self):
        words = self.folder / "words"
        words.write_bytes(b"".join(b"%d word " % i for i in range(300_000)))
        for algorithm in ("lz4", "zstd"):
            name, _ = self.daemon.create("--size", "16M", "--algorithm", algorithm)
            without = self.total(name)
            self.daemon.must("remove", name)
            name, _ = self.daemon.create("--size", "16M", "--algorithm", algorithm, "--dict", words)
            self.assertGreaterEqual(self.total(name) - without, words.stat().st_size)
            self.daemon.must("remove", name)

    def test_disks_over_disks_go_in_order(self):
        _, disk = self.daemon.create("--size", "64M", "--algorithm", "lz4")
        _, middle = self.daemon.create("--size", "32M", "--algorithm", "lz4", "--set",
                                       f"backing_dev={disk}")
        self.daemon.create("--size", "16M", "--algorithm", "lz4", "--set", f"backing_dev={middle}")
        refused = self.daemon.ask("remove", "zram0")
        self.assertNotEqual(0, refused.returncode)
        self.assertIn("zram1", refused.stderr)
        self.daemon.signal()
        self.daemon.process.wait(30)
        self.assertEqual(0, self.daemon.process.returncode, self.daemon.log())


if __name__ == "__main__":
    unittest.main()
