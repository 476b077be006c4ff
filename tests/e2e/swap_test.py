# SPDX-License-Identifier: Apache-2.0
"""Swap on the disk: a process with far more memory than its cgroup gives keeps every byte."""
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import memory_cgroup  # noqa: E402
from uzram_daemon import DaemonTest, run  # noqa: E402

_LIMIT_BYTES, _TOUCHED_MIB = 64 << 20, 400


def swap_paths():
    lines = pathlib.Path("/proc/swaps").read_text(encoding="utf-8").splitlines()[1:]
    return [line.split()[0] for line in lines]


class SwapTest(DaemonTest):
    def setUp(self):
        super().setUp()
        self.need("mkswap", "swapon", "swapoff")
        self.name, self.disk = self.daemon.create("--size", "1G", "--algorithm", "lz4",
                                                  "--mem-limit", "400M")

    def swap_on(self, *options):
        self.daemon.must("swap", "on", self.name, "--priority", "1000", *options)
        self.addCleanup(lambda: self.disk in swap_paths() and run("swapoff", self.disk))

    def test_a_process_keeps_400_mib_in_a_cgroup_of_64(self):
        self.swap_on()
        self.assertIn(self.disk, swap_paths())
        try:
            group = memory_cgroup.MemoryCgroup(_LIMIT_BYTES)
        except memory_cgroup.Unavailable as missing:
            self.skipTest(str(missing))
        self.addCleanup(group.remove)
        process = group.start([sys.executable, HERE / "memory_toucher.py", _TOUCHED_MIB],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(process.stdout.close)
        word, swapped_kib = process.stdout.readline().split()
        self.assertEqual("filled", word)
        self.assertGreater(int(swapped_kib), (_TOUCHED_MIB << 10) - (_LIMIT_BYTES >> 10) * 3 // 2)
        stat = self.daemon.mm_stat(self.name)
        self.assertGreater(stat["orig_data_size"], 300 << 20)
        self.assertLess(stat["compr_data_size"], stat["orig_data_size"] // 2)
        said, _ = process.communicate(timeout=300)
        self.assertEqual((0, "verified\nverified\n"), (process.returncode, said))
        self.daemon.must("swap", "off", self.name)
        self.assertNotIn(self.disk, swap_paths())
        failed_reads, failed_writes, *_ = self.daemon.attribute(self.name, "io_stat").split()
        self.assertEqual(("0", "0"), (failed_reads, failed_writes))

    def test_swap_without_a_limit_or_a_reserve_is_refused(self):
        self.daemon.must("set", self.name, "mem_limit", "0")
        refused = self.daemon.ask("swap", "on", self.name)
        self.assertNotEqual(0, refused.returncode)
        self.assertIn("swap needs memory set aside", refused.stderr)
        self.assertNotIn(self.disk, swap_paths())

    def test_a_disk_that_is_swap_cannot_be_removed(self):
        self.swap_on("--reserve", "32M")
        refused = self.daemon.ask("remove", self.name)
        self.assertNotEqual(0, refused.returncode)
        self.assertIn("in use", refused.stderr)
        self.daemon.must("swap", "off", self.name)
        self.daemon.must("remove", self.name)

    def test_a_file_system_is_not_overwritten_by_swap(self):
        self.need("mkfs.ext4")
        run("mkfs.ext4", "-q", self.disk)
        refused = self.daemon.ask("swap", "on", self.name)
        self.assertNotEqual(0, refused.returncode)
        self.assertIn("ext4", refused.stderr)


if __name__ == "__main__":
    unittest.main()
