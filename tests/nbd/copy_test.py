#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whole images in and out, by nbdcopy and qemu-img: the bytes, and what they cost."""
from nbd_server import MIB, NbdCase, ask_plugin, main, require_program, sample_bytes

RUNS_BESIDE_OTHERS = True

IMAGE_BYTES = 24 * MIB


class CopyTest(NbdCase):
    def setUp(self):
        require_program("nbdcopy", "qemu-img")
        self.image = sample_bytes(IMAGE_BYTES, seed=11)

    def test_nbdcopy_in_and_out_keeps_every_byte_with_every_algorithm(self):
        image = self.image[:4 * MIB]
        for name in self.algorithms():
            with self.subTest(algorithm=name):
                server = self.serve("size=4M", f"algorithm={name}")
                self.write_file(server, "image", image)
                server.run("nbdcopy", "FOLDER/image", "URI")
                server.run("nbdcopy", "URI", "FOLDER/back")
                self.assertEqual(self.read_file(server, "back"), image)

    def algorithms(self):
        line = next(line for line in ask_plugin("--dump-plugin").splitlines()
                    if line.startswith("uzram_algorithms="))
        return line.partition("=")[2].split(", ")

    def test_several_connections_copy_one_image(self):
        server = self.serve("size=24M", "algorithm=lz4")
        self.write_file(server, "image", self.image)
        server.run("nbdcopy", "--connections=4", "--requests=64", "FOLDER/image", "URI")
        server.run("nbdcopy", "--connections=4", "--requests=64", "URI", "FOLDER/back")
        self.assertEqual(self.read_file(server, "back"), self.image)

    def test_an_image_costs_less_than_its_size(self):
        server = self.serve("size=24M", "algorithm=zstd", "control=FOLDER/control")
        self.write_file(server, "image", self.image)
        server.run("nbdcopy", "FOLDER/image", "URI")
        used = server.stat_column("mm_stat", 2)
        self.assertGreater(used, 0)
        self.assertLess(used, 0.7 * IMAGE_BYTES)

    def test_a_sparse_image_stays_sparse(self):
        server = self.serve("size=64M", "algorithm=lz4", "control=FOLDER/control")
        with open(server.path("image"), "wb") as image:
            image.truncate(64 * MIB)
            image.seek(20 * MIB)
            image.write(self.image[:MIB])
        server.run("nbdcopy", "FOLDER/image", "URI")
        self.assertLessEqual(server.stat_column("mm_stat", 0), MIB)
        server.run("nbdcopy", "URI", "FOLDER/back")
        self.assertEqual(self.read_file(server, "back"), self.read_file(server, "image"))

    def test_qemu_img_converts_a_qcow2_image_and_finds_it_identical(self):
        server = self.serve("size=24M", "algorithm=zstd")
        self.write_file(server, "image", self.image)
        server.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "FOLDER/image",
                   "FOLDER/image.qcow2")
        server.run("qemu-img", "convert", "-n", "-W", "-m", "8", "-f", "qcow2", "-O", "raw",
                   "FOLDER/image.qcow2", "URI")
        server.run("qemu-img", "compare", "-f", "qcow2", "-F", "raw", "FOLDER/image.qcow2", "URI")

    def test_qemu_img_finds_one_changed_byte(self):
        require_program("qemu-io")
        server = self.serve("size=24M", "algorithm=zstd")
        self.write_file(server, "image", self.image)
        server.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", "FOLDER/image", "URI")
        old = self.image[5_000_001]
        server.run("qemu-io", "-f", "raw", "-c", f"write -P {old ^ 1} 5000001 1", "URI")
        with self.assertRaisesRegex(AssertionError, "Content mismatch at offset"):
            server.run("qemu-img", "compare", "-f", "raw", "-F", "raw", "FOLDER/image", "URI")


if __name__ == "__main__":
    main()
