# SPDX-License-Identifier: Apache-2.0
"""fio writes the disk at random with checks and reads every block back."""
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import DaemonTest, run  # noqa: E402


class FioTest(DaemonTest):
    def verify(self, algorithm, *options):
        """fio fails on the first block with other bytes. Returns: its report of the job."""
        self.need("fio")
        _, disk = self.daemon.create("--size", "128M", "--algorithm", algorithm)
        done = run("fio", "--name=verify", f"--filename={disk}", "--size=128M", "--direct=1",
                   "--ioengine=libaio", "--verify=crc32c", "--verify_fatal=1", "--do_verify=1",
                   "--verify_state_save=0",
                   "--buffer_compress_percentage=60", "--output-format=json", *options)
        return json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]

    def check(self, job):
        self.assertEqual(0, job["error"])
        self.assertGreaterEqual(job["write"]["io_bytes"], 120 << 20)
        self.assertGreaterEqual(job["read"]["io_bytes"], 120 << 20)

    def test_random_pages_at_depth_16(self):
        self.check(self.verify("lz4", "--rw=randwrite", "--bs=4k", "--iodepth=16"))

    def test_random_pages_packed_with_zstd(self):
        self.check(self.verify("zstd", "--rw=randwrite", "--bs=4k", "--iodepth=4"))

    def test_requests_of_mixed_sizes(self):
        self.check(self.verify("lzo-rle", "--rw=randwrite", "--bsrange=4k-1m", "--iodepth=8"))

    def test_large_requests_in_order(self):
        self.check(self.verify("lz4", "--rw=write", "--bs=1m", "--iodepth=4"))


if __name__ == "__main__":
    unittest.main()
