# SPDX-License-Identifier: Apache-2.0
"""When a disk is in use: the kernel decides, a look is waited for, names do not count."""
import os
import pathlib
import resource
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import DaemonTest, run, wait_until  # noqa: E402

NOBODY = 65534
MANY_DESCRIPTORS = 40000


class Process:
    """Another process, and if need be another user, that runs Python words until the test ends."""

    def __init__(self, test, words, user=0):
        code = f"import os, resource, time\nos.setuid({user})\n{words}\n"
        code += "print('ready', flush=True)\ntime.sleep(600)\n"
        self.process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        test.addCleanup(self.end)
        test.assertEqual(b"ready\n", self.process.stdout.readline())

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class UseTest(DaemonTest):
    def system_seconds(self):
        """What the daemon has used of the processor on behalf of itself in the kernel."""
        stat = pathlib.Path(f"/proc/{self.daemon.process.pid}/stat").read_text(encoding="utf-8")
        fields = stat.rpartition(")")[2].split()
        return int(fields[12]) / os.sysconf("SC_CLK_TCK")

    def test_a_descriptor_that_only_names_the_disk_does_not_count(self):
        for command in ("remove", "reset"):
            name, disk = self.daemon.create("--size", "32M")
            naming = Process(self, f"fd = os.open({disk!r}, os.O_PATH)", NOBODY)
            file = str(self.daemon.state / "disk" / name)
            naming_file = Process(self, f"fd = os.open({file!r}, os.O_PATH)")
            self.daemon.must(command, name)
            naming.end()
            naming_file.end()
        _, disk = self.daemon.create("--size", "32M")
        Process(self, f"fd = os.open({disk!r}, os.O_PATH)", NOBODY)
        self.assertEqual(0, self.daemon.stop())

    def test_foreign_descriptors_cost_a_remove_nothing(self):
        def lives(count):
            before = self.system_seconds()
            for _ in range(count):
                name, _ = self.daemon.create("--size", "32M")
                self.daemon.must("remove", name)
            return self.system_seconds() - before

        alone = lives(8)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard < MANY_DESCRIPTORS // 4 + 100:
            self.skipTest(f"no more than {hard} descriptors a process here")
        for _ in range(4):
            Process(self, f"resource.setrlimit(resource.RLIMIT_NOFILE, ({hard}, {hard}))\n"
                          "first = os.open('/dev/null', os.O_RDONLY)\n"
                          f"fds = [os.dup(first) for _ in range({MANY_DESCRIPTORS // 4})]")
        self.assertLess(lives(8), alone * 2 + 0.25)

    def test_a_brief_look_is_waited_for(self):
        for look in range(8):
            name, disk = self.daemon.create("--size", "32M")
            seconds = 0.1 * look
            looker = subprocess.Popen(["sh", "-c", f'exec 9<"{disk}"; sleep {seconds}'])
            self.daemon.must("remove", name)
            looker.wait()
        self.assertEqual([], self.daemon.devices())

    def test_a_mounted_disk_is_refused_at_once_and_named(self):
        self.need("mkfs.ext4")
        name, disk = self.daemon.create("--size", "64M")
        run("mkfs.ext4", "-q", disk)
        folder = self.daemon.state / "mounted"
        folder.mkdir()
        run("mount", disk, folder)
        self.addCleanup(run, "umount", folder, check=False)
        begin = time.monotonic()
        refused = self.daemon.ask("remove", name)
        self.assertLess(time.monotonic() - begin, 3)
        self.assertEqual(1, refused.returncode)
        self.assertIn(f"mounted on {folder}", refused.stderr)
        run("umount", folder)
        folder.rmdir()

    def test_a_stop_takes_all_disks_or_none(self):
        name, disk = self.daemon.create("--size", "32M")
        content = os.urandom(1 << 20)
        pathlib.Path(disk).write_bytes(content)
        _, other = self.daemon.create("--size", "32M")
        # Open, but not claimed: that shows when the first disk has gone already.
        descriptor = os.open(other, os.O_RDWR)
        self.daemon.signal()
        self.assertTrue(wait_until(lambda: "still in use" in self.daemon.log()), self.daemon.log())
        self.assertIsNone(self.daemon.process.poll())
        link = self.daemon.state / "dev" / name
        self.assertEqual(content, link.read_bytes()[:len(content)])
        self.assertFalse(any(device["is_disk_missing"] for device in self.daemon.devices()))
        os.close(descriptor)
        self.daemon.must("remove", name)
        self.assertEqual(0, self.daemon.stop())


if __name__ == "__main__":
    unittest.main()
