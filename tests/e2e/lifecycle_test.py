# SPDX-License-Identifier: Apache-2.0
"""How the daemon begins and ends: nothing stays behind, and data in use is never thrown away."""
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import DaemonTest, run, uzram_program, wait_until  # noqa: E402


class EndTest(DaemonTest):
    def mount(self, disk):
        self.need("mkfs.ext4")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        run("mkfs.ext4", "-q", disk)
        run("mount", disk, folder.name)
        self.addCleanup(run, "umount", folder.name, check=False)
        return pathlib.Path(folder.name)

    def test_sigterm_leaves_nothing_behind(self):
        for _ in range(3):
            self.daemon.create("--size", "32M")
        self.assertNotEqual([], self.daemon.leftovers())
        self.assertEqual(0, self.daemon.stop())
        self.assertEqual([], self.daemon.leftovers())
        self.assertEqual([], sorted(path.name for path in self.daemon.state.glob("*")))

    def test_sigint_ends_it_too(self):
        self.daemon.create("--size", "32M")
        self.daemon.signal(signal.SIGINT)
        self.assertEqual(0, self.daemon.process.wait(30))
        self.assertEqual([], self.daemon.leftovers())

    def test_a_mounted_disk_is_named_and_stays(self):
        _, disk = self.daemon.create("--size", "64M")
        folder = self.mount(disk)
        (folder / "kept").write_text("still here", encoding="utf-8")
        self.daemon.signal()
        self.assertTrue(wait_until(lambda: "still in use" in self.daemon.log()), self.daemon.log())
        self.assertIn(str(folder), self.daemon.log())
        self.assertIsNone(self.daemon.process.poll())
        run("umount", folder)
        run("mount", disk, folder)
        self.assertEqual("still here", (folder / "kept").read_text(encoding="utf-8"))
        run("umount", folder)
        self.assertEqual(0, self.daemon.stop())
        self.assertEqual([], self.daemon.leftovers())

    def test_reset_and_remove_of_a_mounted_disk_are_refused(self):
        name, disk = self.daemon.create("--size", "64M")
        folder = self.mount(disk)
        for command in ("reset", "remove"):
            refused = self.daemon.ask(command, name)
            self.assertNotEqual(0, refused.returncode)
            self.assertIn("in use", refused.stderr)
        run("umount", folder)
        run("e2fsck", "-fn", disk)
        self.daemon.must("remove", name)

    def test_a_second_daemon_in_the_same_place_is_refused(self):
        self.daemon.create("--size", "32M")
        second = subprocess.run([uzram_program(), "serve", "--state", self.daemon.state],
                                capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(1, second.returncode)
        self.assertEqual(1, len(self.daemon.devices()), "the first one serves on")

    def test_a_new_daemon_clears_what_a_killed_one_left(self):
        self.daemon.create("--size", "32M")
        self.daemon.process.kill()
        self.daemon.process.wait()
        log = self.daemon.log_path.open("ab")
        self.addCleanup(log.close)
        self.daemon.process = subprocess.Popen(
            [uzram_program(), "serve", "--state", self.daemon.state], stdout=log, stderr=log)
        self.assertTrue(wait_until(lambda: self.daemon.ask("list").returncode == 0),
                        self.daemon.log())
        self.assertEqual([], self.daemon.devices())
        name, _ = self.daemon.create("--size", "32M")
        self.assertEqual("zram0", name)
        self.assertEqual(0, self.daemon.stop())
        self.assertEqual([], self.daemon.leftovers())


if __name__ == "__main__":
    unittest.main()
