#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Disks that nobody uses cost next to nothing; a busy one among them gets what it needs.

What:    many empty disks in one daemon, with bounds for threads, descriptors and memory; threads
         of a busy disk come and go; content written around those moments reads back.
"""
import collections
import hashlib
import os
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from uzram_daemon import DaemonTest, wait_until  # noqa: E402

DISKS = 150
MOST_THREADS = 16
MOST_DESCRIPTORS_OF_A_DISK = 3
MOST_KIB_OF_A_DISK = 100


def threads_by_name(pid):
    names = collections.Counter()
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            names[(task / "comm").read_text(encoding="ascii").strip()] += 1
        except OSError:
            pass  # It has ended.
    return names


def resident_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


class IdleDisks(DaemonTest):
    def serving_threads(self):
        return threads_by_name(self.daemon.process.pid)["uzram-disk"]

    def at_rest(self):
        return self.serving_threads() == 0

    def test_150_cost_a_fixed_number_of_threads_and_little_memory(self):
        pid = self.daemon.process.pid
        self.daemon.create("--size", "16M")  # What is made once is made.
        self.assertTrue(wait_until(self.at_rest), threads_by_name(pid))
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        memory = resident_kib(pid)
        for _ in range(DISKS):
            self.daemon.create("--size", "16M")
        self.assertTrue(wait_until(self.at_rest), threads_by_name(pid))
        names = threads_by_name(pid)
        self.assertLessEqual(sum(names.values()), MOST_THREADS, names)
        more = len(os.listdir(f"/proc/{pid}/fd")) - descriptors
        self.assertLessEqual(more, DISKS * MOST_DESCRIPTORS_OF_A_DISK)
        self.assertLessEqual(resident_kib(pid) - memory, DISKS * MOST_KIB_OF_A_DISK)

    def test_a_busy_disk_gets_threads_and_loses_them_again(self):
        for _ in range(4):
            _, disk = self.daemon.create("--size", "16M")
        self.assertTrue(wait_until(self.at_rest))
        most = 0
        with open(disk, "r+b", buffering=0) as file:
            for number in range(2000):
                file.seek(number % 4096 * 4096)
                file.write(os.urandom(4096))
                if number % 50 == 0:
                    os.fsync(file.fileno())
                    most = max(most, self.serving_threads())
        self.assertGreaterEqual(most, 2)
        self.assertTrue(wait_until(self.at_rest), threads_by_name(self.daemon.process.pid))

    def test_what_is_written_while_threads_come_and_go_reads_back(self):
        _, disk = self.daemon.create("--size", "16M")
        digests = {}
        handle = os.open(disk, os.O_RDWR)
        try:
            # Around the time after which a disk with few requests loses its threads.
            for number, pause in enumerate([0, 0.05, 0.15, 0.19, 0.2, 0.21, 0.25, 0.3, 0.4] * 3):
                time.sleep(pause)
                data = os.urandom(4096)
                os.pwrite(handle, data, number * 4096)
                os.fsync(handle)
                digests[number] = hashlib.sha256(data).digest()
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            for number, digest in digests.items():
                data = os.pread(handle, 4096, number * 4096)
                self.assertEqual(hashlib.sha256(data).digest(), digest, number)
        finally:
            os.close(handle)


if __name__ == "__main__":
    unittest.main()
