#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""qemu-io's patterns: what is written is read, at any alignment; what is zeroed reads as zeros."""
from nbd_server import NbdCase, main, require_program

RUNS_BESIDE_OTHERS = True


class QemuIoTest(NbdCase):
    def setUp(self):
        require_program("qemu-io")
        self.server = self.serve("size=8M", "algorithm=zstd")

    def qemu_io(self, *commands):
        words = [word for command in commands for word in ("-c", command)]
        return self.server.run("qemu-io", "-f", "raw", "-d", "unmap", *words, "URI")

    def assert_pattern(self, pattern, offset, count):
        printed = self.qemu_io(f"read -P {pattern} {offset} {count}")
        self.assertNotIn("verification failed", printed)

    def test_a_wrong_pattern_is_noticed(self):
        self.qemu_io("write -P 1 0 64k")
        with self.assertRaisesRegex(AssertionError, "verification failed"):
            self.assert_pattern(2, 0, 4096)

    def test_pages_keep_their_pattern(self):
        self.qemu_io("write -P 0x5a 1M 1M", "write -P 0xa5 2M 4k")
        self.assert_pattern(0x5A, "1M", "1M")
        self.assert_pattern(0xA5, "2M", "4k")
        self.assert_pattern(0, 0, "1M")
        self.assert_pattern(0, 2 * 1024 * 1024 + 4096, 4096)

    def test_sectors_inside_a_page_leave_its_other_sectors(self):
        self.qemu_io("write -P 1 0 4k", "write -P 2 512 512", "write -P 3 3584 1024")
        self.assert_pattern(1, 0, 512)
        self.assert_pattern(2, 512, 512)
        self.assert_pattern(1, 1024, 2560)
        self.assert_pattern(3, 3584, 1024)
        self.assert_pattern(0, 4608, 3584)

    def test_a_write_across_many_pages_at_odd_bytes(self):
        self.qemu_io("write -P 9 1000003 1234567")
        self.assert_pattern(0, 0, 1000003)
        self.assert_pattern(9, 1000003, 1234567)
        self.assert_pattern(0, 1000003 + 1234567, 4096)

    def test_zeroed_ranges_read_as_zeros_to_the_byte(self):
        self.qemu_io("write -P 7 0 256k", "write -z 10000 100000")
        self.assert_pattern(7, 0, 10000)
        self.assert_pattern(0, 10000, 100000)
        self.assert_pattern(7, 110000, 256 * 1024 - 110000)

    def test_zeroing_with_unmap_reads_as_zeros_too(self):
        self.qemu_io("write -P 7 0 64k", "write -z -u 0 32k")
        self.assert_pattern(0, 0, "32k")
        self.assert_pattern(7, "32k", "32k")

    def test_discarded_pages_read_as_zeros(self):
        self.qemu_io("write -P 7 0 64k", "discard 4k 8k")
        self.assert_pattern(7, 0, "4k")
        self.assert_pattern(0, "4k", "8k")
        self.assert_pattern(7, "12k", "52k")

    def test_forced_unit_access_and_flush_are_taken(self):
        self.qemu_io("write -f -P 3 0 4k", "flush", "write -z -f 4k 4k")
        self.assert_pattern(3, 0, "4k")

    def test_vectored_and_queued_writes_do_not_mix(self):
        self.qemu_io(*[f"aio_write -P {i + 1} {i * 8192 + 100} 8192" for i in range(32)],
                     "aio_flush")
        for i in range(32):
            self.assert_pattern(i + 1, i * 8192 + 100, 8192)


if __name__ == "__main__":
    main()
