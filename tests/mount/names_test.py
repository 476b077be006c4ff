# SPDX-License-Identifier: Apache-2.0
"""Names, attributes and everything but content in a mount, as programs use them."""
import errno
import os
import pathlib
import socket
import stat
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from mounted import MountTest, rename2, text  # noqa: E402

NOREPLACE, EXCHANGE = 1, 2
NOBODY = 65534


class NamesTest(MountTest):
    def setUp(self):
        super().setUp()
        self.mount()
        self.one, self.other = self.above / "one", self.above / "other"

    def test_listing(self):
        names = {f"name {number}" for number in range(500)}
        for name in names:
            (self.above / name).touch()
        self.assertEqual(names, set(os.listdir(self.above)))
        self.assertEqual(names | {".uzram"}, set(os.listdir(self.below)))
        with os.scandir(self.above) as entries:
            self.assertTrue(all(entry.is_file() for entry in entries))

    def test_renaming(self):
        self.one.write_bytes(b"one")
        self.other.write_bytes(text(100_000))
        number = self.one.stat().st_ino
        self.assert_fails(errno.EEXIST, rename2, self.one, self.other, NOREPLACE)
        rename2(self.one, self.other, EXCHANGE)
        self.assertEqual(text(100_000), self.one.read_bytes())
        self.assertEqual((b"one", number), (self.other.read_bytes(), self.other.stat().st_ino))
        (self.above / "folder").mkdir()
        self.one.rename(self.above / "folder" / "moved")
        os.replace(self.other, self.above / "folder" / "moved")
        self.assertEqual(b"one", (self.below / "folder" / "moved").read_bytes())
        self.assertEqual(["folder"], os.listdir(self.above))

    def test_renaming_while_changes_are_pending(self):
        content = text(200_000)
        self.one.write_bytes(content)
        self.other.write_bytes(b"old")
        os.replace(self.one, self.other)
        self.assertEqual(content, self.other.read_bytes())
        self.remount()
        self.assertEqual(content, self.other.read_bytes())

    def test_unlinking_while_open(self):
        for content in (b"small", text(300_000)):
            with open(self.one, "w+b") as file:
                file.write(content[:100])
                file.flush()
                self.one.unlink()
                self.assertFalse(self.one.exists())
                file.write(content[100:])
                file.flush()
                os.fsync(file.fileno())
                file.seek(0)
                self.assertEqual(content, file.read())
                self.assertEqual(0, os.fstat(file.fileno()).st_nlink)
        self.unmount()
        self.assertEqual([], os.listdir(self.below))

    def test_hard_links_are_one_file(self):
        content = text(150_000)
        self.one.write_bytes(content)
        os.link(self.one, self.other)
        with open(self.one, "r+b", buffering=0) as one, open(self.other, "rb") as other:
            one.write(b"changed")
            self.assertEqual(b"changed", other.read(7))
        self.assertEqual(self.one.stat().st_ino, self.other.stat().st_ino)
        self.assertEqual(2, self.one.stat().st_nlink)
        self.one.unlink()
        self.remount()
        self.assertEqual(b"changed" + content[7:], self.other.read_bytes())

    def test_a_grown_file_keeps_its_number_for_itself(self):
        self.one.write_bytes(b"small")
        number = self.one.stat().st_ino
        with open(self.one, "ab") as file:
            file.write(text(100_000))
        for turn in range(20):
            (self.above / f"new {turn}").write_bytes(b"may get the number that is free below")
        numbers = [path.stat().st_ino for path in self.above.iterdir()]
        self.assertEqual(len(numbers), len(set(numbers)))
        self.assertEqual(number, self.one.stat().st_ino)
        self.remount()
        if os.listxattr(self.below / "one"):
            self.assertEqual(number, self.one.stat().st_ino)
        self.assertEqual([], os.listxattr(self.one))

    def test_symbolic_links(self):
        self.one.symlink_to("other")
        self.other.write_bytes(b"words")
        self.assertEqual(b"words", self.one.read_bytes())
        self.assertEqual("other", os.readlink(self.below / "one"))
        os.utime(self.one, ns=(10**18, 10**18), follow_symlinks=False)
        self.assertEqual(10**18, os.lstat(self.one).st_mtime_ns)
        os.link(self.one, self.above / "linked", follow_symlinks=False)
        self.assertEqual("other", os.readlink(self.above / "linked"))
        os.symlink("/", self.above / "out")
        self.assertTrue((self.above / "out" / "proc").exists())

    def test_other_kinds_of_files(self):
        os.mkfifo(self.one, 0o620)
        self.assertTrue(stat.S_ISFIFO(self.one.stat().st_mode))
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(self.other))
            self.assertTrue(stat.S_ISSOCK(self.other.stat().st_mode))
        reader = threading.Thread(target=self.one.read_bytes)
        reader.start()
        self.one.write_bytes(b"through the fifo")
        reader.join()
        if os.geteuid() == 0:
            os.mknod(self.above / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
            self.assertEqual(os.makedev(1, 3), os.stat(self.below / "null").st_rdev)
        os.mknod(self.above / "file", stat.S_IFREG | 0o600)
        self.assertEqual(b"", (self.above / "file").read_bytes())

    def test_xattrs(self):
        self.one.write_bytes(text(100_000))
        try:
            os.setxattr(self.below / "one", "user.probe", b"")
        except OSError as problem:
            self.skipTest(f"no xattrs here: {problem}")
        os.setxattr(self.one, "user.a", b"value")
        os.setxattr(self.above, "user.folder", b"of a directory")
        self.assertEqual(b"value", os.getxattr(self.one, "user.a"))
        self.assertEqual({"user.a", "user.probe"}, set(os.listxattr(self.one)))
        self.assertEqual(b"of a directory", os.getxattr(self.below, "user.folder"))
        os.removexattr(self.one, "user.probe")
        self.assert_fails(errno.ENODATA, os.getxattr, self.one, "user.probe")
        self.assert_fails(errno.EPERM, os.setxattr, self.one, "user.uzram.flags", b"c")

    def test_statfs_is_that_of_the_directory(self):
        above, below = os.statvfs(self.above), os.statvfs(self.below)
        self.assertEqual((below.f_blocks, below.f_bsize, below.f_files, below.f_namemax),
                         (above.f_blocks, above.f_bsize, above.f_files, above.f_namemax))

    def test_the_private_folder_is_hidden(self):
        self.assertEqual([".uzram"], os.listdir(self.below))
        self.assertEqual(0o700, stat.S_IMODE((self.below / ".uzram").stat().st_mode))
        self.assertEqual([], os.listdir(self.above))
        self.assert_fails(errno.ENOENT, os.stat, self.above / ".uzram")
        self.assert_fails(errno.EPERM, os.mkdir, self.above / ".uzram")
        self.assert_fails(errno.EPERM, (self.above / ".uzram").touch)
        self.one.touch()
        self.assert_fails(errno.EPERM, os.rename, self.one, self.above / ".uzram")

    def test_errors_are_those_of_the_directory(self):
        self.one.mkdir()
        (self.one / "file").touch()
        self.assert_fails(errno.ENOTEMPTY, os.rmdir, self.one)
        self.assert_fails(errno.EEXIST, os.mkdir, self.one)
        self.assert_fails(errno.ENOENT, os.unlink, self.other)
        self.assert_fails(errno.ENAMETOOLONG, (self.above / ("x" * 300)).touch)
        self.assert_fails(errno.EISDIR, os.open, self.one, os.O_WRONLY)
        descriptor = os.open(self.above / "new", os.O_CREAT | os.O_EXCL)
        os.close(descriptor)
        self.assert_fails(errno.EEXIST, os.open, self.above / "new", os.O_CREAT | os.O_EXCL)

    def test_modes(self):
        old_mask = os.umask(0o027)
        try:
            descriptor = os.open(self.one, os.O_CREAT | os.O_WRONLY, 0o444)
            self.other.mkdir()
        finally:
            os.umask(old_mask)
        self.assertEqual(3, os.write(descriptor, b"abc"))
        os.close(descriptor)
        self.assertEqual(0o440, stat.S_IMODE(self.one.stat().st_mode))
        self.assertEqual(0o750, stat.S_IMODE(self.other.stat().st_mode))
        os.chmod(self.one, 0o604)
        self.assertEqual(0o604, stat.S_IMODE((self.below / "one").stat().st_mode))

    def test_many_threads_at_once(self):
        problems = []

        def work(number):
            try:
                for turn in range(20):
                    path = self.above / f"{number}-{turn % 3}"
                    content = text(7_000 * (turn % 8), number)
                    path.write_bytes(content)
                    if path.read_bytes() != content:
                        problems.append(path)
                    if turn % 5 == 0:
                        path.rename(self.above / f"moved {number}")
                        (self.above / f"moved {number}").unlink()
            except OSError as problem:
                problems.append(problem)

        workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.assertEqual([], problems)


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class OwnerTest(MountTest):
    def as_nobody(self, script):
        return subprocess.run(["sh", "-c", script], cwd=self.above, user=NOBODY, group=NOBODY,
                              extra_groups=[], capture_output=True, text=True, check=False)

    def setUp(self):
        super().setUp()
        os.chmod(self.top, 0o755)
        self.mount("allow_other")
        os.chmod(self.above, 0o777)

    def test_new_files_are_their_makers(self):
        done = self.as_nobody("echo a > file && mkdir folder && ln -s file link && mkfifo fifo")
        self.assertEqual(0, done.returncode, done.stderr)
        for name in ("file", "folder", "link", "fifo"):
            status = os.lstat(self.below / name)
            self.assertEqual((NOBODY, NOBODY), (status.st_uid, status.st_gid), name)
        os.chown(self.above / "file", 1, 2)
        status = os.stat(self.below / "file")
        self.assertEqual((1, 2), (status.st_uid, status.st_gid))

    def test_a_directory_hands_its_group_on(self):
        folder = self.above / "folder"
        folder.mkdir()
        os.chown(folder, NOBODY, 7)
        os.chmod(folder, 0o2777)
        self.assertEqual(0, self.as_nobody("echo a > folder/file; mkdir folder/below").returncode)
        self.assertEqual(7, (folder / "file").stat().st_gid)
        self.assertEqual((7, stat.S_ISGID), ((folder / "below").stat().st_gid,
                                             (folder / "below").stat().st_mode & stat.S_ISGID))

    def test_modes_keep_others_out(self):
        (self.above / "secret").write_bytes(b"root's")
        os.chmod(self.above / "secret", 0o600)
        self.assertIn("Permission denied", self.as_nobody("cat secret").stderr)
        self.assertIn("Permission denied", self.as_nobody("echo >> secret").stderr)
        self.assertIn("not permitted", self.as_nobody("chmod 644 secret").stderr)

    def test_writing_takes_set_user_id_away(self):
        for name in ("small", "large"):
            path = self.above / name
            path.write_bytes(text(100_000 if name == "large" else 10))
            os.chmod(path, 0o6777)
            self.assertEqual(0, self.as_nobody(f"echo more >> {name}").returncode)
            self.assertEqual(0o777, stat.S_IMODE(path.stat().st_mode))


if __name__ == "__main__":
    unittest.main()
