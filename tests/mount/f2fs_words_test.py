# SPDX-License-Identifier: Apache-2.0
"""A mount in f2fs's words: its options, chattr and lsattr, and what f2fs_io asks for."""
import errno
import fcntl
import os
import pathlib
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from mounted import MountTest, noise, text  # noqa: E402
from uzram_daemon import find_program, run, uzram_program  # noqa: E402

RUNS_BESIDE_OTHERS = True

GET_FLAGS, SET_FLAGS, GET_XATTR = 0x80086601, 0x40086602, 0x801C581F
COMPRESS, DO_NOT = 0x4, 0x400
GET_BLOCKS, RELEASE, RESERVE = 0x8008F511, 0x8008F512, 0x8008F513
GET_OPTION, SET_OPTION = 0x8002F515, 0x4002F516
DECOMPRESS_FILE, COMPRESS_FILE = 0xF517, 0xF518
LARGE = text(200_000)


def flags_of(path):
    with open(path, "rb") if path.is_file() else Folder(path) as file:
        return struct.unpack("i", fcntl.ioctl(file, GET_FLAGS, bytes(4)))[0]


class Folder:
    """An open directory, as `with` wants it."""

    def __init__(self, path):
        self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def __enter__(self):
        return self.descriptor

    def __exit__(self, *_):
        os.close(self.descriptor)


