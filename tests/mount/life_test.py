# SPDX-License-Identifier: Apache-2.0
"""A mount from its beginning to its end: refusals, full disks, kills, signals, users."""
import contextlib
import errno
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from mounted import MountTest, is_mounted, noise, text  # noqa: E402
from uzram_daemon import find_program, run, uzram_program, wait_until  # noqa: E402

NOBODY = 65534


class BeginningTest(MountTest):
    def refused(self, *words):
        done = subprocess.run([uzram_program(), "mount", *map(str, words)], capture_output=True,
                              text=True, check=False, timeout=60)
        self.assertNotEqual(0, done.returncode)
        self.assertEqual(1, done.stderr.count("\n"), done.stderr)
        return done.stderr

    def test_returns_once_it_is_mounted(self):
        run(uzram_program(), "mount", self.below, self.above)
        (self.above / "a").write_bytes(b"words")
        self.assertEqual(b"words", (self.below / "a").read_bytes())
        run("umount", self.above)
        # The directory can be had again when the process has ended.
        self.assertTrue(wait_until(lambda: subprocess.run(
            ["flock", "-n", self.below, "true"], check=False).returncode == 0))

    def test_says_why_not_in_one_line(self):
        (self.top / "file").touch()
        self.assertIn("No such file", self.refused(self.top / "none", self.above))
        self.assertIn("Not a directory", self.refused(self.top / "file", self.above))
        inside = self.below / "inside"
        inside.mkdir()
        for words in ((self.below, inside), (inside, self.below), (self.below, self.below)):
            self.assertIn("one in the other", self.refused(*words))
        self.assertIn("none of", self.refused(self.below, self.above, "-o", "x"))
        self.assertIn("--cache", self.refused(self.below, self.above, "--cache", "1K"))

    def test_a_second_mount_must_be_read_only(self):
        self.mount()
        content = text(100_000)
        (self.above / "a").write_bytes(content)
        other = self.top / "other"
        other.mkdir()
        self.assertIn("mounted already", self.refused(self.below, other))
        with open(self.above / "a", "r+b") as file:
            os.fsync(file.fileno())
        self.unmount()
        self.mount()
        self.mount("ro", above=other)
        self.assertEqual(content, (other / "a").read_bytes())
        run("umount", other)


