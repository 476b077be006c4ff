#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The protocol's corners, through libnbd: trim, zero, fast zero, flags, errors, a full disk."""
import errno
import random
import threading

from nbd_server import MIB, PAGE_BYTES, NbdCase, main, require_libnbd, sample_bytes

RUNS_BESIDE_OTHERS = True


def sample_noise(page_count):
    """Pages that do not pack."""
    numbers = random.Random(5)
    return [numbers.randbytes(PAGE_BYTES) for _ in range(page_count)]


class LibnbdCase(NbdCase):
    def setUp(self):
        self.nbd = require_libnbd()

    def connect(self, server):
        handle = self.nbd.NBD()
        handle.add_meta_context(self.nbd.CONTEXT_BASE_ALLOCATION)
        # What the client library would refuse by itself must reach the server.
        handle.set_strict_mode(0)
        handle.connect_uri(server.uri)
        return handle

    def extents(self, handle, count, offset, flags=0):
        """[(bytes, flags)]"""
        found = []

        def collect(_context, _offset, entries, _error):
            found.extend(zip(entries[::2], entries[1::2]))

        handle.block_status(count, offset, collect, flags)
        return found

    def assert_refused(self, code, call, *arguments):
        with self.assertRaises(self.nbd.Error) as caught:
            call(*arguments)
        self.assertEqual(caught.exception.errnum, code, caught.exception)


