# SPDX-License-Identifier: Apache-2.0
"""stress-ng on a third of its memory: patterns that it writes, and verifies, page after page."""
import json
import re
import unittest

from exec_run import MEBI, ExecTest

LIMIT_BYTES = 10 * MEBI
# How it writes, how often. Not here: modulo-x, move-inv, prime-*, rowhammer and others that fill
# memory with noise, which does not pack: no limit below its size could hold it.
METHODS = (("zero-one", 128), ("galpat-0", 64), ("inc-nybble", 256), ("gray", 256),
           ("fwdrev", 256))


class StressTest(ExecTest):
    def check(self, *options):
        self.need("stress-ng")
        for method, operations in METHODS:
            with self.subTest(method):
                stats = self.folder / f"stats-{method}"
                # The time is for a machine that hangs: the operations are what ends it.
                done = self.run_paged(
                    LIMIT_BYTES, "stress-ng", "--vm", "1", "--vm-bytes", "30M", "--vm-method",
                    method, "--vm-ops", operations, "--verify", "--timeout", "100s",
                    "--metrics-brief", options=(*options, "--stats", stats))
                said = (done.stdout + done.stderr).decode(errors="replace")
                self.assertEqual(0, done.returncode, said)
                # It ends well even when the one that does the work has died.
                self.assertNotRegex(said, r"fail|error|uzram|prematurely")
                written = re.search(r"\bvm +(\d+) ", said)
                self.assertGreaterEqual(int(written[1]), operations, said)
                last = json.loads(stats.read_text(encoding="utf-8").splitlines()[-1])
                self.assertGreater(last["evicted_pages"] * 4096, LIMIT_BYTES)

    def test_finds_no_error(self):
        self.check()

    def test_finds_no_error_without_userfaultfd(self):
        self.check("--backend", "signal")

    def test_finds_no_error_with_strict(self):
        self.need_backend("strict")
        self.check("--strict")


if __name__ == "__main__":
    unittest.main()
