# SPDX-License-Identifier: Apache-2.0
"""memory_churner.py MIB: fills MIB of memory, then changes pages at random when it is told to.

For each line with a number of seconds on standard input it changes pages for so long and prints how
many. In turn pages get small, middle and large content, so that their packed sizes move. At the end
of the input it checks every page; other bytes end it with status 1.
"""
import mmap
import random
import sys
import time

PAGE_BYTES = 4096
PHASE_WRITES = 8_000
# Per phase: the least and the most 64ths of a page that do not pack, and one page in how many.
PHASES = ((8, 24, 1), (1, 4, 1), (40, 64, 4), (1, 32, 1), (20, 22, 2))


def content(seed, share):
    noise = random.Random(seed).randbytes(PAGE_BYTES * share // 64)
    return noise + bytes(PAGE_BYTES - len(noise))


class Churner:
    def __init__(self, pages):
        self.pages = pages
        self.memory = mmap.mmap(-1, pages * PAGE_BYTES,
                                flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.written = [(0, 0)] * pages  # Seed and share.
        self.random = random.Random(1)
        self.writes = 0
        for page in range(pages):
            self.write(page)

    def write(self, page):
        least, most, one_in = PHASES[self.writes // PHASE_WRITES % len(PHASES)]
        share = 0 if page % one_in else self.random.randint(least, most)
        self.writes += 1
        self.written[page] = (self.writes, share)
        self.memory[page * PAGE_BYTES:(page + 1) * PAGE_BYTES] = content(self.writes, share)

    def churn(self, seconds):
        end, before = time.monotonic() + seconds, self.writes
        while time.monotonic() < end:
            self.write(self.random.randrange(self.pages))
        return self.writes - before

    def check(self):
        for page, (seed, share) in enumerate(self.written):
            found = self.memory[page * PAGE_BYTES:(page + 1) * PAGE_BYTES]
            if found != content(seed, share):
                sys.exit(f"page {page} has other bytes")


def main():
    churner = Churner(int(sys.argv[1]) * 256)
    print("filled", flush=True)
    for line in sys.stdin:
        print("changed", churner.churn(float(line)), flush=True)
    churner.check()
    print("verified", flush=True)


if __name__ == "__main__":
    main()