class SemanticsTest(LibnbdCase):
    def test_trim_frees_whole_pages_and_leaves_parts(self):
        handle = self.connect(self.serve("size=1M"))
        handle.pwrite(b"x" * (4 * PAGE_BYTES), 0)
        handle.trim(2 * PAGE_BYTES + 10, PAGE_BYTES - 5)
        self.assertEqual(handle.pread(4 * PAGE_BYTES, 0),
                         b"x" * PAGE_BYTES + bytes(2 * PAGE_BYTES) + b"x" * PAGE_BYTES)

    def test_zero_is_exact_to_the_byte_and_makes_holes(self):
        handle = self.connect(self.serve("size=1M"))
        handle.pwrite(b"x" * (4 * PAGE_BYTES), 0)
        handle.zero(2 * PAGE_BYTES, PAGE_BYTES // 2)
        self.assertEqual(handle.pread(4 * PAGE_BYTES, 0), b"x" * (PAGE_BYTES // 2)
                         + bytes(2 * PAGE_BYTES) + b"x" * (3 * PAGE_BYTES // 2))
        kinds = self.extents(handle, 4 * PAGE_BYTES, 0)
        self.assertEqual(kinds, [(PAGE_BYTES, 0),
                                 (PAGE_BYTES, self.nbd.STATE_HOLE | self.nbd.STATE_ZERO),
                                 (2 * PAGE_BYTES, 0)])

    def test_fast_zero_succeeds_with_every_combination_of_flags(self):
        handle = self.connect(self.serve("size=1M"))
        fast, no_hole, fua = (self.nbd.CMD_FLAG_FAST_ZERO, self.nbd.CMD_FLAG_NO_HOLE,
                              self.nbd.CMD_FLAG_FUA)
        for flags in (fast, fast | no_hole, fast | fua, fast | no_hole | fua):
            handle.pwrite(b"x" * 3 * PAGE_BYTES, 100)
            handle.zero(3 * PAGE_BYTES, 100, flags)
            self.assertEqual(handle.pread(4 * PAGE_BYTES, 0), bytes(4 * PAGE_BYTES))

    def test_a_terabyte_is_zeroed_and_trimmed_at_once(self):
        server = self.serve("size=1T", "control=FOLDER/control")
        handle = self.connect(server)
        handle.pwrite(b"x" * PAGE_BYTES, (1 << 40) - PAGE_BYTES)
        most = 0xFFFFF000
        for offset in range(0, 1 << 40, most):
            handle.zero(min(most, (1 << 40) - offset), offset)
        self.assertEqual(handle.pread(PAGE_BYTES, (1 << 40) - PAGE_BYTES), bytes(PAGE_BYTES))
        handle.trim(most, 0)
        self.assertEqual(server.stat_column("mm_stat", 0), 0)

    def test_flags_that_ask_for_durability_are_taken(self):
        handle = self.connect(self.serve("size=1M"))
        handle.pwrite(b"y" * PAGE_BYTES, 0, self.nbd.CMD_FLAG_FUA)
        handle.trim(PAGE_BYTES, PAGE_BYTES, self.nbd.CMD_FLAG_FUA)
        handle.flush()
        handle.cache(MIB, 0)
        self.assertEqual(handle.pread(PAGE_BYTES, 0), b"y" * PAGE_BYTES)

    def test_one_extent_is_answered_when_one_is_asked_for(self):
        handle = self.connect(self.serve("size=1M"))
        for page in range(0, 16, 2):
            handle.pwrite(b"z" * PAGE_BYTES, page * PAGE_BYTES)
        self.assertEqual(len(self.extents(handle, MIB, 0, self.nbd.CMD_FLAG_REQ_ONE)), 1)
        self.assertEqual(len(self.extents(handle, MIB, 0)), 16)

    def test_an_extent_asked_for_inside_a_page_starts_there(self):
        handle = self.connect(self.serve("size=1M"))
        handle.pwrite(b"z" * PAGE_BYTES, PAGE_BYTES)
        hole = self.nbd.STATE_HOLE | self.nbd.STATE_ZERO
        self.assertEqual(self.extents(handle, 2 * PAGE_BYTES, 1000),
                         [(PAGE_BYTES - 1000, hole), (PAGE_BYTES, 0), (1000, hole)])

    def test_requests_beyond_the_end_are_refused_and_the_server_lives(self):
        handle = self.connect(self.serve("size=1M"))
        self.assert_refused(errno.EINVAL, handle.pread, PAGE_BYTES, MIB - 100)
        self.assert_refused(errno.ENOSPC, handle.pwrite, b"x" * PAGE_BYTES, MIB - 100)
        self.assertEqual(handle.pread(100, MIB - 100), bytes(100))

    def test_every_connection_sees_what_one_was_told_is_written(self):
        server = self.serve("size=8M", "algorithm=lz4")
        writer, reader = self.connect(server), self.connect(server)
        self.assertTrue(writer.can_multi_conn())
        data = sample_bytes(MIB, seed=3)
        for offset in range(0, MIB, 64 << 10):
            writer.pwrite(data[offset:offset + (64 << 10)], offset)
            self.assertEqual(reader.pread(64 << 10, offset), data[offset:offset + (64 << 10)])

    def test_connections_that_write_at_once_keep_their_own_pages(self):
        server = self.serve("size=8M", "algorithm=zstd")
        data = [sample_bytes(2 * MIB, seed=seed) for seed in range(4)]
        errors = []

        def fill(index):
            try:
                handle = self.nbd.NBD()
                handle.connect_uri(server.uri)
                for offset in range(0, 2 * MIB, 10000):
                    handle.pwrite(data[index][offset:offset + 10000], index * 2 * MIB + offset)
                handle.shutdown()
            except self.nbd.Error as error:
                errors.append(error)

        threads = [threading.Thread(target=fill, args=(index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])
        handle = self.connect(server)
        for index in range(4):
            self.assertEqual(handle.pread(2 * MIB, index * 2 * MIB), data[index])


class FullDiskTest(LibnbdCase):
    """mem_limit: a write that does not fit fails, and nothing that was stored is lost."""

    def fill_until_refused(self, handle, pages):
        """Writes page after page. Returns the index of the first one refused."""
        for index, page in enumerate(pages):
            try:
                handle.pwrite(page, index * PAGE_BYTES)
            except self.nbd.Error as error:
                self.assertEqual(error.errnum, errno.ENOSPC, error)
                return index
        self.fail("mem_limit was never reached")

    def test_a_full_disk_keeps_everything_that_it_acknowledged(self):
        server = self.serve("size=64M", "algorithm=lz4", "mem_limit=1M", "control=FOLDER/control")
        handle = self.connect(server)
        noise = sample_noise(1024)
        stored = self.fill_until_refused(handle, noise)
        self.assertGreater(stored, 128)
        self.assertLessEqual(server.stat_column("mm_stat", 2), MIB)
        for index in range(stored):
            self.assertEqual(handle.pread(PAGE_BYTES, index * PAGE_BYTES), noise[index])
        self.assertEqual(handle.pread(PAGE_BYTES, stored * PAGE_BYTES), bytes(PAGE_BYTES))
        self.assertIn("mem_limit", server.log())

    def test_a_refused_overwrite_leaves_the_old_content(self):
        handle = self.connect(self.serve("size=64M", "algorithm=lz4", "mem_limit=1M"))
        small = (b"a few words " * 400)[:PAGE_BYTES]
        handle.pwrite(small, 63 * MIB)
        noise = sample_noise(1024)
        self.fill_until_refused(handle, noise)
        self.assert_refused(errno.ENOSPC, handle.pwrite, noise[-1], 63 * MIB)
        self.assertEqual(handle.pread(PAGE_BYTES, 63 * MIB), small)

    def test_trimming_and_shrinking_succeed_on_a_full_disk_and_make_room(self):
        handle = self.connect(self.serve("size=64M", "algorithm=lz4", "mem_limit=1M"))
        noise = sample_noise(1024)
        stored = self.fill_until_refused(handle, noise)
        handle.pwrite(bytes(PAGE_BYTES), 0)
        handle.pwrite((b"a few words " * 400)[:PAGE_BYTES], PAGE_BYTES)
        handle.trim(64 * PAGE_BYTES, 2 * PAGE_BYTES)
        handle.zero(16 * PAGE_BYTES, 66 * PAGE_BYTES)
        for index in range(32):
            handle.pwrite(noise[1000 - index], (stored + index) * PAGE_BYTES)
            self.assertEqual(handle.pread(PAGE_BYTES, (stored + index) * PAGE_BYTES),
                             noise[1000 - index])

    def test_a_limit_raised_over_the_control_socket_makes_room(self):
        server = self.serve("size=64M", "algorithm=lz4", "mem_limit=1M", "control=FOLDER/control")
        handle = self.connect(server)
        noise = sample_noise(1024)
        stored = self.fill_until_refused(handle, noise)
        answer = server.control(op="set", device="zram0", attribute="mem_limit", value="8M")
        self.assertTrue(answer["ok"], answer)
        handle.pwrite(noise[stored], stored * PAGE_BYTES)
        self.assertEqual(handle.pread(PAGE_BYTES, stored * PAGE_BYTES), noise[stored])


if __name__ == "__main__":
    main()
