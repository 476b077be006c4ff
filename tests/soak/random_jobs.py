# SPDX-License-Identifier: Apache-2.0
"""random_jobs.py [--seconds N] [--seed N]: random requests under every job, beside a copy.

What:    several threads write, read, discard and zero the pages of one disk, each its own pages,
         and compare every read with what they wrote last. Meanwhile jobs come in random order: idle
         marks, recompression, clusters, writeback, compaction, limits, reserve, policy, statistics.
Errors:  the first page with other bytes ends the run with status 1 and names seed, disk and page.
         ENOSPC is an answer where a limit is set: then the old content has to be there.
"""
import argparse
import collections
import errno
import pathlib
import random
import sys
import threading
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "oracle")]

from steps import Disk, PAGE_BYTES  # noqa: E402
from uzram_daemon import Daemon  # noqa: E402

DISK_PAGES = 4096  # 16 MiB: pages are used again and again.
WRITERS = 3

# A disk's settings, and whether it has a backing store.
DISKS = {
    "dedup": (["--algorithm", "lz4", "--set", "use_dedup=1",
               "--set", "recomp_algorithm=algo=zstd priority=1"], True),
    "packed": (["--algorithm", "zstd", "--set", "compressed_writeback=1",
                "--set", "access_tracking=1", "--set", "recomp_algorithm=algo=lz4hc priority=1"],
               True),
    "unchecked": (["--algorithm", "lzo-rle", "--set", "page_checks=0",
                   "--set", "recomp_algorithm=algo=deflate priority=2"], True),
    "plain": (["--algorithm", "842"], False),
}


class OtherBytes(Exception):
    """A page has content that nobody wrote last."""


