# SPDX-License-Identifier: Apache-2.0
"""Swap whose content changes: the arena does not grow, and the serving threads take no page fault.

By hand for longer: `UZRAM_CHURN_SECONDS=3600 tests/e2e/swap_churn_test.py` prints its counts.
"""
import os
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import memory_cgroup  # noqa: E402
from uzram_daemon import DaemonTest, run  # noqa: E402

_SECONDS = float(os.environ.get("UZRAM_CHURN_SECONDS", "8"))
_GROUP_BYTES, _CHURNED_MIB, _LIMIT_BYTES = 48 << 20, 144, 96 << 20
_EXCESS_BYTES = 256 << 10  # What replacements may add for a moment (docs/attributes.md, mem_limit).


def serving_faults(pid):
    """Page faults of the threads that serve disks: {thread: minor and major}."""
    faults = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        name, _, rest = (task / "stat").read_text(encoding="utf-8").rpartition(")")
        if name.endswith(("(uzram-disk", "(uzram-uring")):
            fields = rest.split()
            faults[task.name] = int(fields[7]) + int(fields[9])
    return faults


class SwapChurnTest(DaemonTest):
    def start_churner(self):
        try:
            group = memory_cgroup.MemoryCgroup(_GROUP_BYTES)
        except memory_cgroup.Unavailable as missing:
            self.skipTest(str(missing))
        self.addCleanup(group.remove)
        churner = group.start([sys.executable, HERE / "memory_churner.py", _CHURNED_MIB],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(churner.stdout.close)
        self.assertEqual("filled\n", churner.stdout.readline())
        return churner

    @staticmethod
    def churn(churner, seconds):
        churner.stdin.write(f"{seconds}\n")
        churner.stdin.flush()
        return int(churner.stdout.readline().split()[1])

    def faults(self):
        return sum(serving_faults(self.daemon.process.pid).values())

    def test_an_arena_that_serves_swap_neither_grows_nor_faults(self):
        self.need("mkswap", "swapon", "swapoff")
        name, disk = self.daemon.create("--size", "256M", "--algorithm", "lz4",
                                        "--mem-limit", _LIMIT_BYTES)
        self.daemon.must("swap", "on", name, "--priority", "1000", "--force")
        self.addCleanup(lambda: run("swapoff", disk, check=False))
        arena_before = self.daemon.arena_bytes()
        churner = self.start_churner()
        self.churn(churner, min(3, _SECONDS))  # What each thread touches once.
        self.assertTrue(serving_faults(self.daemon.process.pid), "no serving thread was found")
        faults_before = self.faults()
        written_before = int(self.daemon.attribute(name, "stat").split()[4])
        changed = self.churn(churner, _SECONDS)
        arena_after, faults_after = self.daemon.arena_bytes(), self.faults()
        written = int(self.daemon.attribute(name, "stat").split()[4]) - written_before
        stat = self.daemon.mm_stat(name)
        left = self.daemon.devices()[0]["stats"]["reserve_left_bytes"]
        print(f"{changed} pages changed, {written} requests written, arena {arena_before} to "
              f"{arena_after} bytes, {faults_after - faults_before} faults of serving threads, at "
              f"most {stat['mem_used_max']} of {_LIMIT_BYTES} bytes used, {left} left")
        self.assertGreater(written, 100)
        self.assertLessEqual(arena_after, arena_before)
        self.assertEqual(0, faults_after - faults_before)
        self.assertLessEqual(stat["mem_used_max"], _LIMIT_BYTES + _EXCESS_BYTES)
        self.assertEqual(_LIMIT_BYTES - stat["mem_used_total"], left)
        churner.stdin.close()
        self.assertEqual(("verified\n", 0), (churner.stdout.read(), churner.wait(300)))
        failed_reads, failed_writes, *_ = self.daemon.attribute(name, "io_stat").split()
        self.assertEqual(("0", "0"), (failed_reads, failed_writes))
        self.daemon.must("swap", "off", name)


if __name__ == "__main__":
    unittest.main()
