# SPDX-License-Identifier: Apache-2.0
"""What README says of damage in memory, on the built daemon and its real memory file."""
import errno
import mmap
import os
import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import DaemonTest  # noqa: E402

PAGE = 4096
COUNT = 64
TOKEN = 64


def pages_with_tokens(seed):
    """Pages that pack well; lz4 keeps the token of each as it is."""
    generator = random.Random(seed)
    return [generator.randbytes(TOKEN) + bytes(PAGE - TOKEN) for _ in range(COUNT)]


class DamageTest(DaemonTest):
    def memory_file(self):
        folder = pathlib.Path(f"/proc/{self.daemon.process.pid}/fd")
        found = [entry for entry in folder.iterdir() if "memfd:" in os.readlink(entry)]
        self.assertEqual(1, len(found), "one device has one memory file")
        descriptor = os.open(found[0], os.O_RDWR)
        self.addCleanup(os.close, descriptor)
        return descriptor

    @staticmethod
    def stretches(descriptor):
        """The parts of the sparse file that hold something: (offset, bytes)."""
        position = 0
        while True:
            try:
                start = os.lseek(descriptor, position, os.SEEK_DATA)
            except OSError as problem:
                if problem.errno == errno.ENXIO:
                    return
                raise
            position = os.lseek(descriptor, start, os.SEEK_HOLE)
            yield start, os.pread(descriptor, position - start, start)

    def flip(self, descriptor, token, at):
        """Flips one byte of the token where the daemon keeps it."""
        for start, content in self.stretches(descriptor):
            found = content.find(token)
            if found >= 0:
                place = start + found + at
                damaged = bytes([content[found + at] ^ 0x5A])
                self.assertEqual(1, os.pwrite(descriptor, damaged, place))
                return
        self.fail("the page is not in the memory file")

    def test_a_damaged_packed_page_is_an_error_and_its_neighbours_read(self):
        _, disk = self.daemon.create("--size", "16M", "--algorithm", "lz4")
        pages = pages_with_tokens(seed=1)
        # Past the page cache: what is read is what the daemon answers.
        descriptor = os.open(disk, os.O_RDWR | os.O_DIRECT)
        self.addCleanup(os.close, descriptor)
        buffer = memoryview(mmap.mmap(-1, PAGE))
        for number, page in enumerate(pages):
            buffer[:] = page
            os.pwritev(descriptor, [buffer], number * PAGE)
        memory = self.memory_file()
        damaged = set(range(0, COUNT, 3))
        for number in damaged:
            self.flip(memory, pages[number][:TOKEN], at=number % TOKEN)
        for number, page in enumerate(pages):
            if number in damaged:
                with self.assertRaises(OSError) as refused:
                    os.preadv(descriptor, [buffer], number * PAGE)
                self.assertEqual(errno.EIO, refused.exception.errno)
            else:
                self.assertEqual(PAGE, os.preadv(descriptor, [buffer], number * PAGE))
                self.assertEqual(page, bytes(buffer))
        # A write heals the page.
        for number in damaged:
            buffer[:] = pages[number]
            os.pwritev(descriptor, [buffer], number * PAGE)
            os.preadv(descriptor, [buffer], number * PAGE)
            self.assertEqual(pages[number], bytes(buffer))


if __name__ == "__main__":
    unittest.main()
