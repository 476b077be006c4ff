# SPDX-License-Identifier: Apache-2.0
"""Programs at work in `uzram mount`: git and a build, sqlite3, and random file operations."""
import hashlib
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from mounted import MountTest  # noqa: E402
from uzram_daemon import ROOT, uzram_program  # noqa: E402

RUNS_BESIDE_OTHERS = True

# An hour's worth is 2 million.
STEPS = int(os.environ.get("UZRAM_STEPS", 1500))
TARGETS = ["uzram_base", "uzram_policy"]


def run(*argv, **keywords):
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True,
                          check=False, **keywords)
    if done.returncode != 0:
        raise AssertionError(f"{argv[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def digests(folder, pattern):
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob(pattern))
            if path.is_file() and not path.is_symlink() and ".git" not in path.parts}


def clone_and_build(folder):
    """What is in the sources and in the libraries built of them."""
    run("git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", folder / "source")
    run("git", "-C", folder / "source", "fsck", "--strict")
    environment = {**os.environ, "CCACHE_DISABLE": "1"}
    run("cmake", "-S", folder / "source", "-B", folder / "build", "-G", "Ninja",
        "-DUZRAM_BENCH=OFF", "-DCMAKE_CXX_COMPILER=g++",
        f"-DCMAKE_CXX_FLAGS=-O0 -ffile-prefix-map={folder}=.", env=environment)
    run("ninja", "-C", folder / "build", *TARGETS, env=environment)
    # A second look finds nothing to do: times and sizes are as they were left.
    assert "no work to do" in run("ninja", "-C", folder / "build", *TARGETS, env=environment)
    run("git", "-C", folder / "source", "diff", "--exit-code")
    return digests(folder / "source", "*"), digests(folder / "build", "*.a")


def is_repository():
    return subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True,
                          check=False).returncode == 0


class GitTest(MountTest):
    def test_a_tree_is_cloned_and_built_to_the_same_bytes(self):
        if not is_repository():
            self.skipTest("these sources are no git repository")
        self.mount("compress_algorithm=zstd")
        with tempfile.TemporaryDirectory(prefix="uzram-build-") as plain:
            expected = clone_and_build(pathlib.Path(plain))
        self.assertEqual(expected, clone_and_build(self.above))
        self.assertEqual(len(TARGETS), len(expected[1]))
        # The same again from what is stored.
        self.unmount()
        self.mount("compress_algorithm=lz4")
        self.assertEqual(expected[0], digests(self.above / "source", "*"))
        self.assertEqual(expected[1], digests(self.above / "build", "*.a"))
        run("git", "-C", self.above / "source", "fsck", "--strict")


class SqliteTest(MountTest):
    ROWS = 20_000

    def fill(self, path, journal):
        with sqlite3.connect(path) as base:
            base.execute(f"pragma journal_mode={journal}")
            base.execute("create table word (number integer primary key, text)")
            base.executemany("insert into word values (?, ?)",
                             ((i, f"{i * 7919 % 10007} {'word ' * (i % 30)}")
                              for i in range(self.ROWS)))
            base.commit()
            base.execute("create index by_text on word (text)")
            base.execute("delete from word where number % 3 = 0")
            base.commit()
            base.execute("update word set text = text || ' changed' where number % 5 = 0")
            base.commit()
        base.close()

    def check(self, path):
        base = sqlite3.connect(path)
        self.assertEqual([("ok",)], base.execute("pragma integrity_check").fetchall())
        found = hashlib.sha256("\n".join(base.iterdump()).encode()).hexdigest()
        base.close()
        return found

    def test_a_data_base_is_whole_with_every_journal(self):
        with tempfile.TemporaryDirectory(prefix="uzram-sqlite-") as folder:
            plain = pathlib.Path(folder) / "plain.db"
            self.fill(plain, "delete")
            expected = self.check(plain)
        self.mount("compress_algorithm=lz4,compress_log_size=2")
        for journal in ("delete", "truncate", "wal"):
            with self.subTest(journal=journal):
                self.fill(self.above / f"{journal}.db", journal)
                self.assertEqual(expected, self.check(self.above / f"{journal}.db"))
        self.unmount()
        self.mount("compress_algorithm=lz4,compress_log_size=2")
        for journal in ("delete", "truncate", "wal"):
            base = sqlite3.connect(self.above / f"{journal}.db")
            base.execute("vacuum")
            base.close()
            self.assertEqual(expected, self.check(self.above / f"{journal}.db"))


class StepsTest(MountTest):
    def test_files_hold_what_was_written(self):
        program = uzram_program().parent / "tests" / "file_steps"
        for seed, options in enumerate(("compress_algorithm=lz4",
                                        "compress_algorithm=zstd,compress_log_size=4",
                                        "compress_algorithm=lzo-rle,compress_chksum",
                                        "nocompress_extension=*")):
            with self.subTest(options=options):
                self.mount(options)
                run(program, "path", self.above / f"file{seed}", seed, STEPS)
                kept = digests(self.above, "file*")
                self.unmount()
                self.mount(options)
                self.assertEqual(kept, digests(self.above, "file*"))
                self.unmount()

    def test_two_files_at_once_do_not_disturb_each_other(self):
        program = uzram_program().parent / "tests" / "file_steps"
        self.mount("compress_algorithm=lz4")
        started = [subprocess.Popen([program, "path", self.above / name, name, str(STEPS)],
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                   for name in ("1", "2", "3")]
        for process in started:
            said = process.communicate(timeout=600)[0]
            self.assertEqual(0, process.returncode, said)


if __name__ == "__main__":
    unittest.main()
