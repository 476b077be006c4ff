#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fio's nbd engine: every block carries a check of its own, over several connections at once."""
import json
import subprocess
import unittest

from nbd_server import NbdCase, main, require_program


def require_nbd_engine():
    require_program("fio")
    engines = subprocess.run(["fio", "--enghelp"], capture_output=True, text=True, check=False)
    if "nbd" not in engines.stdout.split():
        raise unittest.SkipTest("this fio has no nbd engine")


class FioTest(NbdCase):
    def setUp(self):
        require_nbd_engine()

    def fio(self, server, *options):
        printed = server.run("fio", "--name=check", "--ioengine=nbd", "--uri=URI",
                             "--verify=crc32c", "--verify_fatal=1",
                             "--verify_state_save=0", "--randseed=17",
                             "--buffer_compress_percentage=50", "--output-format=json", *options)
        jobs = json.loads(printed[printed.index("{"):])["jobs"]
        for job in jobs:
            self.assertEqual(job["error"], 0)
        return jobs

    def test_random_writes_of_four_connections_are_verified(self):
        server = self.serve("size=64M", "algorithm=lz4")
        jobs = self.fio(server, "--rw=randwrite", "--bs=4k", "--iodepth=16", "--numjobs=4",
                        "--size=8M", "--offset_increment=16M")
        self.assertEqual(len(jobs), 4)
        for job in jobs:
            self.assertEqual(job["write"]["io_bytes"], 8 << 20)
            self.assertGreaterEqual(job["read"]["io_bytes"], 8 << 20)

    def test_mixed_block_sizes_below_and_above_a_page_are_verified(self):
        server = self.serve("size=32M", "algorithm=zstd")
        self.fio(server, "--rw=randwrite", "--bsrange=512-128k", "--bs_unaligned=0",
                 "--blockalign=512", "--iodepth=8", "--size=16M")

    def test_blocks_stay_right_while_other_ranges_are_trimmed(self):
        server = self.serve("size=32M", "algorithm=lz4")
        self.fio(server, "--rw=randwrite", "--bs=4k", "--iodepth=16", "--size=8M", "--name=trim",
                 "--ioengine=nbd", "--uri=URI", "--rw=randtrim", "--bs=64k", "--offset=16M",
                 "--size=8M", "--verify=null")

    def test_one_changed_byte_is_noticed(self):
        server = self.serve("size=16M", "algorithm=lz4")
        require_program("qemu-io")
        options = ("--rw=randwrite", "--bs=4k", "--iodepth=4", "--size=4M")
        self.fio(server, *options)
        self.fio(server, *options, "--verify_only")
        server.run("qemu-io", "-f", "raw", "-c", "write -P 1 1048600 1", "URI")
        with self.assertRaisesRegex(AssertionError, "verify: bad|verify failed|crc32c"):
            self.fio(server, *options, "--verify_only")


if __name__ == "__main__":
    main()
