#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What nbdinfo sees: size, abilities, and the map of holes and data."""
import json
import subprocess

from nbd_server import MIB, PAGE_BYTES, NbdCase, main, require_program, sample_bytes

RUNS_BESIDE_OTHERS = True


class NbdinfoTest(NbdCase):
    def setUp(self):
        require_program("nbdinfo", "nbdcopy", "qemu-io")

    def export(self, server):
        return json.loads(server.run("nbdinfo", "--json", "URI"))["exports"][0]

    def disk_map(self, server):
        """[(bytes, kind)]"""
        return [(extent["length"], extent["description"])
                for extent in json.loads(server.run("nbdinfo", "--map", "--json", "URI"))]

    def test_every_ability_is_offered(self):
        export = self.export(self.serve("size=1G", "algorithm=zstd"))
        for ability in ("can_cache", "can_fast_zero", "can_flush", "can_fua", "can_multi_conn",
                        "can_trim", "can_zero", "can_df"):
            self.assertIs(export[ability], True, ability)
        self.assertIs(export["is_rotational"], False)
        self.assertIs(export["is_read_only"], False)
        self.assertEqual(export["export-size"], 1 << 30)
        self.assertIn("base:allocation", export["contexts"])

    def test_block_sizes_say_that_pages_are_best_and_bytes_are_served(self):
        export = self.export(self.serve("16M"))
        self.assertEqual(export["block_size_minimum"], 1)
        self.assertEqual(export["block_size_preferred"], PAGE_BYTES)
        self.assertEqual(export["block_size_maximum"], 32 * MIB)

    def test_size_is_rounded_up_to_pages(self):
        self.assertEqual(self.export(self.serve("size=1048577"))["export-size"], MIB + PAGE_BYTES)

    def test_readonly_server_offers_no_writing(self):
        self.assertIs(self.export(self.serve("size=1M", "-r"))["is_read_only"], True)

    def test_empty_disk_is_one_hole(self):
        self.assertEqual(self.disk_map(self.serve("size=1G")), [(1 << 30, "hole,zero")])

    def test_written_pages_are_data_and_trimmed_pages_holes_again(self):
        server = self.serve("size=1M", "algorithm=lz4")
        server.run("qemu-io", "-f", "raw", "-c", "write -P 7 64k 128k", "URI")
        self.assertEqual(self.disk_map(server),
                         [(64 << 10, "hole,zero"), (128 << 10, "data"), (832 << 10, "hole,zero")])
        server.run("qemu-io", "-f", "raw", "-d", "unmap", "-c", "discard 64k 64k", "URI")
        self.assertEqual(self.disk_map(server),
                         [(128 << 10, "hole,zero"), (64 << 10, "data"), (832 << 10, "hole,zero")])

    def test_written_zeros_read_as_zeros_without_being_read(self):
        server = self.serve("size=1M")
        server.run("qemu-io", "-f", "raw", "-c", "write -P 0 0 64k", "-c", "write -P 1 64k 64k",
                   "URI")
        kinds = self.disk_map(server)
        self.assertEqual(kinds[0][0], 64 << 10)
        self.assertIn("zero", kinds[0][1])
        self.assertEqual(kinds[1], (64 << 10, "data"))

    def test_map_covers_the_disk_when_every_second_page_is_stored(self):
        server = self.serve("size=4M")
        page = sample_bytes(64 * PAGE_BYTES, seed=4)[:PAGE_BYTES]
        image = b"".join(page if i % 2 else bytes(PAGE_BYTES) for i in range(1024))
        self.write_file(server, "image", image)
        server.run("nbdcopy", "--destination-is-zero", "FOLDER/image", "URI")
        extents = self.disk_map(server)
        self.assertEqual(sum(length for length, _ in extents), 4 * MIB)
        self.assertEqual(len(extents), 1024)

    def test_size_of_an_export_is_printed_for_scripts(self):
        server = self.serve("size=3M")
        self.assertEqual(server.run("nbdinfo", "--size", "URI").strip(), str(3 * MIB))
        for ability in ("multi-conn", "fast-zero", "trim"):
            asked = subprocess.run(["nbdinfo", "--can", ability, server.uri], check=False)
            self.assertEqual(asked.returncode, 0, ability)


if __name__ == "__main__":
    main()
