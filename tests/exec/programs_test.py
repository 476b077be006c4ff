# SPDX-License-Identifier: Apache-2.0
"""Real programs, unmodified, on about a third of their memory: their results are what they are
without."""
import random
import unittest

from exec_run import BACKENDS, MEBI, ExecTest, environment

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
with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000)
  insert into t select i, hex(i * 7919 % 1000003) || 'padpadpadpad', i * 7919 % 10007 from n;
create index tb on t(b);
select count(*), sum(x.a * y.c % 97) from t x join t y on x.c = y.a;
select b from t order by c, b limit 5 offset 30000;
select sum(a), max(b) from (select * from t order by b desc);
"""


class ProgramsTest(ExecTest):
    def test_python3_with_large_dicts_and_arrays(self):
        for backend in BACKENDS:
            with self.subTest(backend):
                self.check_same(12 * MEBI, "/usr/bin/python3", "-c", PYTHON,
                                options=("--backend", backend))

    def test_sqlite3_in_memory(self):
        self.need("sqlite3")
        for backend in BACKENDS:
            with self.subTest(backend):
                self.check_same(8 * MEBI, "sqlite3", ":memory:", input=SQL.encode(),
                                options=("--backend", backend), least_held=2 * MEBI)

    def lines(self, count):
        numbers = random.Random(1)
        path = self.folder / "lines"
        path.write_text("".join(f"{numbers.randrange(10**9)} {'abc' * numbers.randrange(20)}\n"
                                for _ in range(count)), encoding="utf-8")
        return path

    def test_sort_of_a_large_input(self):
        self.need("sort")
        self.check_same(8 * MEBI, "sort", "--parallel=2", "-S", "40M", self.lines(150000),
                        env=environment(LC_ALL="C"))

    # It looks everywhere for matches: not much of it, or it takes long.
    def test_xz(self):
        self.need("xz")
        self.check_same(8 * MEBI, "xz", "-c", "-3", "-T1", self.lines(32000), least_held=2 * MEBI)


if __name__ == "__main__":
    unittest.main()