class OptionTest(MountTest):
    def write(self, *names):
        for name in names:
            (self.above / name).write_bytes(LARGE)

    def compression(self, name):
        """What `uzram cluster stat` says of it; None for a plain file."""
        if not self.is_cluster_file(name):
            return None
        said = run(uzram_program(), "cluster", "stat", self.below / name).stdout
        return said.splitlines()[1].removeprefix("compression: ")

    def test_algorithm_size_and_checksum(self):
        for words, expected in (
                (["compress_algorithm=zstd:3,compress_log_size=4"],
                 "zstd:3, clusters of 64K, without checksums"),
                (["compress_algorithm=lzo-rle", "compress_chksum"],
                 "lzo-rle, clusters of 16K, with checksums"),
                (["compress_algorithm=lz4:9,compress_log_size=5,compress_cache"],
                 "lz4:9, clusters of 128K, without checksums")):
            self.mount(*words)
            self.write("a")
            self.assertEqual(LARGE, (self.above / "a").read_bytes())
            self.unmount()
            self.assertEqual(expected, self.compression("a"))
            (self.below / "a").unlink()

    def test_listed_extensions_only(self):
        self.mount("compress_extension=log,compress_extension=txt")
        self.write("a.log", "a.TXT", "a.jpg", "a")
        self.unmount()
        packed = {name: self.is_cluster_file(name) for name in os.listdir(self.below)}
        self.assertEqual({"a.log": True, "a.TXT": True, "a.jpg": False, "a": False}, packed)

    def test_everything_but(self):
        self.mount("nocompress_extension=jpg")
        self.write("a.jpg", "a")
        self.unmount()
        self.assertEqual([False, True], [self.is_cluster_file(name) for name in ("a.jpg", "a")])
        self.assertEqual(LARGE, (self.below / "a.jpg").read_bytes())

    def test_nothing(self):
        self.mount("nocompress_extension=*")
        self.write("a")
        self.unmount()
        self.assertEqual(LARGE, (self.below / "a").read_bytes())

    def test_the_size_of_a_small_file_is_that_of_a_cluster(self):
        self.mount("compress_log_size=8")
        self.write("a")
        self.unmount()
        self.assertEqual(LARGE, (self.below / "a").read_bytes())

    def test_read_only(self):
        (self.below / "a").write_bytes(LARGE)
        self.mount("ro")
        self.assertEqual(LARGE, (self.above / "a").read_bytes())
        self.assert_fails(errno.EROFS, (self.above / "a").write_bytes, b"")
        self.assert_fails(errno.EROFS, (self.above / "b").touch)

    def test_wrong_words_are_one_line(self):
        for words, expected in (("compress_algorithm=gzip", "'gzip' is none of"),
                                ("compress_extension=so,nocompress_extension=so", "in both"),
                                ("nobarrier", "'nobarrier' is none of")):
            done = subprocess.run([uzram_program(), "mount", self.below, self.above, "-o", words],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(2, done.returncode)
            self.assertIn(expected, done.stderr)
            self.assertEqual(1, done.stderr.count("\n"))


class FlagTest(MountTest):
    def setUp(self):
        super().setUp()
        try:
            os.setxattr(self.below, "user.probe", b"")
        except OSError as problem:
            self.skipTest(f"no xattrs here: {problem}")

    def chattr(self, *words):
        return subprocess.run([find_program("chattr"), *map(str, words)], capture_output=True,
                              text=True, check=False)

    def test_files(self):
        self.mount("compress_extension=log")
        large, new = self.above / "a.log", self.above / "new"
        large.write_bytes(LARGE)
        self.assertEqual(COMPRESS, flags_of(large))
        new.touch()
        self.assertEqual(0, flags_of(new))
        self.assertEqual("", self.chattr("+c", new).stderr)
        self.assertEqual(COMPRESS, flags_of(new))
        self.assertIn("c", run("lsattr", new).stdout.split()[0])
        new.write_bytes(LARGE)
        other = self.above / "other.log"
        other.touch()
        self.chattr("+m", "-c", other)
        other.write_bytes(LARGE)
        self.assertEqual(DO_NOT, flags_of(other))
        self.remount("compress_extension=log")
        self.assertEqual([COMPRESS, DO_NOT], [flags_of(new), flags_of(other)])
        self.assertEqual([True, False], [self.is_cluster_file(each.name) for each in (new, other)])

    def test_what_has_content_stays_as_it_is(self):
        self.mount("nocompress_extension=jpg")
        plain, packed = self.above / "a.jpg", self.above / "a"
        plain.write_bytes(LARGE)
        packed.write_bytes(LARGE)
        self.assertIn("Invalid argument", self.chattr("+c", plain).stderr)
        self.assertIn("Invalid argument", self.chattr("-c", packed).stderr)
        self.assertIn("not supported", self.chattr("+i", plain).stderr)

    def test_directories_hand_their_flag_on(self):
        self.mount("compress_extension=log,nocompress_extension=jpg")
        folder = self.above / "folder"
        folder.mkdir()
        self.chattr("+c", folder)
        self.assertEqual(COMPRESS, flags_of(folder))
        (folder / "below").mkdir()
        for name in ("a", "a.jpg", "below/b"):
            (folder / name).write_bytes(LARGE)
        self.remount()
        self.chattr("-c", "+m", folder / "below")
        (folder / "below" / "c").write_bytes(LARGE)
        self.unmount()
        packed = {name: self.is_cluster_file(f"folder/{name}")
                  for name in ("a", "a.jpg", "below/b", "below/c")}
        self.assertEqual({"a": True, "a.jpg": False, "below/b": True, "below/c": False}, packed)

    def test_the_extended_call_knows_of_nothing(self):
        self.mount()
        (self.above / "a").touch()
        with open(self.above / "a", "rb") as file:
            self.assertEqual(bytes(28), fcntl.ioctl(file, GET_XATTR, bytes(28)))


class CallTest(MountTest):
    def setUp(self):
        super().setUp()
        self.path = self.above / "a"

    def call(self, request, argument=bytes(8), mode="r+b"):
        with open(self.path, mode) as file:
            return fcntl.ioctl(file, request, argument)

    def blocks(self, request, mode="r+b"):
        return struct.unpack("Q", self.call(request, mode=mode))[0]

    def f2fs_io(self, *words):
        program = find_program("f2fs_io")
        if program is None:
            self.skipTest("needs f2fs_io")
        return subprocess.run([program, *map(str, words)], capture_output=True, text=True,
                              check=False)

    def stored_and_content(self):
        """How many blocks of clusters there are below, and how many pages they hold."""
        said = run(uzram_program(), "cluster", "stat", self.below / "a", "--clusters").stdout
        rows = [line.split() for line in said.splitlines()]
        return sum(int(row[2]) for row in rows), (len(LARGE) + 4095) // 4096

    def test_released_blocks_and_reserved_ones(self):
        self.mount()
        self.path.write_bytes(LARGE)
        saved = self.blocks(GET_BLOCKS, "rb")
        self.remount()
        self.unmount()
        stored, content = self.stored_and_content()
        self.assertEqual(content - stored, saved)
        self.mount()
        self.assert_fails(errno.EINVAL, self.call, RESERVE)
        with open(self.path, "r+b"):
            self.assert_fails(errno.EBUSY, self.call, RELEASE)
            self.assert_fails(errno.EBUSY, self.call, RELEASE, bytes(8), "rb")
        self.assertEqual(saved, self.blocks(RELEASE, "rb"))
        self.assertEqual(0, self.blocks(GET_BLOCKS))
        self.assert_fails(errno.EINVAL, self.call, RELEASE)
        self.remount()
        with open(self.path, "r+b", buffering=0) as file:
            self.assert_fails(errno.EPERM, file.write, b"x" * 4096)
            self.assert_fails(errno.EPERM, file.truncate, 10)
        self.assertEqual(LARGE, self.path.read_bytes())
        self.assertEqual(saved, self.blocks(RESERVE))
        self.path.write_bytes(b"may be written again")

    def test_calls_on_files_that_are_not_compressed(self):
        self.mount("nocompress_extension=*")
        self.path.write_bytes(LARGE)
        for request in (GET_BLOCKS, RELEASE, RESERVE):
            self.assert_fails(errno.EINVAL, self.call, request)
        self.assert_fails(errno.ENODATA, self.call, GET_OPTION, bytes(2))
        self.assert_fails(errno.EINVAL, self.call, SET_OPTION, b"\1\2")
        self.assert_fails(errno.EOPNOTSUPP, self.call, COMPRESS_FILE, 0)
        self.assert_fails(errno.ENOTTY, self.call, 0xF5FF, 0)

    def test_nothing_saved_cannot_be_released(self):
        self.mount()
        self.path.write_bytes(noise(100_000))
        self.assertEqual(0, self.blocks(GET_BLOCKS))
        self.assert_fails(errno.EPERM, self.call, RELEASE)

    def test_options_of_one_file(self):
        self.mount("compress_algorithm=lz4:9")
        self.path.touch()
        self.assertEqual(b"\1\2", self.call(GET_OPTION, bytes(2)))
        for wrong in (b"\4\2", b"\1\1", b"\1\11"):
            self.assert_fails(errno.EINVAL, self.call, SET_OPTION, wrong)
        self.assert_fails(errno.EBADF, self.call, SET_OPTION, b"\2\4", "rb")
        try:
            self.call(SET_OPTION, b"\2\4")
        except OSError as problem:
            self.assertEqual(errno.EOPNOTSUPP, problem.errno)
            self.skipTest("no xattrs here")
        self.path.write_bytes(LARGE)
        self.assertEqual(b"\2\4", self.call(GET_OPTION, bytes(2)))
        self.assert_fails(errno.EFBIG, self.call, SET_OPTION, b"\1\2")
        self.unmount()
        self.assertIn("zstd, clusters of 64K",
                      run(uzram_program(), "cluster", "stat", self.below / "a").stdout)

    def test_compressing_when_told(self):
        self.mount("compress_mode=user")
        self.path.write_bytes(LARGE)
        if flags_of(self.path) == 0:
            self.skipTest("no xattrs here")
        os.setxattr(self.path, "user.a", b"value")
        os.chmod(self.path, 0o604)
        before = self.path.stat()
        with open(self.path, "rb") as reader:
            for request, is_packed in ((COMPRESS_FILE, True), (DECOMPRESS_FILE, False)):
                self.assert_fails(errno.EBADF, self.call, request, 0, "rb")
                self.call(request, 0)
                self.assertEqual(is_packed, self.is_cluster_file("a"))
                after = self.path.stat()
                self.assertEqual(
                    (before.st_ino, before.st_mode, before.st_mtime_ns, before.st_uid),
                    (after.st_ino, after.st_mode, after.st_mtime_ns, after.st_uid))
                self.assertEqual(b"value", os.getxattr(self.path, "user.a"))
                os.posix_fadvise(reader.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                reader.seek(0)
                self.assertEqual(LARGE, reader.read())
        self.assertEqual(["a"], [name for name in os.listdir(self.below) if name[0] != "."])
        os.link(self.path, self.above / "b")
        self.assert_fails(errno.EMLINK, self.call, COMPRESS_FILE, 0)
        self.assertEqual(LARGE, (self.below / "b").read_bytes())
        self.unmount()
        self.assertEqual({"a", "b"}, set(os.listdir(self.below)))

    def test_the_program_of_f2fs_tools(self):
        self.mount("compress_mode=user")
        self.path.touch()
        if flags_of(self.path) == 0:
            self.skipTest("no xattrs here")
        self.assertIn("compression algorithm:", self.f2fs_io("get_coption", self.path).stdout)
        self.assertEqual(0, self.f2fs_io("set_coption", 2, 3, self.path).returncode)
        self.path.write_bytes(LARGE)
        self.assertEqual(0, self.f2fs_io("compress", self.path).returncode)
        self.assertTrue(self.is_cluster_file("a"))
        saved = self.f2fs_io("get_cblocks", self.path).stdout.strip()
        self.assertGreater(int(saved), 0)
        self.assertEqual(saved, self.f2fs_io("release_cblocks", self.path).stdout.strip())
        self.assertEqual("0", self.f2fs_io("get_cblocks", self.path).stdout.strip())
        self.assertEqual(saved, self.f2fs_io("reserve_cblocks", self.path).stdout.strip())
        self.assertEqual(0, self.f2fs_io("decompress", self.path).returncode)
        self.assertEqual(LARGE, (self.below / "a").read_bytes())


if __name__ == "__main__":
    unittest.main()
