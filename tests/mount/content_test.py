# SPDX-License-Identifier: Apache-2.0
"""The content of files in a mount: what programs do to it, and what is below afterwards."""
import errno
import fcntl
import mmap
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from mounted import (CLUSTER, MAGIC, SMALL_END, MountTest, fallocate, noise,  # noqa: E402
                     text)
from uzram_daemon import run, uzram_program  # noqa: E402

RUNS_BESIDE_OTHERS = True

KEEP_SIZE, PUNCH, ZERO = 1, 2, 16


class WhatIsBelowTest(MountTest):
    def setUp(self):
        super().setUp()
        self.mount()

    def test_a_large_file_is_a_cluster_file(self):
        content = text(1_000_001)
        (self.above / "a").write_bytes(content)
        self.assertEqual(content, (self.above / "a").read_bytes())
        self.unmount()
        self.assertTrue(self.is_cluster_file("a"))
        self.assertEqual(content, self.content_below("a"))
        self.verify_below("a")
        self.mount()
        self.assertEqual(content, (self.above / "a").read_bytes())
        status, below = os.stat(self.above / "a"), os.stat(self.below / "a")
        self.assertEqual(len(content), status.st_size)
        self.assertEqual(below.st_blocks, status.st_blocks)
        self.assertLess(status.st_blocks * 512, len(content) * 3 // 4)

    def test_a_small_file_is_kept_as_it_is(self):
        content = text(SMALL_END - 1)
        (self.above / "a").write_bytes(content)
        self.assertEqual(content, (self.below / "a").read_bytes())
        (self.above / "empty").touch()
        self.unmount()
        self.assertEqual(content, (self.below / "a").read_bytes())
        self.assertEqual(0, (self.below / "empty").stat().st_size)

    def test_a_small_file_that_grows_becomes_a_cluster_file(self):
        content = text(3 * SMALL_END)
        with open(self.above / "a", "ab") as file:
            file.write(content[:1000])
        number = os.stat(self.above / "a").st_ino
        self.assertFalse(self.is_cluster_file("a"))
        os.chmod(self.above / "a", 0o640)
        with open(self.above / "a", "rb") as reader:
            with open(self.above / "a", "ab") as file:
                file.write(content[1000:])
            self.assertEqual(content, reader.read())
        status = os.stat(self.above / "a")
        self.assertEqual((0o640, number), (status.st_mode & 0o777, status.st_ino))
        self.unmount()
        self.assertEqual(content, self.content_below("a"))
        self.assertEqual(["a"], os.listdir(self.below))

    def test_one_with_two_names_stays_plain_when_it_grows(self):
        content = text(3 * SMALL_END)
        (self.above / "a").write_bytes(content[:1000])
        os.link(self.above / "a", self.above / "b")
        with open(self.above / "a", "ab") as file:
            file.write(content[1000:])
        self.unmount()
        self.assertEqual(content, (self.below / "b").read_bytes())
        self.assertTrue(os.path.samefile(self.below / "a", self.below / "b"))

    def test_packed_files_appear_unpacked(self):
        content = text(300_000)
        source = self.top / "source"
        source.write_bytes(content)
        run(uzram_program(), "cluster", "pack", source, self.below / "packed",
            "--algorithm", "zstd:3", "--log-size", "4")
        (self.below / "plain").write_bytes(content)
        self.assertEqual(content, (self.above / "packed").read_bytes())
        self.assertEqual(content, (self.above / "plain").read_bytes())
        with open(self.above / "packed", "r+b") as file:
            file.seek(100_000)
            file.write(b"changed")
        changed = content[:100_000] + b"changed" + content[100_007:]
        self.unmount()
        self.assertEqual(changed, self.content_below("packed"))

    def test_a_file_that_looks_like_a_cluster_file_is_not_taken_for_one(self):
        packed = self.top / "packed"
        source = self.top / "source"
        source.write_bytes(text(300_000))
        run(uzram_program(), "cluster", "pack", source, packed)
        self.unmount()
        self.mount("nocompress_extension=uzc")
        content = packed.read_bytes()
        (self.above / "a.uzc").write_bytes(content)
        (self.above / "short.uzc").write_bytes(MAGIC)
        (self.above / "short").write_bytes(MAGIC + b"and more")
        with open(self.above / "late.uzc", "wb") as file:
            file.write(b"\0" * 4 + content[4:])
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            file.write(content[:4])
        self.remount("nocompress_extension=uzc")
        self.assertEqual(content, (self.above / "a.uzc").read_bytes())
        self.assertEqual(content, (self.above / "late.uzc").read_bytes())
        self.assertEqual(MAGIC, (self.above / "short.uzc").read_bytes())
        self.assertEqual(MAGIC + b"and more", (self.above / "short").read_bytes())
        self.assertEqual(content, self.content_below("a.uzc"))

    def test_a_damaged_one_is_an_error_to_read_and_can_be_removed(self):
        (self.below / "a").write_bytes(MAGIC + b"\1" * 10_000)
        self.assert_fails(errno.EIO, (self.above / "a").read_bytes)
        self.assertIn("a", os.listdir(self.above))
        (self.above / "a").unlink()
        self.assertEqual([".uzram"], os.listdir(self.below))


class ChangeTest(MountTest):
    def setUp(self):
        super().setUp()
        self.mount()
        self.path = self.above / "a"

    def check(self, expected, is_cluster=True):
        """The content is this: now, and after a mount anew."""
        self.assertEqual(expected, self.path.read_bytes())
        self.remount()
        self.assertEqual(is_cluster, self.is_cluster_file("a"))
        self.assertEqual(expected, self.path.read_bytes())
        if is_cluster:
            self.verify_below("a")

    def test_overwriting_anywhere(self):
        content = bytearray(text(400_000))
        self.path.write_bytes(content)
        with open(self.path, "r+b", buffering=0) as file:
            for offset, part in ((0, b"first"), (CLUSTER - 3, noise(7)), (200_000, noise(70_000)),
                                 (399_999, b"end and more"), (450_000, b"behind a hole")):
                file.seek(offset)
                file.write(part)
                content += bytes(max(0, offset + len(part) - len(content)))
                content[offset:offset + len(part)] = part
        self.check(bytes(content))

    def test_appending(self):
        parts = [text(30_011, seed) for seed in range(8)]
        for part in parts:
            with open(self.path, "ab") as file:
                file.write(part)
        self.check(b"".join(parts))

    def test_truncating_by_open_path_and_handle(self):
        self.path.write_bytes(text(200_000))
        with open(self.path, "wb") as file:
            file.write(b"short")
        self.assertEqual(b"short", self.path.read_bytes())
        content = text(200_000, 6)
        self.path.write_bytes(content)
        os.truncate(self.path, 100_001)
        with open(self.path, "r+b") as file:
            file.truncate(150_000)
            self.assertEqual(content[:100_001] + bytes(49_999), file.read())
        self.check(content[:100_001] + bytes(49_999))
        os.truncate(self.path, 0)
        self.check(b"")

    def test_mapping_shared_and_private(self):
        content = bytearray(text(300_000))
        self.path.write_bytes(content)
        with open(self.path, "r+b") as file:
            with mmap.mmap(file.fileno(), 0) as shared:
                self.assertEqual(content, shared[:])
                shared[5_000:5_007] = b"changed"
                shared[299_990:] = b"0123456789"
                shared.flush()
            with mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE) as private:
                private[0:4] = b"mine"
        content[5_000:5_007] = b"changed"
        content[299_990:] = b"0123456789"
        self.check(bytes(content))

    def test_sparse_files(self):
        with open(self.path, "wb") as file:
            file.truncate(1 << 30)
            file.seek(512 << 20)
            file.write(text(50_000))
        with open(self.path, "rb") as file:
            data = os.lseek(file.fileno(), 0, os.SEEK_DATA)
            self.assertEqual(512 << 20, data)
            hole = os.lseek(file.fileno(), data, os.SEEK_HOLE)
            self.assertEqual((512 << 20) + 4 * CLUSTER, hole)
            self.assert_fails(errno.ENXIO, os.lseek, file.fileno(), hole, os.SEEK_DATA)
        self.remount()
        status = self.path.stat()
        self.assertEqual(1 << 30, status.st_size)
        self.assertLess(status.st_blocks * 512, 100_000)

    def test_seeking_data_sees_what_was_just_written(self):
        with open(self.path, "w+b", buffering=0) as file:
            file.truncate(1 << 20)
            file.seek(600_000)
            file.write(b"data")
            self.assertLessEqual(os.lseek(file.fileno(), 0, os.SEEK_DATA), 600_000)
            hole = os.lseek(file.fileno(), 600_000, os.SEEK_HOLE)
            self.assertTrue(600_004 <= hole <= 1 << 20, hole)
            with open(self.path, "rb") as other:
                self.assertLessEqual(os.lseek(other.fileno(), 0, os.SEEK_DATA), 600_000)
            self.assert_fails(errno.ENXIO, os.lseek, file.fileno(), 1 << 20, os.SEEK_DATA)

    def test_punching_and_zeroing(self):
        content = bytearray(text(300_000))
        self.path.write_bytes(content)
        with open(self.path, "r+b") as file:
            fallocate(file.fileno(), PUNCH | KEEP_SIZE, 10_000, 100_000)
            fallocate(file.fileno(), ZERO, 290_000, 20_000)
            fallocate(file.fileno(), ZERO | KEEP_SIZE, 305_000, 20_000)
            self.assert_fails(errno.EOPNOTSUPP, fallocate, file.fileno(), 0, 0, 400_000)
            self.assert_fails(errno.EOPNOTSUPP, fallocate, file.fileno(), KEEP_SIZE, 0, 400_000)
        content[10_000:110_000] = bytes(100_000)
        content[290_000:] = bytes(20_000)
        before = len(self.path.read_bytes())
        self.assertEqual(310_000, before)
        self.check(bytes(content))

    def test_small_files_take_the_same_changes(self):
        content = bytearray(text(20_000))
        with open(self.path, "w+b") as file:
            file.write(content)
            file.flush()
            fallocate(file.fileno(), PUNCH | KEEP_SIZE, 1_000, 500)
            fallocate(file.fileno(), ZERO, 19_000, 2_000)
            self.assert_fails(errno.EOPNOTSUPP, fallocate, file.fileno(), 0, 0, 10_000)
            file.truncate(20_500)
        content[1_000:1_500] = bytes(500)
        content[19_000:] = bytes(1_500)
        self.check(bytes(content), is_cluster=False)

    def test_direct_io(self):
        content = text(1 << 20)
        with mmap.mmap(-1, 1 << 20) as page_aligned:
            page_aligned[:] = content
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_DIRECT)
            try:
                self.assertEqual(1 << 20, os.write(descriptor, page_aligned))
                page_aligned[:] = bytes(1 << 20)
                self.assertEqual(1 << 20, os.preadv(descriptor, [page_aligned], 0))
                self.assertEqual(content, page_aligned[:])
            finally:
                os.close(descriptor)
        self.check(content)

    def test_locks(self):
        self.path.write_bytes(b"x")
        with open(self.path, "r+b") as one, open(self.path, "r+b") as other:
            fcntl.flock(one, fcntl.LOCK_EX)
            self.assert_fails(errno.EWOULDBLOCK, fcntl.flock, other,
                              fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(one, fcntl.LOCK_UN)
            fcntl.lockf(one, fcntl.LOCK_EX)

    def test_times_stay_as_they_were_set(self):
        self.path.write_bytes(text(500_000))
        os.utime(self.path, ns=(10**18, 10**18 + 7))
        self.remount()
        self.assertEqual(10**18 + 7, os.stat(self.path).st_mtime_ns)
        self.assertEqual(10**18, os.stat(self.path).st_atime_ns)
        (self.above / "small").write_bytes(b"words")
        os.utime(self.above / "small", ns=(10**18, 10**18 + 7))
        self.remount()
        self.assertEqual(10**18 + 7, os.stat(self.above / "small").st_mtime_ns)


if __name__ == "__main__":
    unittest.main()
