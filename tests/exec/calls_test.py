# SPDX-License-Identifier: Apache-2.0
"""What a program hands to the kernel, while its memory is put away again and again."""
import pathlib
import re
import unittest

from exec_run import MEBI, ExecTest

from uzram_daemon import run, uzram_program  # noqa: E402  exec_run has set the path.

RUNS_BESIDE_OTHERS = True

HERE = pathlib.Path(__file__).resolve().parent
# How a program ends; every program of a test does.
ENDS = {"_exit", "_Exit"}


class CallsTest(ExecTest):
    def check(self, *words, options):
        program = self.compile("many_calls.c")
        plain = self.run_plain(program, *words)
        self.assertNotIn(b"WRONG", plain.stdout)
        paged = self.run_paged(12 * MEBI, program, *words, options=options)
        self.assertEqual(plain.stdout.decode(), paged.stdout.decode(), paged.stderr)
        self.assertEqual((0, b""), (paged.returncode, paged.stderr))

    def test_many_calls_find_their_buffers(self):
        self.check(options=())

    def test_many_calls_find_their_buffers_with_strict(self):
        self.need_backend("strict")
        self.check(options=("--strict",))

    def test_many_calls_find_their_buffers_without_userfaultfd(self):
        # There a child of fork() has none of this memory.
        self.check("childless", options=("--backend", "signal"))


class EveryCallTest(ExecTest):
    """By their names: `rows` of the two programs say which."""

    def names_of(self, said):
        return {line.split(":")[0] for line in said.decode().splitlines()}

    def check(self, source, *options):
        program = self.compile(source)
        plain = self.run_plain(program, self.folder)
        self.assertEqual((0, b""), (plain.returncode, plain.stderr))
        stats = self.folder / "stats"
        paged = self.run_paged(8 * MEBI, program, self.folder,
                               options=("--stats", stats, *options))
        self.assertEqual(plain.stdout.decode(), paged.stdout.decode(), paged.stderr)
        self.assertEqual((0, b""), (paged.returncode, paged.stderr))
        self.assertIn('"evicted_pages"', stats.read_text(encoding="utf-8"))
        return self.names_of(plain.stdout)

    def test_finds_its_buffers(self):
        checked = self.check("every_call.c") | self.check("every_other_call.c")
        symbols = run("nm", "-D", "--defined-only",
                      pathlib.Path(uzram_program()).parent / "libuzram-preload.so").stdout
        names = {line.split()[2] for line in symbols.splitlines()}
        by_hand = set(re.findall(r"\b(\w+)\(", (HERE / "many_calls.c").read_text(encoding="utf-8")))
        by_hand |= {name + "64" for name in by_hand}
        untested = {name for name in names - checked - by_hand - ENDS if not name.startswith("_Z")}
        self.assertEqual(set(), untested)

    def test_finds_its_buffers_without_userfaultfd(self):
        for source in ("every_call.c", "every_other_call.c"):
            with self.subTest(source):
                self.check(source, "--backend", "signal")

    def test_finds_its_buffers_with_strict(self):
        self.need_backend("strict")
        for source in ("every_call.c", "every_other_call.c"):
            with self.subTest(source):
                self.check(source, "--strict")


if __name__ == "__main__":
    unittest.main()
