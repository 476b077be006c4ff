# SPDX-License-Identifier: Apache-2.0
"""Real programs, unmodified, on about a third of their memory: their results are what they are
without."""
import random
import subprocess
import unittest

from exec_run import BACKENDS, ExecTest, environment

RUNS_BESIDE_OTHERS = True

PYTHON = """
import array, hashlib
count = 90000
texts = {i: str(i * 7) + "x" * 20 for i in range(count)}
numbers = array.array("q", (i * i % 1000003 for i in range(500000)))
digest = hashlib.sha256()
for i in range(0, count, 3):
    digest.update(texts[i].encode())
digest.update(numbers.tobytes())
for i in range(count):
    texts[i] = texts[i][::-1]
for text in sorted(texts.values())[::5]:
    digest.update(text.encode())
print(digest.hexdigest(), sum(numbers))
"""

SQL = """
create table t(a integer primary key, b text, c integer);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 45000)
  insert into t select i, hex(i * 7919 % 1000003) || printf('%.*c', 200, 'p'), i * 7919 % 10007
  from n;
create index tb on t(b);
select count(*), sum(x.a * y.c % 97) from t x join t y on x.c = y.a;
select b from t order by c, b limit 5 offset 30000;
select sum(a), max(b) from (select * from t order by b desc);
"""


class ProgramsTest(ExecTest):
    def check(self, *words, is_needed_again=True, **keywords):
        for backend in BACKENDS:
            with self.subTest(backend):
                self.check_a_third(*words, options=("--backend", backend),
                                   is_needed_again=is_needed_again, **keywords)

    def test_python3_with_large_dicts_and_arrays(self):
        self.check("/usr/bin/python3", "-c", PYTHON)

    def test_sqlite3_in_memory(self):
        self.need("sqlite3")
        self.check("sqlite3", ":memory:", input=SQL.encode())

    def lines(self, count, most_repeats=40):
        path = self.folder / "lines"
        numbers = random.Random(1)
        lines = (f"{numbers.randrange(10**9)} {'abc' * numbers.randrange(most_repeats)}\n"
                 for _ in range(count))
        path.write_text("".join(lines), encoding="utf-8")
        return path

    def test_sort_of_a_large_input(self):
        self.need("sort")
        self.check("sort", "--parallel=2", "-S", "60M", self.lines(100000, 160),
                   env=environment(LC_ALL="C"))

    # What it remembers is the text that it has written, and it mostly looks at the end of that.
    def test_xz_unpacks(self):
        self.need("xz")
        packed = self.folder / "packed"
        with open(packed, "wb") as file:
            subprocess.run(["xz", "-c", "-T1", "--lzma2=preset=0,dict=64MiB", self.lines(400000)],
                           stdout=file, check=True)
        self.check("xz", "-dc", packed, is_needed_again=False)

    # Most of what it remembers are the numbers of places, four bytes for each byte of the text:
    # they hardly pack, so no limit of a third could hold them.
    def test_xz_packs_in_two_thirds(self):
        self.need("xz")
        words = ("xz", "-c", "-T1", "--lzma2=preset=0,dict=16MiB", self.lines(80000))
        plain, peak = self.peak_of(*words)
        for backend in BACKENDS:
            with self.subTest(backend):
                self.check_same(peak * 2 // 3, *words, plain=plain, least_evicted=peak // 6,
                                is_needed_again=False,
                                options=("--backend", backend, "--algorithm", "zstd"))


if __name__ == "__main__":
    unittest.main()
