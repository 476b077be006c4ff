# SPDX-License-Identifier: Apache-2.0
"""The library as others find it: installed into a prefix, compiled against, and run."""
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from uzram_daemon import ROOT, uzram_program

RUNS_BESIDE_OTHERS = True

EXAMPLES = ROOT / "examples"
SUM = sum(i // 100 for i in range((256 << 20) // 8))
PROJECT = """cmake_minimum_required(VERSION 3.25)
project(user LANGUAGES C CXX)
find_package(uzram 0.1 REQUIRED)
add_executable(big_array big_array.cc)
target_link_libraries(big_array PRIVATE uzram::uzram)
"""


def must(*words, **keywords):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False,
                          **keywords)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: {done.stdout}{done.stderr}")
    return done.stdout


def is_sanitized(build):
    cache = (build / "CMakeCache.txt").read_text(encoding="utf-8")
    return re.search(r"^UZRAM_SANITIZE:\w+=.+", cache, re.M) is not None


class InstallTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        build = pathlib.Path(uzram_program()).parent
        if is_sanitized(build):
            raise unittest.SkipTest("a sanitized library needs a sanitized program")
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.prefix = cls.folder / "prefix"
        must("cmake", "--install", build, "--component", "pager", "--prefix", cls.prefix)
        cls.library = next(cls.prefix.rglob("libuzram.so")).parent
        cls.environment = {**os.environ, "LD_LIBRARY_PATH": str(cls.library),
                           "PKG_CONFIG_PATH": str(cls.library / "pkgconfig")}

    def flags(self):
        return must("pkg-config", "--cflags", "--libs", "uzram", env=self.environment).split()

    def check_run(self, program):
        said = re.fullmatch(r"sum (\d+), (\d+) MiB of 256 paid for\n",
                            must(program, env=self.environment))
        self.assertEqual(SUM, int(said[1]))
        self.assertLessEqual(int(said[2]), 64)

    def test_the_first_line_of_each_example_compiles_it(self):
        for name in ("big_array.cc", "big_array.c"):
            with self.subTest(name):
                line = (EXAMPLES / name).read_text(encoding="utf-8").splitlines()[2]
                command = line.removeprefix("//").strip().removesuffix("&& ./big_array")
                must("sh", "-c", f"cd {self.folder} && cp {EXAMPLES / name} . && {command}",
                     env=self.environment)
                self.check_run(self.folder / "big_array")

    def test_a_mapped_cluster_file_is_changed_through_memory(self):
        text = "".join(f"line {i} of what is longer than the limit\n" for i in range(250_000))
        (self.folder / "text").write_text(text, encoding="utf-8")
        must(uzram_program(), "cluster", "pack", self.folder / "text", self.folder / "packed")
        line = (EXAMPLES / "mapped_file.c").read_text(encoding="utf-8").splitlines()[2]
        command = line.removeprefix("//").strip().removesuffix("&& ./mapped_file FILE")
        must("sh", "-c", f"cd {self.folder} && cp {EXAMPLES / 'mapped_file.c'} . && {command}",
             env=self.environment)
        said = must(self.folder / "mapped_file", self.folder / "packed", env=self.environment)
        changed = sum(1 for letter in text if letter.islower())
        self.assertEqual(f"{changed} of {len(text)} bytes changed\n", said)
        self.assertEqual(text.upper(), must(uzram_program(), "cluster", "cat",
                                            self.folder / "packed"))

    def test_cmake_finds_the_package(self):
        project = self.folder / "project"
        project.mkdir()
        (project / "CMakeLists.txt").write_text(PROJECT, encoding="utf-8")
        (project / "big_array.cc").write_bytes((EXAMPLES / "big_array.cc").read_bytes())
        must("cmake", "-S", project, "-B", project / "build", f"-DCMAKE_PREFIX_PATH={self.prefix}")
        must("cmake", "--build", project / "build")
        self.check_run(project / "build" / "big_array")

    def test_the_c_header_is_c99(self):
        source = self.folder / "strict.c"
        source.write_text("#include <uzram.h>\nint main(void) { return 0; }\n", encoding="utf-8")
        must("cc", "-std=c99", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", source,
             *self.flags(), "-o", self.folder / "strict", env=self.environment)

    def test_needs_no_library_that_a_pager_does_not_use(self):
        said = must("readelf", "--dynamic", self.library / "libuzram.so")
        self.assertIn("liblz4", said)
        for foreign in ("libnbd", "liburing", "libcrypto"):
            self.assertNotIn(foreign, said)

    def test_only_the_interface_is_visible(self):
        symbols = must("nm", "-D", "--defined-only", "--demangle", self.library / "libuzram.so")
        names = {line.split(maxsplit=2)[2].split("@")[0] for line in symbols.splitlines()}
        foreign = [name for name in names
                   if not re.match(r"(uzram_\w+|uzram::Pager::|UZRAM_0)", name)]
        self.assertEqual([], foreign)
        self.assertIn("uzram_pager_open", names)


if __name__ == "__main__":
    unittest.main()