class EndTest(MountTest):
    def abandon(self, descriptor):
        """Closes what has lost its file system."""
        with contextlib.suppress(OSError):
            os.close(descriptor)

    def test_unmounting_makes_everything_safe(self):
        self.mount()
        contents = {f"file {number}": text(20_000 * number, number) for number in range(8)}
        for name, content in contents.items():
            (self.above / name).write_bytes(content)
        self.unmount()
        self.mount()
        for name, content in contents.items():
            self.assertEqual(content, (self.above / name).read_bytes())

    def test_a_mount_waits_for_the_end_of_the_one_before(self):
        for turn in range(3):
            daemon = self.mount()
            content = text(200_000, turn)
            (self.above / "a b").write_bytes(content)
            run("umount", self.above)
            self.mount()
            self.assertEqual(content, (self.above / "a b").read_bytes())
            self.wait_for_end(daemon)
            self.unmount()

    def test_a_signal_unmounts_also_what_is_in_use(self):
        daemon = self.mount()
        content = text(300_000)
        descriptor = os.open(self.above / "a", os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, content)
        daemon.send_signal(signal.SIGTERM)
        self.wait_for_end(daemon)
        self.assertFalse(is_mounted(self.above))
        self.assertRaises(OSError, os.fsync, descriptor)
        self.abandon(descriptor)
        self.mount()
        self.assertEqual(content, (self.above / "a").read_bytes())

    def test_what_was_synced_survives_a_kill(self):
        daemon = self.mount()
        content = bytearray(text(500_000))
        file, small = (os.open(self.above / name, os.O_CREAT | os.O_WRONLY)
                       for name in ("a", "small"))
        for descriptor, written in ((file, content), (small, b"words")):
            os.write(descriptor, written)
            os.fsync(descriptor)
        os.pwrite(file, noise(100_000), 100_000)
        self.kill(daemon)
        self.abandon(file)
        self.abandon(small)
        self.assertEqual(bytes(content), self.content_below("a"))
        self.mount()
        self.assertEqual(bytes(content), (self.above / "a").read_bytes())
        self.assertEqual(b"words", (self.above / "small").read_bytes())

    def test_a_rename_over_a_file_leaves_the_old_or_the_new_one(self):
        daemon = self.mount()
        old, new = text(400_000, 1), text(500_000, 2)
        for name, content in ("closed", new), ("open", new), ("small", b"small"), ("first", new):
            if name != "first":
                (self.above / name).write_bytes(old)
            with open(self.above / "beside", "wb", buffering=0) as file:
                file.write(content)
                if name == "open":
                    os.replace(self.above / "beside", self.above / name)
            if name != "open":
                os.replace(self.above / "beside", self.above / name)
            if name != "first":
                self.assertEqual(content, (self.above / name).read_bytes())
        (self.above / "target").write_bytes(old)
        descriptor = os.open(self.above / "never closed", os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, new)
        os.replace(self.above / "never closed", self.above / "target")
        self.kill(daemon)
        self.abandon(descriptor)
        self.mount()
        for name, content in ("closed", new), ("open", new), ("small", b"small"), ("target", new):
            self.assertEqual(content, (self.above / name).read_bytes(), name)

    def test_a_kill_at_any_time_leaves_files_that_open(self):
        for milliseconds in (5, 20, 60):
            daemon = self.mount()
            writer = subprocess.Popen(
                ["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do seq 1 30000 > file$i; "
                             "seq 1 3000 >> file$i; sync file$i; done"],
                cwd=self.above, stderr=subprocess.DEVNULL)
            time.sleep(milliseconds / 1000)
            self.kill(daemon)
            writer.wait()
            self.mount()
            names = os.listdir(self.above)
            for name in names:
                (self.above / name).read_bytes()
                (self.above / name).unlink()
            self.assertEqual([], os.listdir(self.above))
            self.unmount()
            self.assertEqual([], os.listdir(self.below))

    def test_changes_become_safe_by_themselves(self):
        self.mount()
        content = text(300_000)
        (self.above / "a").write_bytes(content)
        # The process lets go of a file that is closed and safe: then others may read it below.
        self.assertTrue(wait_until(lambda: subprocess.run(
            [uzram_program(), "cluster", "verify", self.below / "a"], check=False,
            capture_output=True).returncode == 0, seconds=60))
        self.assertEqual(content, self.content_below("a"))


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class FullDiskTest(MountTest):
    def setUp(self):
        super().setUp()
        done = run("mount", "-t", "tmpfs", "-o", "size=2M", "uzram-test", self.below, check=False)
        if done.returncode != 0:
            self.skipTest("no tmpfs can be mounted here")

    def write(self, path, content):
        """As `cp` would: an error may come from any call, but must come."""
        with open(path, "wb", buffering=0) as file:
            file.write(content)
            os.fsync(file.fileno())

    def has_room(self):
        status = os.statvfs(self.below)
        return status.f_bavail * status.f_bsize > 1 << 20

    def test_is_told_to_whoever_writes(self):
        self.mount()
        keeps = text(300_000)
        self.write(self.above / "keeps", keeps)
        self.assert_fails(errno.ENOSPC, self.write, self.above / "large", noise(4 << 20))
        self.assertEqual(keeps, (self.above / "keeps").read_bytes())
        (self.above / "large").unlink()
        self.assertTrue(wait_until(self.has_room))
        self.write(self.above / "other", keeps)
        self.unmount()
        self.mount()
        self.assertEqual(keeps, (self.above / "keeps").read_bytes())
        self.assertEqual(keeps, (self.above / "other").read_bytes())

    def test_what_was_refused_reads_as_it_is_stored(self):
        self.mount("nocompress_extension=raw")
        files = {"small": b"words", "large": text(200_000), "a.raw": text(50_000), "new": b""}
        for name, content in files.items():
            if name != "new":
                self.write(self.above / name, content)
        with open(self.below / "filler", "wb", buffering=0) as filler:
            with contextlib.suppress(OSError):
                while True:
                    filler.write(bytes(4096))
        for turn in range(2):
            for name in files:
                with self.assertRaises(OSError), open(self.above / name, "ab", buffering=0) as file:
                    file.write(noise(300_000, turn))
                    os.fsync(file.fileno())
        time.sleep(0.3)  # Until the kernel has let go of its pages.
        shown = {name: (self.above / name).read_bytes() for name in files}
        for name, content in shown.items():
            self.assertEqual((self.above / name).stat().st_size, len(content))
            self.assertTrue(content.startswith(files[name]), name)
        (self.below / "filler").unlink()
        self.remount()
        for name, content in shown.items():
            self.assertEqual(content, (self.above / name).read_bytes(), name)

    def test_is_told_at_close_at_the_latest(self):
        self.mount()
        (self.below / "filler").write_bytes(bytes((2 << 20) - 8192))
        for content in (noise(200_000), text(30_000)):
            descriptor = os.open(self.above / "a", os.O_CREAT | os.O_WRONLY)
            with self.assertRaises(OSError) as raised:
                try:
                    os.write(descriptor, content)
                finally:
                    os.close(descriptor)
            self.assertEqual(errno.ENOSPC, raised.exception.errno)
            (self.above / "a").unlink()


