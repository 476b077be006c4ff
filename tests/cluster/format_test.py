# SPDX-License-Identifier: Apache-2.0
"""Cluster files read by docs/format.md alone, by a reader that knows nothing of the program."""
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import uzram_program  # noqa: E402

RUNS_BESIDE_OTHERS = True

BLOCK = 4096
HOLE, PACKED, RAW, MAP = range(4)


def checksum(content, start=0xF2F52010):
    return zlib.crc32(content, start ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


class Reader:
    """Roots, map and clusters of a file in memory. Asserts what the page says."""

    def __init__(self, content):
        self.content = content
        roots = [root for root in map(self.root, (0, 1)) if root]
        self.generation, self.size, self.log_pages, self.flags, self.depth, self.top = max(roots)
        self.seen = {0, 1}
        self.clusters = {}
        if self.depth:
            self.walk(self.depth, 0, self.top)

    def blocks(self, first, count):
        return self.content[first * BLOCK:(first + count) * BLOCK]

    def root(self, slot):
        block = self.blocks(slot, 1)
        magic, version, stored, generation, size = struct.unpack_from("<8sIIQQ", block)
        if magic != b"uzramcf\0" or stored != checksum(block[:12] + bytes(4) + block[16:]):
            return None
        assert version == 1 and generation % 2 == slot and not any(block[56:])
        _, log_pages, _, flags, depth = struct.unpack_from("<BBBBI", block, 32)
        return generation, size, log_pages, flags, depth, block[40:56]

    def walk(self, level, first_cluster, entry):
        """`level` map blocks lead from this entry to a cluster."""
        stored, count, kind, zero, first = struct.unpack("<IHBBQ", entry)
        if kind == HOLE:
            assert entry == bytes(16)
            return
        assert zero == 0 and (kind == MAP) == (level > 0)
        named = range(first, first + count)
        assert not self.seen.intersection(named), "blocks with two owners"
        self.seen.update(named)
        content = self.blocks(first, count)
        assert len(content) == count * BLOCK
        assert stored == checksum(struct.pack("<Q", first_cluster) + content)
        if kind != MAP:
            self.clusters[first_cluster] = (kind, content)
            return
        for slot in range(256):
            self.walk(level - 1, first_cluster + slot * 256 ** (level - 1),
                      content[slot * 16:slot * 16 + 16])


class FormatTest(unittest.TestCase):
    def pack(self, content, *options):
        with tempfile.TemporaryDirectory(prefix="uzram-format-") as folder:
            path = pathlib.Path(folder) / "packed"
            subprocess.run([uzram_program(), "cluster", "pack", "-", path, *options], check=True,
                           input=content)
            return Reader(path.read_bytes())

    def test_the_page_is_enough_to_read_what_is_raw(self):
        content = random.Random(1).randbytes(300_000)
        reader = self.pack(content)
        self.assertEqual((1, len(content), 2, 0), (reader.depth, reader.size, reader.log_pages,
                                                   reader.flags))
        self.assertEqual({RAW}, {kind for kind, _ in reader.clusters.values()})
        found = b"".join(reader.clusters[number][1] for number in sorted(reader.clusters))
        self.assertTrue(found[:len(content)] == content)
        self.assertFalse(any(found[len(content):]))

    def test_packed_clusters_are_those_of_f2fs(self):
        reader = self.pack(b"0123456789abcdef" * 10_000, "--log-size", "3", "--checksum")
        self.assertEqual(1, reader.flags)
        kinds = [reader.clusters[number][0] for number in sorted(reader.clusters)]
        self.assertEqual([PACKED] * 4 + [RAW], kinds)
        for kind, blocks in reader.clusters.values():
            if kind == PACKED:
                length, stored, *reserved = struct.unpack_from("<6I", blocks)
                self.assertEqual([0] * 4, reserved)
                self.assertEqual(checksum(blocks[24:24 + length]), stored)
                self.assertFalse(any(blocks[24 + length:]))

    def test_a_large_file_has_a_map_of_several_levels(self):
        hole = bytes(24 << 20)
        reader = self.pack(hole + b"end")
        self.assertEqual(2, reader.depth)
        [(number, (kind, blocks))] = reader.clusters.items()
        self.assertEqual(((24 << 20) // 16384, RAW), (number, kind))
        self.assertEqual(b"end" + bytes(BLOCK - 3), blocks)

    def test_nothing_is_stored_for_nothing(self):
        reader = self.pack(b"")
        self.assertEqual((0, 0), (reader.depth, reader.size))
        self.assertEqual(2 * BLOCK, len(reader.content))


if __name__ == "__main__":
    unittest.main()
