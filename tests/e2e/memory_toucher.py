# SPDX-License-Identifier: Apache-2.0
"""memory_toucher.py MIB: fills MIB of memory with content, then reads and checks all of it twice.

Prints "filled <VmSwap in KiB>", then "verified" after each round; other bytes end it with status 1.
"""
import mmap
import random
import sys

PAGE_BYTES = 4096


def content(page, round_number):
    """A quarter of random bytes, four times: packs to about 1,100 bytes."""
    return random.Random(page * 7 + round_number).randbytes(PAGE_BYTES // 4) * 4


def swapped_kibibytes():
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmSwap"))


def fill(memory, pages, round_number):
    for page in pages:
        memory[page * PAGE_BYTES:(page + 1) * PAGE_BYTES] = content(page, round_number)


def check(memory, pages, round_number):
    for page in pages:
        found = memory[page * PAGE_BYTES:(page + 1) * PAGE_BYTES]
        if found != content(page, round_number):
            sys.exit(f"page {page} has other bytes")


def main():
    count = int(sys.argv[1]) * 256
    memory = mmap.mmap(-1, count * PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    fill(memory, range(count), 0)
    print("filled", swapped_kibibytes(), flush=True)
    check(memory, range(count), 0)
    print("verified", flush=True)
    fill(memory, range(0, count, 2), 1)  # Every other page anew, so that swap slots are reused.
    check(memory, range(0, count, 2), 1)
    check(memory, range(1, count, 2), 0)
    print("verified", flush=True)


if __name__ == "__main__":
    main()
