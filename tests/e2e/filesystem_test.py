# SPDX-License-Identifier: Apache-2.0
"""A file system on the disk: what goes in comes out, and what is deleted gives its memory back."""
import hashlib
import os
import pathlib
import sys
import tarfile
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import DaemonTest, ROOT, run, wait_until  # noqa: E402

_WANTED_BYTES = 40 << 20  # Of files in the tree; documents fill up what sources do not give.


def file_digests(folder):
    """{relative path: SHA-256} of every regular file below a folder."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()}


def make_archive(out_path):
    """A source tree: this project's own, and the system's headers and documents."""
    packed = 0
    folders = [ROOT / "src", ROOT / "tests", "/usr/include", "/usr/share/doc", "/usr/share/perl"]
    with tarfile.open(out_path, "w", dereference=True) as archive:
        for folder in map(pathlib.Path, folders):
            for path in sorted(folder.rglob("*")):
                if packed < _WANTED_BYTES and path.is_file() and os.access(path, os.R_OK):
                    archive.add(path, arcname=f"tree/{path.relative_to('/')}")
                    packed += path.stat().st_size
    return packed


class FileSystemTest(DaemonTest):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.archive = pathlib.Path(folder.name) / "tree.tar"
        make_archive(cls.archive)
        cls.reference = pathlib.Path(folder.name) / "reference"
        cls.reference.mkdir()
        run("tar", "-xf", cls.archive, "-C", cls.reference)

    def setUp(self):
        super().setUp()
        self.need("mkfs.ext4", "e2fsck", "fstrim")
        self.name, self.disk = self.daemon.create("--size", "512M", "--algorithm", "zstd")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.mount_point = pathlib.Path(folder.name)
        run("mkfs.ext4", "-q", self.disk)
        self.mount()
        self.addCleanup(run, "umount", self.mount_point, check=False)

    def mount(self):
        run("mount", self.disk, self.mount_point)

    def remount(self):
        """So that nothing is read from the page cache."""
        run("umount", self.mount_point)
        self.mount()

    def unpack_tree(self):
        run("tar", "-xf", self.archive, "-C", self.mount_point)

    def test_a_source_tree_reads_back(self):
        self.unpack_tree()
        digests = file_digests(self.reference)
        self.assertGreater(len(digests), 100)
        self.remount()
        self.assertEqual(digests, file_digests(self.mount_point))
        run("umount", self.mount_point)
        run("e2fsck", "-fn", self.disk)

    def test_it_saves_memory(self):
        self.unpack_tree()
        run("sync")
        stat = self.daemon.mm_stat(self.name)
        self.assertGreater(stat["orig_data_size"], _WANTED_BYTES // 2)
        self.assertLess(stat["mem_used_total"], stat["orig_data_size"] // 2)

    def test_deleted_files_give_their_memory_back_after_fstrim(self):
        empty = self.daemon.mm_stat(self.name)["orig_data_size"]
        self.unpack_tree()
        run("sync")
        full, full_arena = self.daemon.mm_stat(self.name), self.daemon.arena_bytes()
        self.assertGreater(full_arena, full["compr_data_size"])
        run("rm", "-r", self.mount_point / "tree")
        run("sync")
        run("fstrim", self.mount_point)
        after = self.daemon.mm_stat(self.name)
        self.assertLess(after["orig_data_size"], empty + full["orig_data_size"] // 10)
        self.assertTrue(
            wait_until(lambda: self.daemon.arena_bytes() < full_arena // 4),
            f"the arena held {full_arena} bytes, and still holds {self.daemon.arena_bytes()}")
        run("umount", self.mount_point)
        run("e2fsck", "-fn", self.disk)


if __name__ == "__main__":
    unittest.main()
