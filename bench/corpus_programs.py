# SPDX-License-Identifier: Apache-2.0
"""The programs whose memory makes up the corpus: what each builds, and how one knows it is built.

Each grows a heap of a kind that real machines hold: interpreters with dictionaries and strings,
pre-forked workers, a key-value server, a database's page cache, two JIT run times, two compilers.
"""
import dataclasses
import os
import shutil
import subprocess
import sys

PYTHON_DICTS = """
import collections, json, random, sys, time, uuid
random.seed(7)
letters = 'etaoinshrdlucmfwypvbgkjqxz'
weights = [12, 9, 8, 7, 7, 7, 6, 6, 6, 4, 4, 3, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1]
words = [''.join(random.choices(letters, weights, k=random.randint(3, 10))) for _ in range(6000)]
docs = [{'id': i, 'title': ' '.join(random.choices(words, k=3)),
         'body': ' '.join(random.choices(words, k=14)), 'score': random.random(),
         'tags': random.choices(words, k=3)} for i in range(DOCUMENTS)]
blobs = [json.dumps(d) for d in docs[::2]]
index = collections.defaultdict(list)
for d in docs:
    for t in d['tags']:
        index[t].append(d)
"""
PYTHON_PREFORK = """
import os
for w in range(3):
    if os.fork() == 0:
        random.seed(w)
        row = '<tr><td>%s</td></tr>'
        sessions = {uuid.UUID(int=random.getrandbits(128)).hex:
                    {'user': i, 'page': row % docs[i % len(docs)]['title'] * 3}
                    for i in range(25000)}
        break
"""
SQLITE = """
import sqlite3, time
database = sqlite3.connect(':memory:')
database.executescript('''
CREATE TABLE log(id INTEGER PRIMARY KEY, ts INT, level TEXT, host TEXT, message TEXT,
  duration REAL);
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<180000)
INSERT INTO log SELECT x, 1700000000+x,
  CASE abs(random())%5 WHEN 0 THEN 'ERROR' ELSE 'INFO' END, 'host-'||(abs(random())%200),
  'request /items/'||(abs(random())%100000)||' status='||(200+100*(abs(random())%4)),
  (abs(random())%100000)/1000.0 FROM c;
CREATE INDEX by_ts ON log(ts);
CREATE INDEX by_host ON log(host, level);
''')
"""
PYTHON_READY = "\nprint('READY', flush=True)\nimport time; time.sleep(600)\n"
PERL = """
srand(11);
my @words = map { join '', map { chr(97 + int(rand(26) ** 0.9)) } 1 .. 3 + rand 7 } 1 .. 4000;
my (%seen, @rows);
for my $i (1 .. 90000) {
  my $line = sprintf '%s - %s [%d] "GET /%s" %d', $words[rand @words], $words[rand @words],
    1700000000 + $i, $words[rand @words], 200 + 100 * int rand 4;
  push @rows, { line => $line, size => int rand 1e6, hits => [1 .. 3] };
  $seen{$words[rand @words]}{$words[rand @words]}++;
}
$| = 1; print "READY\\n"; sleep 600;
"""
NODE = """
let seed = 3; const rnd = n => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;
const letters = () => 'etaoinshrdlu'[rnd(12)];
const words = Array.from({length: 4000}, () => Array.from({length: 3 + rnd(7)}, letters).join(''));
const docs = [], cache = new Map();
for (let i = 0; i < 60000; i++) {
  const d = {id: i, title: words[rnd(4000)] + ' ' + words[rnd(4000)],
             tags: [words[rnd(99)], words[rnd(99)]], score: rnd(1e6) / 1e3,
             n: {a: rnd(10), b: null, c: [1, 2, 3]}};
  docs.push(d); cache.set('doc:' + i, JSON.stringify(d));
}
const f64 = Float64Array.from({length: 300000}, (_, i) => Math.sin(i / 100) * i);
console.log('READY'); setInterval(() => { global.keep = [docs, cache, f64]; }, 1e6);
"""
JAVA = """
import java.util.*;
public class Heap {
  record Item(int id, String name, double price, List<String> tags) {}
  public static void main(String[] a) throws Exception {
    var r = new Random(5); var items = new HashMap<Integer, Item>();
    for (int i = 0; i < 150000; i++)
      items.put(i, new Item(i, "item-" + r.nextInt(9000) + "-" + i, r.nextDouble() * 100,
                            List.of("t" + r.nextInt(50), "t" + r.nextInt(50))));
    var counts = new TreeMap<String, Long>();
    for (var it : items.values()) for (var t : it.tags()) counts.merge(t, 1L, Long::sum);
    System.out.println("READY"); System.out.flush(); Thread.sleep(600000);
  }
}
"""
CXX = """
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <regex>
#include <string>
#include <unordered_map>
#include <vector>
template <int N> struct T {
  std::map<std::string, std::vector<T<N - 1>>> m; std::function<int(int)> f;
  bool go(const std::string& s) {
    std::regex r(s);
    for (auto& kv : m) for (auto& t : kv.second) if (t.go(kv.first)) return std::regex_match(s, r);
    return f ? f(N) : N;
  }
};
template <> struct T<0> { bool go(const std::string&) { return true; } };
int main() { T<90> t; return t.go("a+b"); }
"""
REDIS_FILL = ("for i=1,120000 do redis.call('HSET','user:'..i,'name','name-'..(i*7919%9973),"
              "'mail','u'..i..'@example.org','visits',i%97) end")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to start a program, and when its heap is ready."""

    label: str
    argv: list
    feed: str = ""
    ready_word: str = "READY"  # Empty: ready after settle_seconds.
    after_start: list = None   # A command that fills it.
    settle_seconds: float = 0.0


def _python(label, code, settle_seconds=0.0):
    argv = [sys.executable, "-c", code + PYTHON_READY]
    return Recipe(label, argv, settle_seconds=settle_seconds)


def _compiler(label, program, source):
    # Compiled again and again: any moment finds a compiler at work.
    again = f'while :; do {program} -std=c++17 -O2 -S -o - "$0" >/dev/null 2>&1; done'
    return Recipe(label, ["sh", "-c", again, source], ready_word="", settle_seconds=2.2)


def _redis(work):
    path = os.path.join(work, "redis.sock")
    server = ["redis-server", "--port", "0", "--unixsocket", path, "--save", ""]
    return Recipe("redis", server, ready_word="eady to accept",
                  after_start=["redis-cli", "-s", path, "EVAL", REDIS_FILL, "0"])


def _java(work):
    path = os.path.join(work, "Heap.java")
    with open(path, "w", encoding="utf-8") as out:
        out.write(JAVA)
    subprocess.run(["javac", "-d", work, path], check=True)
    return Recipe("java-heap", ["java", "-Xmx256m", "-cp", work, "Heap"])


def recipes(work):
    """([Recipe], [(label, reason)] of what is missing). `work`: a folder for their files."""
    source = os.path.join(work, "heavy.cpp")
    with open(source, "w", encoding="utf-8") as out:
        out.write(CXX)
    prefork = PYTHON_DICTS.replace("DOCUMENTS", "15000") + PYTHON_PREFORK
    table = [
        ("python-dicts", [], lambda: _python("python-dicts",
                                             PYTHON_DICTS.replace("DOCUMENTS", "45000"))),
        ("python-prefork", [], lambda: _python("python-prefork", prefork, settle_seconds=4)),
        ("sqlite-memory", [], lambda: _python("sqlite-memory", SQLITE)),
        ("perl-hashes", ["perl"], lambda: Recipe("perl-hashes", ["perl", "-e", PERL])),
        ("redis", ["redis-server", "redis-cli"], lambda: _redis(work)),
        ("node-documents", ["node"], lambda: Recipe("node-documents", ["node", "-e", NODE])),
        ("java-heap", ["javac", "java"], lambda: _java(work)),
        ("g++-cc1plus", ["g++"], lambda: _compiler("g++-cc1plus", "g++", source)),
        ("clang-cc1", ["clang++"], lambda: _compiler("clang-cc1", "clang++", source)),
    ]
    found, skipped = [], []
    for label, needed, make in table:
        missing = [name for name in needed if not shutil.which(name)]
        if missing:
            skipped.append((label, f"{missing[0]} is not installed"))
        else:
            found.append(make())
    return found, skipped
