# SPDX-License-Identifier: Apache-2.0
"""A daemon in a small memory cgroup: writes are refused before the kernel ends it."""
import os
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import memory_cgroup  # noqa: E402
from uzram_daemon import DaemonTest, wait_until  # noqa: E402

_LIMIT_BYTES, _MIB = 96 << 20, 1 << 20


class MemoryLimitTest(DaemonTest):
    def setUp(self):
        super().setUp()
        try:
            self.group = memory_cgroup.MemoryCgroup(_LIMIT_BYTES)
        except memory_cgroup.Unavailable as missing:
            self.skipTest(str(missing))
        self.addCleanup(self.group.remove)
        self.addCleanup(self.daemon.clean_up)
        procs = self.group.folder / "cgroup.procs"
        procs.write_text(str(self.daemon.process.pid), encoding="utf-8")

    def fill(self, disk):
        """Writes until it is refused. Returns: the blocks that were taken."""
        taken = []
        with open(disk, "r+b", buffering=0) as file:
            try:
                for _ in range(256):
                    block = os.urandom(_MIB)
                    os.pwrite(file.fileno(), block, len(taken) * _MIB)
                    os.fsync(file.fileno())
                    taken.append(block)
            except OSError:
                pass
        return taken

    def test_a_full_cgroup_refuses_writes_and_keeps_the_daemon(self):
        disks = [self.daemon.create("--size", "256M", "--algorithm", "lz4")[1] for _ in range(2)]
        for device in self.daemon.devices():
            self.assertIn("cgroup", device["limit"]["from"])
            self.assertLess(device["limit"]["bytes"], _LIMIT_BYTES)
        for disk in disks:
            taken = self.fill(disk)
            self.assertLess(len(taken), 96)
            self.assertIsNone(self.daemon.process.poll())
            with open(disk, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                for index, block in enumerate(taken):
                    self.assertEqual(block, os.pread(file.fileno(), _MIB, index * _MIB))
        self.assertTrue(wait_until(lambda: self.daemon.ask("list").returncode == 0))

    def test_swap_is_refused_there_unless_forced(self):
        name, disk = self.daemon.create("--size", "64M", "--algorithm", "lz4")
        refused = self.daemon.ask("swap", "on", name, "--reserve", "64M")
        self.assertNotEqual(0, refused.returncode)
        self.assertIn("cgroup", refused.stderr)
        self.assertNotIn(disk, pathlib.Path("/proc/swaps").read_text(encoding="utf-8"))


if __name__ == "__main__":
    unittest.main()
