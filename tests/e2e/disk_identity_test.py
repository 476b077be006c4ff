# SPDX-License-Identifier: Apache-2.0
"""A disk is known by what it is: numbers and paths that others have by now are left alone."""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import (DaemonTest, missing_for_a_disk, run, uzram_program,  # noqa: E402
                          wait_until)


def backing_file(disk):
    path = pathlib.Path("/sys/block") / disk.removeprefix("/dev/") / "loop" / "backing_file"
    return path.read_text(encoding="utf-8").strip() if path.exists() else None


class LostLoopTest(DaemonTest):
    def setUp(self):
        super().setUp()
        self.need("losetup")
        self.name, self.disk = self.daemon.create("--size", "32M", "--algorithm", "lz4")
        self.link = self.daemon.state / "dev" / self.name

    def give_the_number_to_a_stranger(self):
        """Returns: the stranger's file."""
        stranger = self.daemon.state / "stranger"
        stranger.write_bytes(os.urandom(1 << 20))
        run("losetup", "-d", self.disk)
        run("losetup", self.disk, stranger)
        self.addCleanup(lambda: backing_file(self.disk) == str(stranger)
                        and run("losetup", "-d", self.disk))
        return stranger

    def test_a_stranger_on_the_number_is_left_alone(self):
        stranger = self.give_the_number_to_a_stranger()
        content = stranger.read_bytes()
        listed = self.daemon.devices()[0]
        self.assertEqual("", listed["block_path"])
        self.assertTrue(listed["is_disk_missing"])
        self.assertIn("[MISSING]", self.daemon.must("list"))
        refused = self.daemon.ask("swap", "on", self.name, "--reserve", "8M")
        self.assertNotEqual(0, refused.returncode)
        self.assertNotIn(f"{self.disk} ", pathlib.Path("/proc/swaps").read_text(encoding="utf-8"))
        number = pathlib.Path("/sys/block", self.disk.removeprefix("/dev/"), "dev").read_bytes()
        shown = self.daemon.tree / "block" / self.name / "dev"
        self.assertFalse(shown.exists() and shown.read_bytes() == number)
        self.daemon.must("reset", self.name)
        self.assertEqual(str(stranger), backing_file(self.disk))
        self.daemon.must("remove", self.name)
        self.assertEqual(0, self.daemon.stop())
        self.assertEqual(str(stranger), backing_file(self.disk))
        self.assertEqual(content, stranger.read_bytes())

    def test_a_stop_leaves_the_stranger_alone(self):
        stranger = self.give_the_number_to_a_stranger()
        self.assertEqual(0, self.daemon.stop())
        self.assertEqual(str(stranger), backing_file(self.disk))

    def test_the_log_says_so_and_the_link_goes(self):
        self.assertEqual(self.disk, os.readlink(self.link))
        run("losetup", "-d", self.disk)
        self.assertTrue(wait_until(lambda: f"detached {self.disk}" in self.daemon.log()),
                        self.daemon.log())
        self.assertFalse(os.path.lexists(self.link))

    def test_attach_gives_the_pages_a_disk_again(self):
        content = os.urandom(1 << 20)
        pathlib.Path(self.disk).write_bytes(content)
        self.give_the_number_to_a_stranger()
        name, disk = self.daemon.must("attach", self.name).split()
        self.assertEqual(self.name, name)
        self.assertNotEqual(self.disk, disk)
        self.assertEqual(disk, os.readlink(self.link))
        with open(self.link, "rb") as file:
            self.assertEqual(content, file.read(len(content)))
        self.assertEqual(f"{self.name} {disk}\n", self.daemon.must("attach", self.name))
        self.assertEqual(0, self.daemon.stop())

    def test_attach_needs_a_size(self):
        self.daemon.must("reset", self.name)
        refused = self.daemon.ask("attach", self.name)
        self.assertEqual(2, refused.returncode, refused.stderr)
        self.assertIn("disksize", refused.stderr)

    def test_without_its_loop_device_it_can_be_removed_and_stopped(self):
        run("losetup", "-d", self.disk)
        self.daemon.must("remove", self.name)
        _, disk = self.daemon.create("--size", "32M")
        run("losetup", "-d", disk)
        self.assertEqual(0, self.daemon.stop())
        self.assertEqual([], self.daemon.leftovers())


