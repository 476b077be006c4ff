# SPDX-License-Identifier: Apache-2.0
"""A stop never loses pages that nobody was asked about."""
import os
import pathlib
import signal
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import Daemon, DaemonTest, missing_for_a_disk, run, wait_until  # noqa: E402

CONTENT = os.urandom(1 << 20)


def fill(disk):
    with open(disk, "r+b", buffering=0) as file:
        file.write(CONTENT)
        os.fsync(file.fileno())


def content_of(disk):
    with open(disk, "rb") as file:
        return file.read(len(CONTENT))


class StopTest(DaemonTest):
    def serves_on(self):
        return self.daemon.process.poll() is None and self.daemon.ask("list").returncode == 0

    def test_signals_do_not_drop_pages(self):
        name, disk = self.daemon.create("--size", "32M")
        fill(disk)
        for number in (signal.SIGTERM, signal.SIGINT):
            self.daemon.log_path.write_text("", encoding="utf-8")
            self.daemon.signal(number)
            self.assertTrue(wait_until(lambda: "staying" in self.daemon.log()), self.daemon.log())
            self.assertIn(f"{name}: holds 1M", self.daemon.log())
            self.assertIn("uzram stop --force", self.daemon.log())
        self.assertTrue(self.serves_on())
        self.assertEqual(CONTENT, content_of(disk))
        self.daemon.must("reset", name)
        self.daemon.signal()
        self.assertEqual(0, self.daemon.process.wait(30))

    def test_sighup_changes_nothing(self):
        _, disk = self.daemon.create("--size", "32M")
        fill(disk)
        self.daemon.signal(signal.SIGHUP)
        self.assertTrue(wait_until(lambda: "serving on" in self.daemon.log()), self.daemon.log())
        self.assertTrue(self.serves_on())
        self.assertEqual(CONTENT, content_of(disk))

    def test_stop_asks_first_and_waits_for_the_end(self):
        name, disk = self.daemon.create("--size", "32M")
        fill(disk)
        refused = self.daemon.ask("stop")
        self.assertEqual(1, refused.returncode)
        self.assertIn(f"{name}: holds 1M", refused.stderr)
        self.assertIn("--force", refused.stderr)
        self.assertEqual(CONTENT, content_of(disk))
        self.daemon.must("stop", "--force")
        self.assertEqual(0, self.daemon.process.wait(0.5))
        self.assertEqual([], self.daemon.leftovers())

    def test_stop_without_pages_needs_no_force(self):
        self.daemon.create("--size", "32M")
        self.daemon.must("stop")
        self.assertEqual(0, self.daemon.process.wait(0.5))
        gone = self.daemon.ask("stop")
        self.assertEqual(1, gone.returncode)
        self.assertIn("no server answers", gone.stderr)

    def test_force_takes_no_disk_that_is_in_use(self):
        self.need("mkfs.ext4")
        _, disk = self.daemon.create("--size", "32M")
        run("mkfs.ext4", "-q", disk)
        with tempfile.TemporaryDirectory() as folder:
            run("mount", disk, folder)
            self.addCleanup(run, "umount", folder, check=False)
            refused = self.daemon.ask("stop", "--force")
            self.assertEqual(1, refused.returncode)
            self.assertIn(folder, refused.stderr)
            self.assertTrue(self.serves_on())
            run("umount", folder)
        self.daemon.must("stop", "--force")


class ServiceTest(unittest.TestCase):
    def test_a_service_may_say_that_a_signal_drops_pages(self):
        missing = missing_for_a_disk()
        if missing:
            self.skipTest(missing)
        daemon = Daemon("--stop-drops-data")
        self.addCleanup(daemon.clean_up)
        _, disk = daemon.create("--size", "32M")
        fill(disk)
        daemon.signal()
        self.assertEqual(0, daemon.process.wait(30))


if __name__ == "__main__":
    unittest.main()
