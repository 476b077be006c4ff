# SPDX-License-Identifier: Apache-2.0
"""Images of mkfs.f2fs and sload.f2fs read back equal to their sources."""
import os
import pathlib
import random
import shutil
import tempfile
import unittest

import f2fs_images as f2fs

RUNS_BESIDE_OTHERS = True


def make_sources(folder):
    """Files of every size class, a large directory, deep ones, odd names, links."""
    def put(name, content):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    put("empty", b"")
    put("small", b"inline, if the file system likes\n")
    put("page", f2fs.words_of_text(600, 1)[:4096])
    put("text", f2fs.words_of_text(60_000, 2))
    put("random", random.Random(3).randbytes(300_000))
    # Beyond what the inode and its two direct nodes reach.
    put("indirect", b"".join(i.to_bytes(4, "little") for i in range(13 << 18)))
    for number in range(1500):
        put(f"many/a file with the number {number}", str(number).encode())
    put("deep/" + "/".join("abcdefghij") + "/leaf", b"leaf")
    put("names/" + "n" * 255, b"long")
    put("names/with space and \u00fcmlaut", b"odd")
    put("names/8 bytes.", b"one slot")
    os.symlink("../text", folder / "names" / "link")


class SloadTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="uzram-f2fs-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.top = pathlib.Path(cls.folder.name)
        cls.source = cls.top / "source"
        make_sources(cls.source)

    def make(self, features=f2fs.FEATURES, options=()):
        """An image that no test changes."""
        image = self.top / ("-".join(["image", features, *options]) + ".img")
        if image.exists():
            return image
        try:
            f2fs.make_image(image, 96, features)
            f2fs.load_image(image, self.source, *options)
        except f2fs.Unavailable as missing:
            image.unlink(missing_ok=True)
            self.skipTest(str(missing))
        return image

    def assert_extracts(self, image):
        target = self.top / f"{image.stem}.out"
        f2fs.uzram("extract", image, "--to", target)
        expected, found = f2fs.contents(self.source), f2fs.contents(target)
        self.assertEqual(set(expected), set(found))
        for name, content in expected.items():
            self.assertTrue(content == found[name], name)

    def test_extract_gives_back_what_was_loaded(self):
        self.assert_extracts(self.make())

    def test_an_image_without_any_feature(self):
        self.assert_extracts(self.make(features=""))

    def test_compressed_with_lz4(self):
        self.assert_extracts(self.make(options=("-c", "-a", "lz4", "-L", "3")))

    def test_compressed_with_lzo_and_released(self):
        self.assert_extracts(self.make(options=("-c", "-a", "lzo", "-r")))

    def test_commands_show_one_image(self):
        image = self.make()
        stat = f2fs.uzram("stat", image).stdout.decode()
        self.assertIn("label: test\n", stat)
        self.assertIn("compression", stat)
        self.assertIn(", clean\n", stat)
        names = f2fs.uzram("ls", image, "/").stdout.decode().splitlines()
        self.assertEqual(sorted(path.name for path in self.source.iterdir()), names)
        self.assertEqual(1500, len(f2fs.uzram("ls", image, "many").stdout.splitlines()))
        everything = f2fs.uzram("ls", image, "-r").stdout.decode().splitlines()
        self.assertEqual(set(f2fs.contents(self.source)), set(everything))
        [line] = f2fs.uzram("ls", image, "text", "-l").stdout.decode().splitlines()
        self.assertRegex(line, rf"^-rw.* {(self.source / 'text').stat().st_size} .* text$")
        text = (self.source / "text").read_bytes()
        part = f2fs.uzram("cat", image, "text", "--offset", "5000", "--length", "9000").stdout
        self.assertEqual(text[5000:14000], part)
        self.assertEqual(b"", f2fs.uzram("cat", image, "text", "--offset", "1G").stdout)
        self.assertEqual(b"../text", f2fs.uzram("cat", image, "names/link").stdout)
        self.assertIn("checksum: right", f2fs.uzram("stat", image, "text").stdout.decode())

    def test_estimate_counts_by_the_rule(self):
        image = self.make()
        said = f2fs.uzram("estimate", image, "random", "--algorithm", "zstd:3", "--log-size",
                          "2").stdout.decode()
        self.assertRegex(said, r"(?m)^zstd:3 +16K +296K +0\.0% +0\.0%$")
        said = f2fs.uzram("estimate", image, "text", "--log-size", "4").stdout.decode()
        saved = {line.split()[0]: float(line.split()[3].rstrip("%"))
                 for line in said.splitlines()[2:]}
        self.assertEqual({"lzo", "lzo-rle", "lz4", "zstd"}, set(saved))
        self.assertGreater(saved["zstd"], saved["lz4"])
        self.assertGreater(saved["lz4"], 10)

    def test_what_was_asked_for_wrongly_is_one_line(self):
        image = self.make()
        for words, status, said in (
                (("ls", image, "none"), 2, "there is no 'none'"),
                (("ls", image, "text/below"), 1, "not a directory"),
                (("cat", image, "many"), 2, "is not a file"),
                (("stat", image, "text", "--clusters"), 2, "only compressed files"),
                (("ls", self.source / "text"), 1, "no f2fs"),
                (("ls", self.source), 1, "Is a directory"),
                (("ls", self.top / "absent"), 1, "No such file"),
                (("estimate", image, "--algorithm", "lz5"), 2, "zstd:22"),
                (("estimate", image, "--log-size", "9"), 2, "from 2 to 8"),
                (("extract", image, "small", "--to", image), 1, "Not a directory")):
            done = f2fs.uzram(*words, check=False)
            self.assertEqual(status, done.returncode, words)
            self.assertIn(said, done.stderr.decode(), words)
            self.assertEqual(1, done.stderr.count(b"\n"), words)

    def test_extract_writes_over_nothing(self):
        image = self.make()
        target = self.top / "taken"
        target.mkdir()
        (target / "small").write_text("mine", encoding="utf-8")
        (target / "many").symlink_to(self.top)
        done = f2fs.uzram("extract", image, "--to", target, check=False)
        self.assertEqual(1, done.returncode)
        self.assertIn(b"small: File exists", done.stderr)
        self.assertEqual("mine", (target / "small").read_text(encoding="utf-8"))
        self.assertFalse((self.top / "a file with the number 1").exists())
        self.assertEqual(b"leaf", (target / "deep/a/b/c/d/e/f/g/h/i/j/leaf").read_bytes())

    def test_a_damaged_file_costs_itself_alone(self):
        image = self.top / "damaged.img"
        shutil.copy(self.make(), image)
        inode = int(f2fs.uzram("stat", image, "text").stdout.decode().split()[1])
        damaged = bytearray(image.read_bytes())
        # The inode's block: found by its own number in the footer, in the main area.
        footer = inode.to_bytes(4, "little") * 2
        [block] = [at for at in range(0, len(damaged), 4096)
                   if damaged[at + 4072:at + 4080] == footer and damaged[at + 92:at + 96] ==
                   b"text"]
        damaged[block + 396:block + 400] = b"\x01\x00\x00\x00"  # Its first block.
        image.write_bytes(damaged)
        target = self.top / "damaged.out"
        done = f2fs.uzram("extract", image, "--to", target, check=False)
        self.assertEqual(1, done.returncode)
        self.assertIn(f"text: inode {inode}: block 1 is not in the main area".encode(), done.stderr)
        self.assertEqual((self.source / "random").read_bytes(), (target / "random").read_bytes())


if __name__ == "__main__":
    unittest.main()
