# SPDX-License-Identifier: Apache-2.0
"""Random requests under every background job, for some seconds; by hand it runs for hours."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import random_jobs  # noqa: E402
from steps import PAGE_BYTES  # noqa: E402
from uzram_daemon import missing_for_a_disk  # noqa: E402


class RandomJobsTest(unittest.TestCase):
    def setUp(self):
        missing = missing_for_a_disk()
        if missing:
            self.skipTest(missing)

    def test_no_page_ever_has_other_bytes(self):
        counts = random_jobs.run_all(seconds=6, seed=7)
        self.assertGreater(counts["writes"], 1000)
        self.assertGreater(counts["recompress"], 2)
        self.assertGreater(counts["writeback"], 0)

    def test_a_difference_is_noticed(self):
        class Liar:
            @staticmethod
            def read(_):
                return b"\1" * PAGE_BYTES

        writer = random_jobs.Writer.__new__(random_jobs.Writer)
        writer.disk, writer.copy = Liar(), {}
        with self.assertRaises(random_jobs.OtherBytes):
            writer.check(3)


if __name__ == "__main__":
    unittest.main()
