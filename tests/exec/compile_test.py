# SPDX-License-Identifier: Apache-2.0
"""The compiler, which starts others by vfork, and threads of our own that share an area."""
import unittest

from exec_run import BACKENDS, MEBI, ExecTest

RUNS_BESIDE_OTHERS = True

SOURCE = "#include <map>\n#include <string>\n" + "".join(
    f"int f{i}(int x) {{ std::map<int, std::string> m; m[x] = \"{i}\"; return (int)m.size(); }}\n"
    for i in range(150))


class CompileTest(ExecTest):
    def test_gpp_makes_the_same_object(self):
        self.need("g++")
        (self.folder / "large.cc").write_text(SOURCE, encoding="utf-8")
        words = ("g++", "-O0", "-c", "large.cc", "-o")
        plain, peak = self.peak_of(*words, "plain.o")
        self.assertEqual((0, b""), (plain.returncode, plain.stderr))
        for backend in BACKENDS:
            with self.subTest(backend):
                self.check_same(peak // 3, *words, "paged.o", options=("--backend", backend))
                self.assertEqual((self.folder / "plain.o").read_bytes(),
                                 (self.folder / "paged.o").read_bytes())


class ThreadsTest(ExecTest):
    def test_threads_that_change_one_area_at_once(self):
        program = self.compile("many_threads.c")
        for backend in BACKENDS:
            with self.subTest(backend):
                self.check_same(12 * MEBI, program, options=("--backend", backend))


if __name__ == "__main__":
    unittest.main()
