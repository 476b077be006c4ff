# SPDX-License-Identifier: Apache-2.0
"""A script written for the kernel's zram, after the kernel's manual, works with a path prefix."""
import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import DaemonTest, ROOT, run, uzram_program  # noqa: E402

SCRIPT = pathlib.Path(__file__).with_name("kernel_manual.sh")
_PARTS = ("set up", "use", "recompress", "write back", "check", "tear down")


class KernelManualTest(DaemonTest):
    def setUp(self):
        super().setUp()
        self.need("mkfs.ext4", "mount", "umount")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.mount_point = self.folder / "mount"
        self.mount_point.mkdir()
        self.addCleanup(run, "umount", self.mount_point, check=False)
        self.backing = self.folder / "backing"
        with open(self.backing, "wb") as file:
            file.truncate(512 << 20)

    def replaced(self):
        disk = f"$({uzram_program()} list -n -o DEVICE --socket {self.daemon.socket})"
        text = SCRIPT.read_text(encoding="utf-8")
        for old, new in (("/sys/", f"{self.daemon.tree}/"), ("/dev/zram0", disk),
                         ("BACKING", self.backing), ("MOUNT", self.mount_point),
                         ("FILES", ROOT / "src"), ("SUMS", self.folder / "sums")):
            self.assertIn(old, text)
            text = text.replace(old, str(new))
        return text

    def run_script(self):
        """Returns: {part: the lines that it printed}."""
        done = run("sh", "-c", self.replaced(), env={
            **os.environ, "LC_ALL": "C", "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
        said = {}
        for line in done.stdout.splitlines():
            if line.startswith("== "):
                said[line[3:]] = lines = []
            else:
                lines.append(line)
        self.assertEqual(_PARTS, tuple(said))
        return said

    def test_every_step_of_the_manual_works(self):
        said = self.run_script()
        self.assertIn("[lzo-rle]", said["set up"][0])
        self.assertRegex(said["set up"][1], r"^#1: .*\[zstd\]")
        self.assertRegex(said["set up"][2], r"^#2: .*\[deflate\]")
        self.assertEqual(str(self.backing), said["set up"][3])
        at_first = list(map(int, said["use"][2].split()))
        recompressed = list(map(int, said["recompress"][0].split()))
        written = list(map(int, said["write back"][2].split()))
        self.assertEqual(9, len(at_first))
        self.assertLess(recompressed[1], at_first[1], "compr_data_size")
        self.assertGreater(int(said["recompress"][1]), 100, "pages with the flag r")
        self.assertLess(written[2], recompressed[2] / 4, "most of the pool is on the backing store")
        limit = int(said["write back"][0])
        count, _, writes = map(int, said["write back"][1].split())
        self.assertGreaterEqual(count, 1024, "the noise alone is 4 MiB")
        self.assertEqual((400 << 8) - writes, limit)
        self.assertEqual(["version: 1", "0        0"], said["check"])
        self.assertEqual(["0"], said["tear down"])
        self.assertEqual([], self.daemon.devices())


if __name__ == "__main__":
    unittest.main()
