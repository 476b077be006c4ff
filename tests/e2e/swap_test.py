# SPDX-License-Identifier: Apache-2.0
"""Swap on the disk: a process with far more memory than its cgroup gives keeps every byte."""
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import memory_cgroup  # noqa: E402
from uzram_daemon import DaemonTest, run, wait_until  # noqa: E402

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
        # Where the daemon may not become an I/O flusher, swap is had by force only.
        self.daemon.must("swap", "on", self.name, "--priority", "1000", "--force", *options)
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
        self.refuse_content("ext4")

    def first_bytes(self):
        with open(self.disk, "rb") as disk:
            return disk.read(1 << 20)

    def refuse_content(self, words):
        before = self.first_bytes()
        refused = self.daemon.ask("swap", "on", self.name, "--force")
        self.assertNotEqual(0, refused.returncode)
        self.assertIn(words, refused.stderr)
        self.assertEqual(before, self.first_bytes())

    def test_a_partition_table_is_not_overwritten_by_swap(self):
        self.need("sfdisk")
        run("sfdisk", "-q", self.disk, input=",,\n")
        self.refuse_content("partition table")

    def test_a_file_system_with_a_swap_signature_is_no_old_swap(self):
        self.need("mkfs.ext4")
        run("mkfs.ext4", "-q", self.disk)
        with open(self.disk, "r+b") as disk:
            disk.seek(4086)
            disk.write(b"SWAPSPACE2")
        self.refuse_content("ext4")

    def locked_kib(self):
        status = pathlib.Path(f"/proc/{self.daemon.process.pid}/status").read_text("utf-8")
        return int(next(line for line in status.splitlines() if "VmLck" in line).split()[1])

    def test_a_swapoff_by_hand_gives_back_what_was_set_aside(self):
        before = self.locked_kib()
        self.daemon.must("set", self.name, "mem_reserve", "12M")
        self.swap_on("--reserve", "32M")
        self.assertGreater(self.locked_kib(), before)
        run("swapoff", self.disk)
        self.assertTrue(wait_until(lambda: self.locked_kib() <= before))
        self.assertEqual("12582912\n", self.daemon.attribute(self.name, "mem_reserve"))
        reserved = self.daemon.devices()[0]["stats"]["reserved_bytes"]
        # With what is touched besides; the reserve of swap would be 32 MiB and more.
        self.assertTrue(12 << 20 <= reserved < 32 << 20, reserved)

    def test_the_throttle_of_the_disk_is_off_while_it_is_swap(self):
        number = pathlib.Path(self.disk).name
        throttle = pathlib.Path(f"/sys/block/{number}/queue/wbt_lat_usec")
        if not throttle.exists():
            self.skipTest("this kernel has no write-back throttle")
        before = throttle.read_text("utf-8")
        self.swap_on("--reserve", "32M")
        self.assertEqual("0\n", throttle.read_text("utf-8"))
        self.daemon.must("swap", "off", self.name)
        self.assertEqual(before, throttle.read_text("utf-8"))

    def test_a_strangers_disk_under_the_same_number_is_left_alone(self):
        image = self.daemon.state.with_suffix(".img")
        self.addCleanup(lambda: image.unlink(missing_ok=True))
        image.write_bytes(b"stranger" * (1 << 17))
        run("losetup", "-d", self.disk)
        run("losetup", self.disk, image)
        self.addCleanup(lambda: run("losetup", "-d", self.disk, check=False))
        refused = self.daemon.ask("swap", "on", self.name, "--force")
        self.assertNotEqual(0, refused.returncode)
        self.assertIn("lost its block device", refused.stderr)
        self.assertEqual(b"stranger" * (1 << 17), image.read_bytes())


if __name__ == "__main__":
    unittest.main()