class LinkTest(DaemonTest):
    def test_links_are_there_before_the_size_is_set_and_follow_the_disk(self):
        (self.daemon.tree / "class/zram-control/hot_add").read_text(encoding="utf-8")
        disksize = self.daemon.tree / "block/zram0/disksize"
        disksize.write_text("32M", encoding="utf-8")
        link = self.daemon.state / "dev/zram0"
        self.assertTrue(os.readlink(link).startswith("/dev/loop"))
        run("blockdev", "--getsize64", link)
        self.daemon.must("reset", "zram0")
        self.assertFalse(os.path.lexists(link))


class LeftoverTest(unittest.TestCase):
    """Two daemons that see the same path, each in a mount namespace of its own."""

    def setUp(self):
        missing = missing_for_a_disk()
        if missing:
            self.skipTest(missing)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="uzram-e2e-", dir="/tmp"))
        self.addCleanup(run, "rm", "-rf", self.folder)
        self.processes = []
        self.addCleanup(self.end_all)

    def end_all(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                finally:
                    process.kill()

    def serve(self, state, socket, is_apart):
        """A daemon whose state folder lies on a file system that only it sees."""
        words = [uzram_program(), "serve", "--stop-drops-data", "--state", state,
                 "--socket", socket]
        if is_apart:
            words = ["unshare", "-m", "--propagation", "private", "sh", "-c",
                     'mount -t tmpfs tmpfs "$0" && exec "$@"', state.parent, *words]
        process = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.processes.append(process)
        self.assertTrue(wait_until(lambda: self.ask(socket, "list").returncode == 0))
        return process

    @staticmethod
    def ask(socket, *words):
        return run(uzram_program(), *words, "--socket", socket, check=False)

    def test_a_live_disk_of_another_namespace_is_left_alone(self):
        state = self.folder / "run" / "state"
        state.parent.mkdir()
        first, second = self.folder / "first", self.folder / "second"
        self.serve(state, first, True)
        disk = self.ask(first, "create", "--size", "32M").stdout.split()[1]
        path = backing_file(disk)
        self.serve(state, second, True)
        other = self.ask(second, "create", "--size", "32M").stdout.split()[1]
        self.assertNotEqual(disk, other)
        self.assertEqual(path, backing_file(disk))
        content = os.urandom(1 << 16)
        pathlib.Path(disk).write_bytes(content)
        self.assertEqual(content, pathlib.Path(disk).read_bytes()[:len(content)])
        self.assertFalse("[MISSING]" in self.ask(first, "list").stdout)

    def leave_a_disk_behind(self, state):
        process = self.serve(state, self.folder / "first", False)
        disk = self.ask(self.folder / "first", "create", "--size", "32M").stdout.split()[1]
        process.kill()
        process.wait()
        self.assertEqual(f"{state}/disk/zram0", backing_file(disk))
        return disk

    def test_a_number_of_a_killed_daemon_is_put_right(self):
        state = self.folder / "state"
        disk = self.leave_a_disk_behind(state)
        cache = pathlib.Path("/sys/block") / disk.removeprefix("/dev/") / "queue/write_cache"
        self.assertEqual("write through\n", cache.read_text(encoding="utf-8"))
        stranger = self.folder / "stranger"
        stranger.write_bytes(bytes(1 << 20))
        run("umount", "-l", state / "disk/zram0")
        run("losetup", "-d", disk)
        run("losetup", disk, stranger)
        self.addCleanup(run, "losetup", "-d", disk)
        self.serve(state, self.folder / "second", False)
        self.assertEqual(str(stranger), backing_file(disk))
        self.assertEqual("write back\n", cache.read_text(encoding="utf-8"))

    def test_leftovers_are_found_however_the_path_is_spelled(self):
        state = self.folder / "state"
        link = self.folder / "link"
        link.symlink_to(self.folder)
        for spelling in (f"{link}/state", f"{state}/", f"{self.folder}/other/../state"):
            disk = self.leave_a_disk_behind(state)
            process = self.serve(spelling, self.folder / "second", False)
            self.assertIsNone(backing_file(disk), spelling)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(0, process.wait(30), spelling)


if __name__ == "__main__":
    unittest.main()
