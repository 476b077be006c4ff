# SPDX-License-Identifier: Apache-2.0
"""A disk that grows while a file system or swap uses it."""
import hashlib
import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import DaemonTest, run  # noqa: E402

MIB = 1 << 20


def may_resize_online():
    """ext4 lets a mounted file system grow with CAP_SYS_RESOURCE only, which containers lack."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    [effective] = [line.split()[1] for line in status.splitlines() if line.startswith("CapEff")]
    return int(effective, 16) >> 24 & 1 == 1


class GrowTest(DaemonTest):
    def disk_bytes(self, disk):
        return int(run("blockdev", "--getsize64", disk).stdout)

    def test_a_mounted_file_system_grows_and_keeps_its_files(self):
        self.need("mkfs.ext4", "resize2fs", "e2fsck", "blockdev")
        name, disk = self.daemon.create("--size", "64M", "--algorithm", "lz4")
        run("mkfs.ext4", "-q", disk)
        folder = tempfile.mkdtemp(prefix="uzram-grow-")
        self.addCleanup(os.rmdir, folder)
        run("mount", disk, folder)
        self.addCleanup(run, "umount", folder, check=False)
        content = os.urandom(20 * MIB)
        path = pathlib.Path(folder) / "file"
        path.write_bytes(content)
        self.daemon.must("grow", name, "200M")
        self.assertEqual(200 * MIB, self.disk_bytes(disk))
        self.assertEqual(f"{200 * MIB}\n", self.daemon.attribute(name, "disksize"))
        if not may_resize_online():
            run("umount", folder)
            run("e2fsck", "-fp", disk)
        run("resize2fs", disk)
        if not may_resize_online():
            run("mount", disk, folder)
        more = os.urandom(100 * MIB)
        (pathlib.Path(folder) / "more").write_bytes(more)
        os.sync()
        run("umount", folder)
        run("e2fsck", "-fn", disk)
        run("mount", disk, folder)
        self.assertEqual(hashlib.sha256(content).digest(),
                         hashlib.sha256(path.read_bytes()).digest())
        self.assertEqual(more, (pathlib.Path(folder) / "more").read_bytes())
        run("umount", folder)

    def test_it_only_grows_and_says_how_far(self):
        self.need("blockdev")
        name, disk = self.daemon.create("--size", "16M")
        tree = self.daemon.tree / "block" / name
        for size, said in (("8M", "only grows"), ("65M", "four")):
            done = self.daemon.ask("grow", name, size)
            self.assertNotEqual(0, done.returncode)
            self.assertEqual(1, done.stderr.count("\n"), done.stderr)
            self.assertIn(said, done.stderr)
        with self.assertRaises(OSError):
            (tree / "disksize").write_text("32M", encoding="utf-8")
        self.assertEqual(16 * MIB, self.disk_bytes(disk))
        (tree / "disksize_grow").write_text("64M\n", encoding="utf-8")
        self.assertEqual(64 * MIB, self.disk_bytes(disk))
        self.assertEqual(f"{64 * MIB // 512}\n", self.daemon.attribute(name, "size"))
        self.assertEqual(2, self.daemon.ask("grow", name, "much").returncode)


if __name__ == "__main__":
    unittest.main()
