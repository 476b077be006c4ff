# SPDX-License-Identifier: Apache-2.0
"""`uzram exec` as it is installed: the command and its library in folders of a prefix."""
import pathlib
import unittest

from exec_run import ExecTest

from uzram_daemon import run, uzram_program  # noqa: E402  exec_run has set the path.

RUNS_BESIDE_OTHERS = True

HOLD = "a = bytearray(30 << 20); a[::4096] = bytes(1 for _ in a[::4096]); print(sum(a[::4096]))"


class InstalledTest(ExecTest):
    def setUp(self):
        super().setUp()
        self.prefix = self.folder / "prefix"
        run("cmake", "--install", pathlib.Path(uzram_program()).parent, "--component", "command",
            "--prefix", self.prefix)

    def test_finds_its_library(self):
        stats = self.folder / "stats"
        done = run(self.prefix / "bin" / "uzram", "exec", "--memory-limit", "8M", "--stats", stats,
                   "--", "/usr/bin/python3", "-c", HOLD, cwd="/")
        self.assertEqual(("7680\n", ""), (done.stdout, done.stderr))
        self.assertIn('"evicted_pages"', stats.read_text(encoding="utf-8"))

    def test_does_not_go_on_without_it(self):
        [library] = self.prefix.rglob("libuzram-preload.so")
        library.unlink()
        done = run(self.prefix / "bin" / "uzram", "exec", "--memory-limit", "8M", "--",
                   "/bin/echo", "ran", check=False)
        self.assertEqual((1, ""), (done.returncode, done.stdout))
        self.assertIn("libuzram-preload.so is not", done.stderr)

    # It is loaded into every program that is run: what it needs, they all need.
    def test_needs_no_library_that_a_pager_does_not_use(self):
        [library] = self.prefix.rglob("libuzram-preload.so")
        said = run("readelf", "--dynamic", library).stdout
        self.assertIn("liblz4", said)
        for foreign in ("libnbd", "liburing", "libcrypto"):
            self.assertNotIn(foreign, said)


if __name__ == "__main__":
    unittest.main()
