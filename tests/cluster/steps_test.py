# SPDX-License-Identifier: Apache-2.0
"""Random operations on cluster files of every kind against plain bytes, through the library.

UZRAM_STEPS sets how many steps each seed has: an hour's worth is 20 million.
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import uzram_program  # noqa: E402

RUNS_BESIDE_OTHERS = True

STEPS = int(os.environ.get("UZRAM_STEPS", 1500))


class StepsTest(unittest.TestCase):
    def test_a_cluster_file_holds_what_was_written(self):
        program = uzram_program().parent / "tests" / "file_steps"
        kinds = set()
        with tempfile.TemporaryDirectory(prefix="uzram-steps-") as folder:
            for seed in range(8):
                done = subprocess.run([program, "library", f"{folder}/{seed}", str(seed),
                                       str(STEPS)], capture_output=True, text=True, check=False)
                self.assertEqual(0, done.returncode, done.stdout + done.stderr)
                kinds.add(done.stdout.partition(",")[0])
        self.assertLess(2, len(kinds))  # Algorithms: the seed chooses one.


if __name__ == "__main__":
    unittest.main()
