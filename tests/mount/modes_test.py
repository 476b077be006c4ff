# SPDX-License-Identifier: Apache-2.0
"""Modes and ACLs: the mount asks below for no more than a request needs, and hides no rule."""
import errno
import os
import pathlib
import shutil
import stat
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from caller_test import run_as, status_of  # noqa: E402
from mounted import MountTest, text  # noqa: E402

NOBODY, STRANGER, GROUP = 65534, 54321, 54322
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
USER_OBJ, USER, GROUP_OBJ, MASK, OTHER = 1, 2, 4, 0x10, 0x20
NO_ID = 0xFFFFFFFF


def acl(*entries):
    """As the kernel takes it: tag, rights, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each) for each in entries)


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "needs root and setpriv")
class WithoutOverrideTest(MountTest):
    """A mount that may not override modes, as every mount of a user without root."""
    prefix = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    CONTENT = text(300_000)

    def test_files_that_their_owner_may_not_read(self):
        self.mount()
        for mode in (0o000, 0o200, 0o400, 0o444):
            path = self.above / f"{mode:03o}"
            path.write_bytes(self.CONTENT)
            path.chmod(mode)
        self.remount()
        for path in sorted(self.above.iterdir()):
            mode = int(path.name, 8)
            self.assertEqual(len(self.CONTENT), path.stat().st_size, path)
            with open(path, "ab") as file:
                file.write(b"more")
            self.assertEqual(mode, stat.S_IMODE(path.stat().st_mode))
            self.assertEqual(mode, stat.S_IMODE((self.below / path.name).stat().st_mode))
        self.remount()
        for path in self.above.iterdir():
            self.assertEqual(self.CONTENT + b"more", path.read_bytes(), path)

    def test_a_file_of_another_that_cannot_be_looked_at_has_no_size(self):
        self.mount()
        path = self.above / "file"
        path.write_bytes(self.CONTENT)
        self.unmount()
        os.chown(self.below / "file", NOBODY, NOBODY)
        os.chmod(self.below / "file", 0o600)
        self.mount()
        self.assert_fails(errno.EACCES, path.stat)
        os.chmod(self.below / "file", 0o644)
        self.assertEqual(len(self.CONTENT), path.stat().st_size)

    def test_small_ones(self):
        self.mount()
        path = self.above / "file"
        path.write_bytes(b"small")
        path.chmod(0o200)
        self.remount()
        with open(path, "ab") as file:
            file.write(b" and more")
        self.assertEqual(b"small and more", path.read_bytes())


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class AclTest(MountTest):
    def setUp(self):
        super().setUp()
        os.chmod(self.top, 0o755)
        try:
            os.setxattr(self.below, ACCESS, acl((USER_OBJ, 7, NO_ID), (GROUP_OBJ, 5, NO_ID),
                                                (OTHER, 5, NO_ID)))
        except OSError as problem:
            self.skipTest(f"no ACLs here: {problem}")
        self.mount("allow_other")

    def try_as(self, user, path, flags, group=None):
        def work():
            os.close(os.open(path, flags))

        return status_of(run_as(user, work, group=group))

    def test_an_entry_for_one_user_is_for_that_user(self):
        path = self.above / "file"
        path.write_bytes(text(100_000))
        os.chown(path, 0, GROUP)
        os.chmod(path, 0o600)
        os.setxattr(path, ACCESS, acl((USER_OBJ, 6, NO_ID), (USER, 6, NOBODY),
                                      (GROUP_OBJ, 0, NO_ID), (MASK, 6, NO_ID), (OTHER, 0, NO_ID)))
        for _ in range(2):
            self.assertEqual(0o660, stat.S_IMODE(path.stat().st_mode))
            self.assertEqual(0, self.try_as(NOBODY, path, os.O_RDWR))
            self.assertEqual(errno.EACCES, self.try_as(STRANGER, path, os.O_RDONLY))
            self.assertEqual(errno.EACCES, self.try_as(STRANGER, path, os.O_RDONLY, group=GROUP))
            self.remount("allow_other")
        os.chmod(path, 0o600)
        self.assertEqual(errno.EACCES, self.try_as(NOBODY, path, os.O_RDONLY))

    def test_an_entry_lets_somebody_make_files(self):
        folder = self.above / "folder"
        folder.mkdir(0o700)
        entries = acl((USER_OBJ, 7, NO_ID), (USER, 7, NOBODY), (GROUP_OBJ, 0, NO_ID),
                      (MASK, 7, NO_ID), (OTHER, 0, NO_ID))
        os.setxattr(folder, ACCESS, entries)
        create = os.O_CREAT | os.O_WRONLY
        self.assertEqual(0, self.try_as(NOBODY, folder / "file", create))
        self.assertEqual(errno.EACCES, self.try_as(STRANGER, folder / "other", create))

    def test_a_default_takes_the_place_of_the_umask(self):
        entries = acl((USER_OBJ, 7, NO_ID), (GROUP_OBJ, 7, NO_ID), (OTHER, 5, NO_ID))
        for folder in (self.above / "with", self.below / "reference"):
            folder.mkdir()
            os.setxattr(folder, DEFAULT, entries)
        before = os.umask(0o077)
        try:
            for folder in (self.above / "with", self.below / "reference", self.above):
                (folder / "file").touch()
                (folder / "below").mkdir()
        finally:
            os.umask(before)
        for name in ("file", "below"):
            modes = [stat.S_IMODE((self.below / folder / name).stat().st_mode)
                     for folder in ("with", "reference", "")]
            self.assertEqual(modes[1], modes[0], name)
            self.assertEqual(0, modes[2] & 0o077, name)
        self.assertEqual(entries, os.getxattr(self.above / "with" / "below", DEFAULT))

    def test_growing_keeps_the_entries(self):
        path = self.above / "file"
        path.write_bytes(b"small")
        entries = acl((USER_OBJ, 6, NO_ID), (USER, 4, NOBODY), (GROUP_OBJ, 0, NO_ID),
                      (MASK, 4, NO_ID), (OTHER, 0, NO_ID))
        os.setxattr(path, ACCESS, entries)
        with open(path, "ab") as file:
            file.write(text(100_000))
        self.remount("allow_other")
        self.assertTrue(self.is_cluster_file("file"))
        self.assertEqual(entries, os.getxattr(path, ACCESS))
        self.assertEqual(0, self.try_as(NOBODY, path, os.O_RDONLY))


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class NoAclTest(MountTest):
    """Where the file system below has no ACLs, modes decide, and nothing is refused for that."""

    def test_modes_decide(self):
        os.chmod(self.top, 0o755)
        done = subprocess.run(["mount", "-t", "ramfs", "none", self.below], check=False,
                              capture_output=True)
        if done.returncode != 0:
            self.skipTest("nothing can be mounted below")
        self.addCleanup(subprocess.run, ["umount", self.below], check=False)
        self.mount("allow_other")
        path = self.above / "file"
        path.write_bytes(text(50_000))
        os.chmod(path, 0o640)
        os.chown(path, 0, GROUP)

        def work():
            path.read_bytes()

        self.assertEqual(0, status_of(run_as(STRANGER, work, group=GROUP)))
        self.assertEqual(errno.EACCES, status_of(run_as(STRANGER, work)))
        self.assert_fails(errno.EOPNOTSUPP, os.setxattr, path, ACCESS,
                          acl((USER_OBJ, 6, NO_ID), (GROUP_OBJ, 0, NO_ID), (OTHER, 0, NO_ID)))
        self.unmount()


if __name__ == "__main__":
    unittest.main()
