# SPDX-License-Identifier: Apache-2.0
"""`uzram cluster` as a shell uses it."""
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import uzram_program  # noqa: E402

RUNS_BESIDE_OTHERS = True


def text(byte_count):
    chooser = random.Random(5)
    words = [f"{chooser.randrange(1 << 30):x} " for _ in range(300)]
    return "".join(chooser.choice(words) for _ in range(byte_count // 4)).encode()[:byte_count]


class ClusterCommandTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="uzram-cluster-")
        self.addCleanup(folder.cleanup)
        self.top = pathlib.Path(folder.name)
        self.content = text(2_000_001)
        self.source = self.top / "source"
        self.source.write_bytes(self.content)
        self.packed = self.top / "packed"

    def uzram(self, *words, status=0, **keywords):
        done = subprocess.run([uzram_program(), "cluster", *map(str, words)], capture_output=True,
                              check=False, **keywords)
        self.assertEqual(status, done.returncode, done.stderr)
        return done

    def pack(self, *options):
        self.uzram("pack", self.source, self.packed, *options)

    def test_content_comes_back(self):
        for options in ((), ("--algorithm", "lzo", "--log-size", "3"),
                        ("--algorithm", "lzo-rle", "--threads", "2"),
                        ("--algorithm", "zstd:3", "--log-size", "8", "--checksum"),
                        ("--algorithm", "lz4:9", "--log-size", "5")):
            self.pack(*options)
            target = self.top / "target"
            self.uzram("unpack", self.packed, target)
            self.assertTrue(self.content == target.read_bytes(), options)
            self.assertLess(self.packed.stat().st_size, len(self.content), options)
            self.uzram("verify", self.packed)
            target.unlink()
            self.packed.unlink()

    def test_standard_input_and_output(self):
        self.uzram("pack", "-", self.packed, input=self.content)
        self.assertTrue(self.content == self.uzram("unpack", self.packed, "-").stdout)
        for offset, length in ((0, 10), (16380, 9), (1_999_990, 100), (4_000_000, 5)):
            part = self.uzram("cat", self.packed, "--offset", offset, "--length", length).stdout
            self.assertEqual(self.content[offset:offset + length], part)
        empty = self.top / "empty"
        self.uzram("pack", "-", empty, input=b"")
        self.assertEqual(b"", self.uzram("cat", empty).stdout)

    def test_stat_tells_how_it_is_stored(self):
        self.pack("--algorithm", "zstd:3", "--log-size", "4")
        said = self.uzram("stat", self.packed).stdout.decode()
        self.assertIn("size: 2000001\n", said)
        self.assertIn("compression: zstd:3, clusters of 64K, without checksums\n", said)
        self.assertIn("clusters: 30 packed, 1 raw, 0 holes\n", said)
        clusters = self.uzram("stat", self.packed, "--clusters").stdout.decode().splitlines()
        self.assertEqual(31, len(clusters))
        stored = sum(int(line.split()[2]) for line in clusters)
        estimate = self.uzram("stat", self.packed, "--estimate", "--algorithm", "zstd:3",
                              "--log-size", "4", "--bytes").stdout.decode().splitlines()[-1]
        self.assertEqual(stored * 4096, int(estimate.split()[2]))

    def test_holes_take_no_space(self):
        with open(self.source, "wb") as sparse:
            sparse.seek(64 << 20)
            sparse.write(b"end")
        self.pack()
        self.assertLess(self.packed.stat().st_size, 1 << 20)
        target = self.top / "target"
        self.uzram("unpack", self.packed, target)
        self.assertEqual(self.source.stat().st_size, target.stat().st_size)
        self.assertLess(target.stat().st_blocks * 512, 2 << 20)
        self.assertEqual(b"\0end", target.read_bytes()[-4:])

    def test_reserve_and_release(self):
        self.pack()
        self.uzram("reserve", self.packed)
        self.assertGreater(self.packed.stat().st_blocks * 512, len(self.content))
        self.assertIn(b"reserved for rewriting", self.uzram("stat", self.packed).stdout)
        self.uzram("release", self.packed)
        self.assertLess(self.packed.stat().st_blocks * 512, len(self.content))
        self.uzram("verify", self.packed)

    def test_damage_is_found_and_named(self):
        self.pack()
        line = self.uzram("stat", self.packed, "--clusters").stdout.decode().splitlines()[7]
        damaged = bytearray(self.packed.read_bytes())
        damaged[int(line.split()[-1]) * 4096 + 100] ^= 1
        self.packed.write_bytes(damaged)
        said = self.uzram("verify", self.packed, status=1).stderr.decode()
        self.assertRegex(said, r"^uzram: .*: cluster 7: damaged\n$")
        target = self.top / "target"
        self.uzram("unpack", self.packed, target, status=1)
        self.assertFalse(target.exists())
        self.assertTrue(self.content[8 * 16384:] ==
                        self.uzram("cat", self.packed, "--offset", 8 * 16384).stdout)

    def test_wrong_words_are_one_line(self):
        self.pack()
        for words, status, said in (
                (("pack", self.source, self.packed), 1, "File exists"),
                (("pack", self.top / "absent", self.top / "new"), 1, "No such file"),
                (("pack", self.source, self.top / "new", "--algorithm", "zip"), 2, "zstd:22"),
                (("pack", self.source, self.top / "new", "--log-size", "9"), 2, "from 2 to 8"),
                (("pack", self.source, self.top / "new", "--threads", "0"), 2, "--threads"),
                (("unpack", self.source, self.top / "new"), 1, "no cluster file"),
                (("unpack", self.packed, self.source), 1, "File exists"),
                (("cat", self.packed, "--offset", "far"), 2, "512M"),
                (("verify", self.top), 1, "Is a directory"),
                (("stat", self.packed, "--estimate", "--log-size", "1"), 2, "from 2 to 8")):
            done = self.uzram(*words, status=status)
            self.assertIn(said, done.stderr.decode(), words)
            self.assertEqual(1, done.stderr.count(b"\n"), words)
        self.assertFalse((self.top / "new").exists())

    def test_a_reader_that_ends_early_is_an_error_without_noise(self):
        self.pack()
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = subprocess.run([uzram_program(), "cluster", "cat", str(self.packed)],
                                  stdout=writing, stderr=subprocess.PIPE, check=False)
        finally:
            os.close(writing)
        self.assertNotEqual(0, done.returncode)
        self.assertLessEqual(done.stderr.count(b"\n"), 1)


if __name__ == "__main__":
    unittest.main()
