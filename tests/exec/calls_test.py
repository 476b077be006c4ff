# SPDX-License-Identifier: Apache-2.0
"""What a program hands to the kernel, while its memory is put away again and again."""
import unittest

from exec_run import MEBI, ExecTest


class CallsTest(ExecTest):
    def check(self, *words, backend):
        program = self.compile("many_calls.c")
        plain = self.run_plain(program, *words)
        self.assertNotIn(b"WRONG", plain.stdout)
        paged = self.run_paged(12 * MEBI, program, *words, options=("--backend", backend))
        self.assertEqual(plain.stdout.decode(), paged.stdout.decode(), paged.stderr)
        self.assertEqual((0, b""), (paged.returncode, paged.stderr))

    def test_every_call_finds_its_buffers(self):
        self.check(backend="automatic")

    def test_every_call_finds_its_buffers_without_userfaultfd(self):
        # There a child of fork() has none of this memory.
        self.check("childless", backend="signal")


if __name__ == "__main__":
    unittest.main()