def content(source):
    """One page: text that packs, noise, one pattern, a page that others have too, or zeros."""
    kind = source.randrange(10)
    if kind < 4:
        return (source.randbytes(source.choice((16, 64, 300, 1500))) * 256)[:PAGE_BYTES]
    if kind < 6:
        return source.randbytes(PAGE_BYTES)
    if kind == 6:
        return source.randbytes(8) * (PAGE_BYTES // 8)
    if kind < 9:
        return random.Random(source.randrange(40)).randbytes(1000).ljust(PAGE_BYTES, b"x")
    return bytes(PAGE_BYTES)


class Writer:
    """Uses every WRITERS-th run of eight pages, and knows what is in them."""

    def __init__(self, disk_path, number, seed):
        self.disk, self.source = Disk(disk_path), random.Random(seed * 100 + number)
        self.runs = range(number, DISK_PAGES // 8, WRITERS)
        self.copy = {}
        self.counts = collections.Counter()

    def pages(self):
        run = self.source.choice(self.runs) * 8
        first = self.source.randrange(8)
        return range(run + first, run + min(8, first + self.source.choice((1, 1, 1, 2, 8))))

    def check(self, page):
        if self.disk.read(page) != self.copy.get(page, bytes(PAGE_BYTES)):
            raise OtherBytes(f"page {page} has other bytes")
        self.counts["reads"] += 1

    def write(self, page):
        page_content = content(self.source)
        try:
            self.disk.write(page, page_content)
        except OSError as refused:
            if refused.errno != errno.ENOSPC:
                raise
            self.counts["refused writes"] += 1
            self.check(page)
            return
        self.copy[page] = page_content
        self.counts["writes"] += 1

    def clear(self, pages, request):
        self.disk.range(request, pages[0] * PAGE_BYTES, len(pages) * PAGE_BYTES)
        for page in pages:
            self.copy.pop(page, None)
        self.counts["cleared pages"] += len(pages)

    def step(self):
        pages = self.pages()
        choice = self.source.randrange(20)
        if choice == 0:
            self.clear(pages, "BLKDISCARD")
        elif choice == 1:
            self.clear(pages, "BLKZEROOUT")
        else:
            for page in pages:
                (self.write if choice < 10 else self.check)(page)

    def check_all(self):
        for run in self.runs:
            for page in range(run * 8, run * 8 + 8):
                self.check(page)


class Jobs:
    """What an owner may ask of the disk at any time."""

    # Refusals that a busy disk may give. ENOENT, ENODEV and EACCES would be faults of this program.
    PASSING = {errno.ENOSPC, errno.EIO, errno.EAGAIN, errno.ENOMEM, errno.EINVAL}

    def __init__(self, daemon, name, has_store, seed):
        self.daemon, self.name, self.source = daemon, name, random.Random(seed * 100 + 99)
        self.has_store = has_store
        self.counts = collections.Counter()

    def words(self):
        low = self.source.randrange(DISK_PAGES)
        high = min(DISK_PAGES - 1, low + self.source.randrange(600))
        pick = self.source.choice
        jobs = [
            ("idle", pick(("all", "0", "1"))),
            ("recompress", pick(("priority=1", "type=idle priority=1", "type=huge priority=2",
                                 "priority=1 threshold=1000 max_pages=300"))),
            ("recompress", f"cluster={pick((2, 4, 16, 32))} level={pick((1, 3))}"),
            ("recompress", "type=idle cluster=8"),
            ("compact", "1"),
            ("mem_limit", pick(("0", "0", "6M", "20M"))),
            ("mem_reserve", pick(("0", "4M"))),
            ("policy", pick(("off", "on idle_after=1s recompress_after=1s cluster_after=1s "
                             "large_after=2s writeback_after=3s round=1s cpu_percent=100"))),
        ]
        if self.has_store:
            jobs += [("writeback", pick(("type=idle", "type=huge", "type=huge_idle",
                                         "type=incompressible"))),
                     ("writeback", f"page_indexes={low}-{high}"),
                     ("writeback_batch_size", pick(("1", "32")))]
        return pick(jobs)

    def look(self):
        for attribute in ("mm_stat", "io_stat", "bd_stat", "total_stat", "policy_explain", "stat"):
            self.daemon.attribute(self.name, attribute)
        state = self.daemon.tree / "kernel" / "debug" / "zram" / self.name / "block_state"
        state.read_text(encoding="ascii")

    def step(self):
        attribute, value = self.words()
        try:
            path = self.daemon.tree / "block" / self.name / attribute
            path.write_text(value, encoding="ascii")
            self.counts[attribute] += 1
        except OSError as refused:
            if refused.errno not in self.PASSING:
                raise
            self.counts[f"refused {attribute}"] += 1
        if self.source.randrange(4) == 0:
            self.look()


class Run:
    """One disk, its writers and its jobs, for some seconds."""

    def __init__(self, daemon, title, seed, seconds):
        options, has_store = DISKS[title]
        if has_store:
            store = daemon.state.with_suffix(f".{title}")
            with open(store, "wb") as file:
                file.truncate(64 << 20)
            options = [*options, "--set", f"backing_dev={store}"]
        self.title, self.seed, self.end = title, seed, time.monotonic() + seconds
        self.name, self.path = daemon.create("--size", str(DISK_PAGES * PAGE_BYTES), *options)
        self.daemon = daemon
        self.writers = [Writer(self.path, number, seed) for number in range(WRITERS)]
        self.jobs = Jobs(daemon, self.name, has_store, seed)
        self.problem = None

    def repeat(self, step):
        try:
            while time.monotonic() < self.end and self.problem is None:
                step()
        except Exception as problem:  # Whatever it is, the run has failed and says why.
            self.problem = problem

    def go(self):
        threads = [threading.Thread(target=self.repeat, args=(subject.step,))
                   for subject in (*self.writers, self.jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.problem is None:
            for writer in self.writers:
                self.repeat_once(writer.check_all)
        for writer in self.writers:
            writer.disk.close()
        if self.problem is not None:
            raise OtherBytes(f"seed {self.seed}, disk '{self.title}': {self.problem!r}")
        self.daemon.must("remove", self.name)

    def repeat_once(self, action):
        try:
            action()
        except Exception as problem:
            self.problem = problem

    def counts(self):
        return sum((writer.counts for writer in self.writers), self.jobs.counts)


def run_all(seconds, seed, tell=lambda text: None):
    """Every kind of disk in turn, each for its share. Returns: what was done, by name."""
    total = collections.Counter()
    daemon = Daemon()
    stores = [daemon.state.with_suffix(f".{title}") for title in DISKS]
    try:
        for title in DISKS:
            run = Run(daemon, title, seed, seconds / len(DISKS))
            run.go()
            total += run.counts()
            tell(f"{title}: no difference; so far {dict(total)}")
    finally:
        daemon.clean_up()
        for store in stores:
            store.unlink(missing_ok=True)
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    words = parser.parse_args()
    print(f"seed {words.seed}", flush=True)
    end = time.monotonic() + words.seconds
    seed = words.seed
    while time.monotonic() < end:
        run_all(min(240.0, max(4.0, end - time.monotonic())), seed,
                lambda text: print(text, flush=True))
        seed += 1


if __name__ == "__main__":
    try:
        main()
    except OtherBytes as difference:
        sys.exit(str(difference))