@unittest.skipUnless(os.geteuid() == 0, "becomes another user")
class UserTest(MountTest):
    def as_nobody(self, *words):
        return subprocess.run([str(word) for word in words], user=NOBODY, group=NOBODY,
                              extra_groups=[], capture_output=True, text=True, check=False)

    def setUp(self):
        super().setUp()
        if find_program("fusermount3") is None:
            self.skipTest("needs fusermount3")
        os.chmod(self.top, 0o755)
        for folder in (self.below, self.above):
            os.chown(folder, NOBODY, NOBODY)
        done = self.as_nobody(uzram_program(), "mount", self.below, self.above)
        if done.returncode != 0:
            self.skipTest(f"users may not mount here: {done.stderr}")

    def test_needs_no_root(self):
        script = (f"cd {self.above} && seq 1 50000 > a && seq 1 10 > b && chmod 444 b && mv b c && "
                  "ln c d && cat a c d | cksum")
        said = self.as_nobody("sh", "-ec", script)
        expected = run("sh", "-c", "(seq 1 50000; seq 1 10; seq 1 10) | cksum").stdout
        self.assertEqual((expected, ""), (said.stdout, said.stderr))
        self.assertEqual("", self.as_nobody("fusermount3", "-u", self.above).stderr)
        self.assertTrue(wait_until(lambda: subprocess.run(
            ["flock", "-n", self.below, "true"], check=False).returncode == 0))
        self.assertTrue(self.is_cluster_file("a"))
        self.assertEqual(NOBODY, (self.below / "c").stat().st_uid)

    def test_ends_by_a_signal_although_it_is_in_use(self):
        if not os.path.ismount("/sys/fs/fuse/connections"):
            self.skipTest("needs /sys/fs/fuse/connections")
        self.as_nobody("fusermount3", "-u", self.above)
        daemon = subprocess.Popen(
            [uzram_program(), "mount", "--foreground", self.below, self.above], user=NOBODY,
            group=NOBODY, extra_groups=[], stderr=subprocess.PIPE, text=True)
        self.daemons.append(daemon)
        self.assertTrue(wait_until(lambda: is_mounted(self.above)))
        script = f"exec 3>> {self.above}/e && seq 1 30000 >&3; echo ready; cat"
        with subprocess.Popen(["sh", "-c", script], user=NOBODY, group=NOBODY, extra_groups=[],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as user:
            self.assertEqual("ready\n", user.stdout.readline())
            daemon.send_signal(signal.SIGTERM)
            self.wait_for_end(daemon)
        expected = run("seq", "1", "30000").stdout
        self.assertEqual(expected, self.content_below("e").decode())


if __name__ == "__main__":
    unittest.main()
