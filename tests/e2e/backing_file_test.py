# SPDX-License-Identifier: Apache-2.0
"""Which files become a backing store: the one that the caller means, and none that is in use."""
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import DaemonTest, run, uzram_program  # noqa: E402

MIB = 1 << 20


class BackingFileTest(DaemonTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="uzram-e2e-", dir="/tmp")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def make_file(self, name, content=bytes(16 * MIB)):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    def ask_from(self, folder, *words):
        return subprocess.run([uzram_program(), *words, "--socket", self.daemon.socket],
                              capture_output=True, text=True, cwd=folder, timeout=60, check=False)

    def refused(self, *settings):
        words = [word for setting in settings for word in ("--set", setting)]
        done = self.daemon.ask("create", "--size", "16M", "--algorithm", "lz4", *words)
        self.assertNotEqual(0, done.returncode, done.stdout)
        self.assertEqual(1, done.stderr.count("\n"), done.stderr)
        self.assertEqual([], self.daemon.devices())
        return done.stderr

    def test_a_relative_path_means_the_folder_of_the_caller(self):
        mine = self.make_file("mine/data.img")
        done = self.ask_from(mine.parent, "create", "--size", "16M", "--set",
                             "backing_dev=data.img")
        self.assertEqual("", done.stderr)
        self.assertEqual(f"{mine}\n", self.daemon.attribute("zram0", "backing_dev"))
        words = self.make_file("mine/words", b"word " * 1000)
        done = self.ask_from(mine.parent, "create", "--size", "16M", "--algorithm", "zstd",
                             "--set", f"algorithm_params=algo=zstd dict={words.name}")
        self.assertEqual("", done.stderr)

    def test_a_relative_path_through_the_tree_is_refused(self):
        (self.daemon.tree / "class" / "zram-control" / "hot_add").read_text(encoding="ascii")
        for attribute, text in (("backing_dev", "data.img"),
                                ("algorithm_params", "algo=lzo-rle dict=words")):
            with self.assertRaisesRegex(OSError, "Invalid argument"):
                (self.daemon.tree / "block" / "zram0" / attribute).write_text(text)

    def test_the_image_of_a_mounted_file_system_is_left_alone(self):
        self.need("mkfs.ext4")
        image = self.make_file("image")
        run("mkfs.ext4", "-q", image)
        mounted = self.folder / "mounted"
        mounted.mkdir()
        run("mount", "-o", "loop", image, mounted)
        self.addCleanup(run, "umount", mounted, check=False)
        content = os.urandom(4 * MIB)
        (mounted / "file").write_bytes(content)
        os.sync()
        self.assertRegex(self.refused(f"backing_dev={image}"), "the file of /dev/loop[0-9]+")
        hard = self.folder / "hard"
        os.link(image, hard)
        self.assertRegex(self.refused(f"backing_dev={hard}"), "the file of /dev/loop[0-9]+")
        run("umount", mounted)
        run("mount", "-o", "loop", image, mounted)
        found = (mounted / "file").read_bytes()
        self.assertEqual(hashlib.sha256(content).digest(), hashlib.sha256(found).digest())
        run("umount", mounted)

    def test_a_file_that_a_program_writes_to_is_left_alone(self):
        path = self.make_file("log")
        with open(path, "ab"):
            self.assertIn("open for writing", self.refused(f"backing_dev={path}"))
        self.daemon.create("--size", "16M", "--set", f"backing_dev={path}")
        second = self.daemon.ask("create", "--size", "16M", "--set", f"backing_dev={path}")
        self.assertIn("store of another device", second.stderr)


if __name__ == "__main__":
    unittest.main()
