# SPDX-License-Identifier: Apache-2.0
"""Root's mount, used by other users: what is done for them is done with their rights only.

What:    the user who asks may also change names in the directory below, at any moment. No file of
         root's, and none outside, may change its owner, mode or content by that.
Errors:  skips where this is not root's test.
"""
import errno
import fcntl
import os
import pathlib
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from mounted import EXCHANGE, LIBC, MountTest, text  # noqa: E402

NOBODY = 65534
MEMBER, GROUP = 54321, 54322


def run_as(user, work, group=None, groups=()):
    """Runs work() in a child with these ids. Returns its exit status, 100 for an exception."""
    child = os.fork()
    if child == 0:
        status = 100
        try:
            os.setgroups(list(groups))
            os.setresgid(*[group or user] * 3)
            os.setresuid(*[user] * 3)
            status = work() or 0
        except OSError as problem:
            status = problem.errno
        finally:
            os._exit(status)
    return child


def status_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class CallerTest(MountTest):
    def setUp(self):
        super().setUp()
        os.chmod(self.top, 0o755)
        self.mount("allow_other")
        self.theirs = self.above / "theirs"
        self.theirs.mkdir()
        os.chown(self.theirs, NOBODY, NOBODY)
        self.theirs_below = self.below / "theirs"

    def as_nobody(self, work, **more):
        return status_of(run_as(NOBODY, work, **more))

    def root_file_in_theirs(self, name="secret", mode=0o600):
        """Root's, in a directory of theirs: they may rename it, and nothing else."""
        path = self.theirs_below / name
        path.write_bytes(b"root's own")
        os.chmod(path, mode)
        return path

    def assert_is_roots(self, path, content=b"root's own", mode=0o600):
        status = os.lstat(path)
        self.assertEqual((0, 0, mode),
                         (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)), path)
        self.assertEqual(content, path.read_bytes())

    def test_create_does_not_open_what_is_another_s(self):
        secret = self.root_file_in_theirs()

        def work():
            taken = self.theirs / "taken"
            try:
                taken.stat()  # The kernel remembers that there is none.
            except FileNotFoundError:
                os.rename(self.theirs_below / "secret", self.theirs_below / "taken")
            os.write(os.open(taken, os.O_CREAT | os.O_RDWR), b"broken")

        self.assertEqual(errno.EACCES, self.as_nobody(work))
        self.assert_is_roots(secret.with_name("taken"))

    def test_create_opens_what_the_caller_itself_made_below(self):
        def work():
            taken = self.theirs / "taken"
            if taken.exists():
                return 1
            (self.theirs_below / "taken").write_bytes(b"made below")
            with open(taken, "a+b") as file:
                file.seek(0)
                return 0 if file.read() == b"made below" else 2

        self.assertEqual(0, self.as_nobody(work))

    def test_a_mode_is_set_by_the_owner_only(self):
        """The kernel believes for a second that the file is still theirs."""
        path = self.theirs / "file"
        self.assertEqual(0, self.as_nobody(path.touch))

        def work():
            while True:
                time.sleep(0.001)
                if os.stat(self.theirs_below / "file").st_uid == 0:
                    os.chmod(path, 0o6777)

        child = run_as(NOBODY, work)
        path.stat()
        os.chown(self.theirs_below / "file", 0, 0)
        self.assertEqual(errno.EPERM, status_of(child))
        self.assertEqual(0o644, stat.S_IMODE(os.stat(self.theirs_below / "file").st_mode))

    def test_further_groups_count(self):
        folder = self.above / "shared"
        folder.mkdir()
        os.chown(folder, 0, GROUP)
        os.chmod(folder, 0o2770)

        def work():
            (folder / "file").write_bytes(text(100_000))
            (folder / "below").mkdir()
            os.chmod(folder / "below", 0o2775)
            os.chown(folder / "file", -1, GROUP)
            return len(os.listdir(folder)) - 2

        self.assertEqual(errno.EACCES, status_of(run_as(MEMBER, work)))
        self.assertEqual(0, status_of(run_as(MEMBER, work, groups=[GROUP])))
        for name, mode in ("file", 0o644), ("below", 0o2775):
            status = os.stat(self.below / "shared" / name)
            self.assertEqual((MEMBER, GROUP, mode), (status.st_uid, status.st_gid,
                                                     stat.S_IMODE(status.st_mode)), name)

    def test_a_group_that_is_not_the_caller_s_gives_no_set_group_id(self):
        folder = self.above / "shared"
        folder.mkdir()
        os.chown(folder, 0, GROUP)
        os.chmod(folder, 0o2777)

        def work():
            os.close(os.open(folder / "file", os.O_CREAT | os.O_WRONLY, 0o2755))

        self.assertEqual(0, self.as_nobody(work))
        status = os.stat(self.below / "shared" / "file")
        self.assertEqual((GROUP, 0o755), (status.st_gid, stat.S_IMODE(status.st_mode)))

    def test_sticky_directories(self):
        folder = self.above / "sticky"
        folder.mkdir()
        os.chmod(folder, 0o1777)
        (folder / "roots").touch()

        def work():
            (folder / "own").touch()
            (folder / "own").rename(folder / "renamed")
            (folder / "renamed").unlink()
            (folder / "roots").unlink()

        self.assertEqual(errno.EPERM, self.as_nobody(work))
        self.assertEqual(["roots"], os.listdir(folder))

    def test_what_opens_for_others_is_theirs_too(self):
        def work():
            os.mkfifo(self.theirs / "fifo", 0o604)
            os.symlink("fifo", self.theirs / "link")
            os.mkdir(self.theirs / "folder", 0o1750)
            os.setxattr(self.theirs / "folder", "user.of", b"theirs")
            os.link(self.theirs / "fifo", self.theirs / "hard")
            os.utime(self.theirs / "fifo", ns=(5, 6))
            os.chmod(self.theirs / "folder", 0o711)
            return len(os.listdir(self.theirs)) - 4

        self.assertEqual(0, self.as_nobody(work))
        for name in ("fifo", "link", "folder", "hard"):
            status = os.lstat(self.theirs_below / name)
            self.assertEqual((NOBODY, NOBODY), (status.st_uid, status.st_gid), name)

    def test_a_truncating_open_takes_set_user_id_away(self):
        path = self.above / "program"
        path.write_bytes(text(100_000))
        os.chmod(path, 0o6777)
        self.assertEqual(0, self.as_nobody(lambda: path.write_bytes(b"new") - 3))
        self.assertEqual(0o777, stat.S_IMODE(path.stat().st_mode))
        self.assertEqual(b"new", path.read_bytes())

    def test_a_lock_of_who_may_only_read_stops_nothing(self):
        content = text(300_000)
        path = self.above / "file"
        path.write_bytes(content)
        self.unmount()
        locker = self.lock_as_nobody(self.below, self.below / "file")
        try:
            self.mount("allow_other")
            with open(path, "ab") as file:
                file.write(b"more")
            self.assertEqual(content + b"more", path.read_bytes())
            self.remount("allow_other")
        finally:
            os.kill(locker, signal.SIGKILL)
            os.waitpid(locker, 0)
        self.assertEqual(content + b"more", path.read_bytes())

    def lock_as_nobody(self, *paths):
        """All that who may only read can do. Returns the process that holds the locks."""
        ready, told = os.pipe()

        def work():
            for path in paths:
                held = os.open(path, os.O_RDONLY)
                fcntl.flock(held, fcntl.LOCK_EX)
                if path.is_file():
                    fcntl.lockf(held, fcntl.LOCK_SH)
            os.write(told, b"x")
            signal.pause()

        locker = run_as(NOBODY, work)
        self.assertEqual(b"x", os.read(ready, 1))
        os.close(ready)
        os.close(told)
        return locker

    def test_a_folder_of_another_with_the_private_name_is_not_used(self):
        self.unmount()
        os.chmod(self.below, 0o777)
        self.assertEqual(0, self.as_nobody((self.below / ".uzram").mkdir))
        done = self.try_mount()
        self.assertIn(".uzram", done)
        self.assertIn("of this user", done)
        (self.below / ".uzram").rmdir()
        self.mount("allow_other")

    def try_mount(self):
        with tempfile.TemporaryFile("w+") as said:
            daemon = self.mount_process(said)
            self.assertEqual(1, daemon.wait(timeout=30))
            said.seek(0)
            return said.read()


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class SwappedNamesTest(MountTest):
    """They change names below, in a loop, while root's mount works for them."""
    SECONDS = 4

    def setUp(self):
        super().setUp()
        os.chmod(self.top, 0o755)
        self.mount("allow_other")
        self.folder = self.below / "theirs"
        self.folder.mkdir()
        os.chown(self.folder, NOBODY, NOBODY)
        self.outside = self.top / "outside"
        self.outside.mkdir()
        os.chmod(self.outside, 0o755)
        self.files = []
        for folder in (self.outside, self.folder):
            for number in range(4):
                path = folder / f"root {number}"
                path.write_bytes(text(5_000, number))
                os.chmod(path, 0o600)
                self.files.append((os.open(path, os.O_RDONLY), text(5_000, number)))
        self.children = []
        self.addCleanup(self.end_children)

    def end_children(self):
        for child in self.children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for descriptor, _ in self.files:
            os.close(descriptor)

    def loop_as_nobody(self, step):
        def work():
            turn = 0
            while True:
                try:
                    step(turn)
                except OSError:
                    pass
                turn += 1

        self.children.append(run_as(NOBODY, work))

    def trap(self, turn):
        """What was just made is put away, and a link to a file of root's has its name."""
        name = self.folder / "new"
        os.symlink(self.outside / f"root {turn % 4}", self.folder / "trap")
        os.rename(self.folder / "trap", name)
        os.unlink(name)

    def exchange(self, turn):
        """As soon as the name is there, it is the one of a file of root's."""
        secret, name = self.folder / f"root {turn % 4}", self.folder / "new"
        words = -100, os.fsencode(secret), -100, os.fsencode(name), EXCHANGE
        for _ in range(1000):
            if LIBC.renameat2(*words) == 0:
                time.sleep(0.0002)
                LIBC.renameat2(*words)

    def make_small(self, turn):
        path = self.above / "theirs" / "new"
        try:
            if turn % 2 == 0:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o6777))
            else:
                os.mknod(path, stat.S_IFREG | 0o4777)
        finally:
            path.unlink()

    def make(self, turn):
        path = self.above / "theirs" / "new"
        kind = turn % 5
        if kind == 0:
            path.mkdir(0o777)
            path.rmdir()
        elif kind == 1:
            os.mknod(path, stat.S_IFREG | 0o4777)
        elif kind == 2:
            os.symlink("nowhere", path)
        else:
            # Grows beyond what is kept plain, which puts another file in its place below.
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o6777)
            try:
                os.write(descriptor, b"planted" * 100)
                os.fsync(descriptor)
                os.write(descriptor, text(40_000))
                os.fchmod(descriptor, 0o6755)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        if turn % 2 == 0:
            path.unlink()

    def test_no_file_of_root_s_changes(self):
        before = [os.fstat(descriptor) for descriptor, _ in self.files]
        self.loop_as_nobody(self.trap)
        self.loop_as_nobody(self.exchange)
        self.loop_as_nobody(self.make)
        self.loop_as_nobody(self.make_small)
        end = time.monotonic() + self.SECONDS
        while time.monotonic() < end:
            time.sleep(0.2)
            self.assert_unchanged(before)
        ended = [os.waitpid(child, os.WNOHANG)[0] for child in self.children]
        self.assertEqual([0, 0, 0, 0], ended)
        self.assertIsNone(self.daemons[-1].poll())

    def assert_unchanged(self, before):
        for (descriptor, content), old in zip(self.files, before):
            new = os.fstat(descriptor)
            self.assertEqual((old.st_uid, old.st_gid, old.st_mode),
                             (new.st_uid, new.st_gid, new.st_mode))
            self.assertEqual(content, os.pread(descriptor, 10_000, 0))


if __name__ == "__main__":
    unittest.main()
