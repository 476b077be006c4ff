# SPDX-License-Identifier: Apache-2.0
"""What a real f2fs wrote, Debian's kernel 6.12 in a small virtual machine, reads back equal.

The guest fills one image under several mount options, changes files the way programs do, and says
what it reads itself. Every cluster that it packed is compared with what ours would have been.
"""
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "vm"))

import f2fs_images as f2fs  # noqa: E402
import guest  # noqa: E402
from uzram_daemon import uzram_program  # noqa: E402

RUNS_BESIDE_OTHERS = True

# Folder: mount options. With log size 2 to 8, with checksums and without.
MOUNTS = {
    "lzo": "compress_algorithm=lzo,compress_log_size=2",
    "lzo-rle": "compress_algorithm=lzo-rle,compress_log_size=3,compress_chksum",
    "lz4": "compress_algorithm=lz4,compress_log_size=2,compress_chksum",
    "lz4hc": "compress_algorithm=lz4:9,compress_log_size=5",
    "zstd": "compress_algorithm=zstd,compress_log_size=2",
    "zstd7": "compress_algorithm=zstd:7,compress_log_size=8,compress_chksum",
}
MODULES = ["f2fs", "virtio_blk", "crc32_generic", "lzo", "lzo_rle", "lz4", "lz4hc", "zstd"]

_FILL = """\
mount -t f2fs -o {options},compress_extension=* /dev/vda /tmp/mnt
folder=/tmp/mnt/{name}
mkdir $folder
for file in kept overwritten truncated grown released reserved; do
  cp {source}/text $folder/$file
done
cp {source}/binary {source}/random $folder
dd if={source}/random of=$folder/sparse bs=4096 count=3 seek=900 status=none
sync
cd $folder
dd if={source}/random of=overwritten bs=1000 count=50 seek=30 conv=notrunc status=none
truncate -s 100001 truncated
cat {source}/random >>grown
f2fs_io release_cblocks released >/dev/null
f2fs_io release_cblocks reserved >/dev/null
f2fs_io reserve_cblocks reserved >/dev/null
for file in kept binary; do echo "SAVED {name}/$file $(f2fs_io get_cblocks $file)"; done
cd /
umount /tmp/mnt
"""

# A directory of several hash levels with holes in it, small files, and what else has a name.
_PLAIN = """\
mount -t f2fs /dev/vda /tmp/mnt
mkdir -p /tmp/mnt/plain/many
cd /tmp/mnt/plain
number=0
while [ $number -lt 700 ]; do
  echo "file $number" >many/entry-number-$number
  number=$((number + 1))
done
rm many/*3
ln many/entry-number-1 hard
ln -s many/entry-number-1 link
mkfifo fifo
chown 1234:5678 many hard fifo
chown -h 4321:8765 link
python3 -c 'import os
os.setxattr("hard", "user.note", bytes(3000))
os.setxattr("hard", "trusted.note", b"not for users")
os.setxattr("many", "user.kind", b"numbers")'
cd /
umount /tmp/mnt
"""
PLAIN_FILES = 700 - 70 + 1

_TELL = """\
mount -t f2fs -o ro /dev/vda /tmp/mnt
cd /tmp/mnt
find . -type f -exec sha256sum {} +
cd /
umount /tmp/mnt
"""


def guest_script(source):
    fills = [_FILL.format(name=name, options=options, source=source)
             for name, options in MOUNTS.items()]
    return "set -e\nmkdir -p /tmp/mnt\n" + "".join(fills) + _PLAIN + _TELL


class KernelImageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        guest.CACHE.mkdir(parents=True, exist_ok=True)
        # Where the guest sees it: its own /tmp hides the host's.
        cls.folder = tempfile.TemporaryDirectory(prefix="f2fs-", dir=guest.CACHE)
        cls.addClassCleanup(cls.folder.cleanup)
        cls.top = pathlib.Path(cls.folder.name)
        cls.source = cls.top / "source"
        cls.source.mkdir()
        random_bytes = hashlib.shake_256(b"f2fs").digest(100_000)
        (cls.source / "text").write_bytes(f2fs.words_of_text(110_000, 7)[:1_100_000])
        (cls.source / "binary").write_bytes(b"".join(
            (i * i).to_bytes(12, "little") + random_bytes[i:i + i // 512] for i in range(5_000)))
        (cls.source / "random").write_bytes(random_bytes)
        cls.image = cls.top / "image"
        try:
            f2fs.make_image(cls.image, 128, f2fs.FEATURES + ",flexible_inline_xattr")
            f2fs.tool("f2fs_io")
            script = cls.top / "fill.sh"
            script.write_text(guest_script(cls.source), encoding="utf-8")
            status, cls.said = guest.run(script, MODULES, disk=cls.image)
        except (f2fs.Unavailable, guest.Unavailable) as missing:
            raise unittest.SkipTest(str(missing))
        if status != 0:
            raise AssertionError(cls.said)

    def test_every_file_reads_as_the_kernel_reads_it(self):
        target = self.top / "out"
        f2fs.uzram("extract", self.image, "--to", target)
        told = {name: digest for digest, name in
                re.findall(r"^([0-9a-f]{64})  \./(\S+)$", self.said, re.M)}
        self.assertEqual(9 * len(MOUNTS) + PLAIN_FILES, len(told))
        for name, digest in told.items():
            self.assertEqual(digest, hashlib.sha256((target / name).read_bytes()).hexdigest(), name)
        for folder in MOUNTS:
            for name, origin in (("kept", "text"), ("binary", "binary"), ("random", "random")):
                self.assertTrue((self.source / origin).read_bytes() ==
                                (target / folder / name).read_bytes(), f"{folder}/{name}")

    def test_names_and_links_are_those_of_the_kernel(self):
        target = self.top / "plain"
        f2fs.uzram("extract", self.image, "plain", "--to", target)
        self.assertEqual({"many", "hard", "link", "fifo"}, {path.name for path in target.iterdir()})
        names = {f"entry-number-{number}" for number in range(700) if number % 10 != 3}
        self.assertEqual(names, {path.name for path in (target / "many").iterdir()})
        first = target / "many" / "entry-number-1"
        self.assertEqual(first.stat().st_ino, (target / "hard").stat().st_ino)
        self.assertEqual("many/entry-number-1", str((target / "link").readlink()))
        self.assertTrue((target / "fifo").is_fifo())
        said = f2fs.uzram("stat", self.image, "plain/hard").stdout.decode()
        self.assertIn("links: 2\n", said)
        self.assertIn("content: in the inode\n", said)
        self.assertIn("xattr: user.note (3000 bytes)\n", said)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to give files away")
    def test_owners_and_xattrs_come_along_when_asked_for(self):
        target = self.top / "owned"
        f2fs.uzram("extract", self.image, "plain", "--to", target, "--owners", "--xattrs")
        owners = {path.name: (path.lstat().st_uid, path.lstat().st_gid)
                  for path in target.iterdir()}
        self.assertEqual({"many": (1234, 5678), "hard": (1234, 5678), "fifo": (1234, 5678),
                          "link": (4321, 8765)}, owners)
        self.assertEqual(["user.note"], os.listxattr(target / "hard"))
        self.assertEqual(bytes(3000), os.getxattr(target / "hard", "user.note"))
        self.assertEqual(b"numbers", os.getxattr(target / "many", "user.kind"))

    def test_attributes_say_how_it_was_mounted(self):
        for folder, options in MOUNTS.items():
            said = f2fs.uzram("stat", self.image, f"{folder}/kept").stdout.decode()
            algorithm = re.search(r"algorithm=([^,]+)", options).group(1)
            log = int(re.search(r"log_size=(\d)", options).group(1))
            size = f"{4 << log}K" if log < 8 else "1M"
            checksums = "with" if "chksum" in options else "without"
            self.assertRegex(said, rf"compression: {algorithm}(:1)?, clusters of {size}, "
                                   rf"{checksums} checksums\n")
            self.assertIn("checksum: right\n", said)
            self.assertIn(", reserved for rewriting\n", said)
            released = f2fs.uzram("stat", self.image, f"{folder}/released").stdout.decode()
            self.assertIn("blocks, released\n", released)

    def test_checksums_are_right(self):
        for folder, options in MOUNTS.items():
            lines = f2fs.uzram("stat", self.image, f"{folder}/kept", "--clusters").stdout.decode()
            packed = [line for line in lines.splitlines() if " packed " in line]
            self.assertTrue(packed, folder)
            for line in packed:
                self.assertEqual("chksum" in options, line.endswith(", checksum right"), line)

    def test_estimates_are_what_the_kernel_saved(self):
        saved = {name: int(blocks) for name, blocks in
                 re.findall(r"^SAVED (\S+) (\d+)$", self.said, re.M)}
        self.assertEqual(2 * len(MOUNTS), len(saved))
        self.assertGreater(min(saved[f"{folder}/kept"] for folder in MOUNTS), 50)
        for name, blocks in saved.items():
            options = MOUNTS[name.split("/")[0]]
            algorithm = re.search(r"algorithm=([^,]+)", options).group(1)
            log = re.search(r"log_size=(\d)", options).group(1)
            said = f2fs.uzram("estimate", self.image, name, "--algorithm", algorithm, "--log-size",
                              log, "--bytes").stdout.decode()
            whole = int(re.search(r", (\d+)$", said.splitlines()[0]).group(1))
            ours = (whole - int(said.splitlines()[2].split()[2])) // 4096
            if algorithm.startswith("lzo"):
                # Other encoders for the same format: they pack a little better than the kernel's.
                self.assertGreaterEqual(ours, blocks, name)
            else:
                self.assertLessEqual(abs(ours - blocks), blocks // 100, name)

    def test_clusters_are_those_that_we_would_have_written(self):
        program = uzram_program().parent / "tests" / "compare_clusters"
        names = [f"{folder}/{name}" for folder in MOUNTS for name in ("kept", "binary")]
        said = subprocess.run([program, self.image, *names], check=True, capture_output=True,
                              text=True).stdout
        found = {line.split()[0]: list(map(int, line.split()[1:])) for line in said.splitlines()}
        self.assertEqual(set(names), set(found))
        for name, (same, different, packed_once) in found.items():
            if name.startswith("zstd"):
                self.assertEqual((0, 0), (different, packed_once), name)
            elif name.startswith("lz4"):
                # The library ends some blocks a few bytes sooner than the kernel's older copy.
                self.assertLessEqual(different + packed_once, 1 + same // 4, name)
        self.assertGreater(found["zstd/kept"][0], 50)
        self.assertGreater(found["lz4/kept"][0], 50)


if __name__ == "__main__":
    unittest.main()
