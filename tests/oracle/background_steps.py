# SPDX-License-Identifier: Apache-2.0
"""background_steps.py: the part of the script that works on pages after they were written.

What:    idle, recomp_algorithm, recompress and block_state, on a device of its own life. Which of
         them a kernel has is a matter of how it was built: each group has a step "GROUP: offered",
         and the comparison leaves out the groups that a kernel does not offer.
Shapes:  pages 0 to 99 are text, 100 to 119 noise, 130 to 139 one pattern, 140 to 149 zeros. Flags
         are told as {flags: [pages, in ranges]}.
"""
import os

from steps import DISK_BYTES, Disk, attempt, fill, pattern_page, random_page, read_text, text_page
from steps import write_text, zero_page

_KINDS = ((range(0, 100), text_page), (range(100, 120), random_page),
          (range(130, 140), pattern_page), (range(140, 150), zero_page))


def ranges(numbers):
    """[1, 2, 3, 7] -> ["1-3", "7-7"]."""
    found = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return [f"{first}-{last}" for first, last in found]


def block_state(target):
    """{page: flags}."""
    lines = [line.split() for line in read_all(target.block_state()).splitlines()]
    return {int(page): flags for page, _, flags in lines}


def read_all(path):
    with open(path, "rb", buffering=0) as file:
        parts = []
        while part := file.read(1 << 16):
            parts.append(part)
    return b"".join(parts).decode()


def flags(target):
    by_flags = {}
    for page, text in block_state(target).items():
        by_flags.setdefault(text, []).append(page)
    return {text: ranges(pages) for text, pages in sorted(by_flags.items())}


def count(target, letter):
    return sum(letter in text for text in block_state(target).values())


def words_before_life(script):
    for text in ("all", "0", "x"):
        script.store("idle", text, "idle: new ")
    script.step("idle: read", lambda: script.read("idle"))
    script.step("block_state: new", lambda: read_text(script.target.block_state()))
    script.store("recompress", "type=idle", "recompress: new ")
    script.step("recompress: read", lambda: script.read("recompress"))
    script.step("recompress: no algorithms", lambda: chosen_algorithms(script))
    for text in ("zstd", "algo", "algo=", "algo=nosuch", "priority=1", "algo=zstd priority=0",
                 "algo=zstd priority=4", "algo=zstd priority=-1", "algo=zstd priority=x",
                 "algo=zstd priority=99999999999", "algo=" + "x" * 200, "algo=ZSTD",
                 "algo=deflate priority=2\n", "foo=1 algo=lz4hc", "algo=lz4 algo=zstd"):
        script.store("recomp_algorithm", text, "recompress: ")
    script.step("recompress: chosen algorithms", lambda: chosen_algorithms(script))
    script.store("reset", "1", "recompress: ")
    script.step("recompress: after reset", lambda: chosen_algorithms(script))


def attribute(script, name):
    return script.target.attribute(name)


def chosen_algorithms(script):
    """["#1: zstd", ...]: the list of all differs between kernels."""
    return [line.split()[0] + " " + line.split("[")[1].split("]")[0]
            for line in read_all(attribute(script, "recomp_algorithm")).splitlines()]


def idle_marks(script, disk):
    target = script.target
    script.step("block_state: fresh", lambda: flags(target))
    for text in ("", "ALL", "all ", "-1", "1h", "08", "18446744073709551616", "all\n"):
        script.store("idle", text, "idle: ")
    script.step("block_state: all idle", lambda: flags(target))
    disk.digest(range(0, 10))
    fill(disk, (10, 135, 160), text_page)
    script.step("block_state: some were used", lambda: flags(target))
    script.store("idle", "3600", "age: ")
    script.step("age: none is that old", lambda: count(target, "i"))
    script.store("idle", "0x0\n", "age: ")
    script.step("age: all are that old", lambda: flags(target))
    script.store("idle", "00", "age: ")
    disk.range("BLKDISCARD", 160 * 4096, 4096)
    fill(disk, (135,), pattern_page)
    script.step("block_state: discarded", lambda: flags(target))


def recompress_errors(script):
    for text in ("idle", "type", "type=", "priority=", "priority=2", "priority=3", "priority=4",
                 "priority=-1", "priority=x", "priority=99999999999", "algo=nosuch", "algo=lz4",
                 "algo=deflate", "threshold=4096", "threshold=x", "threshold=-1",
                 "threshold=99999999999", "max_pages=x", "max_pages=-1",
                 "max_pages=99999999999999999999", "max_pages=0 priority=1 foo=bar"):
        script.store("recompress", text, "recompress: ")
    script.store("recomp_algorithm", "algo=zstd", "recompress: too late ")


def recompression(script, disk):
    target, pages = script.target, range(0, 160)
    content = disk.digest(pages)
    recompress_errors(script)
    if "zstd" not in script.read("comp_algorithm"):
        return
    script.step("recompress: nothing has changed", lambda: count(target, "r") + count(target, "n"))
    # Those that shrink least come first.
    script.store("recompress", "type=huge max_pages=5 priority=1", "recompress: ")
    script.step("recompress: five attempts", lambda: [count(target, "n"), count(target, "r")])
    script.store("recompress", "threshold=3000 priority=1", "recompress: ")
    script.step("recompress: above the threshold", lambda: flags(target))
    write_text(attribute(script, "idle"), "all")
    disk.digest(range(0, 10))
    script.store("recompress", "type=huge_idle priority=1", "recompress: ")
    script.step("recompress: nothing huge is left to try", lambda: flags(target))
    script.store("recompress", "type=idle algo=zstd\n", "recompress: ")
    script.step("recompress: the idle ones", lambda: flags(target))
    script.store("recompress", "priority=1", "recompress: ")
    script.step("recompress: every page", lambda: flags(target))
    script.step("recompress: content", lambda: disk.digest(pages) == content)
    script.accounting("recompress")
    fill(disk, range(0, 5), text_page)
    fill(disk, range(100, 105), text_page)
    script.step("recompress: overwritten", lambda: flags(target))
    for text in ("type=nosuch", "priority=0", "threshold=3700 priority=1", "algo=zstd priority=2"):
        script.store("recompress", text, "recompress: version ")


def run(script):
    target = script.target
    for group, name in (("idle", "idle"), ("recompress", "recompress")):
        script.step(f"{group}: offered", lambda name=name: os.path.exists(attribute(script, name)))
    script.step("block_state: offered", lambda: os.path.exists(target.block_state()))
    words_before_life(script)
    write_text(attribute(script, "comp_algorithm"), "lz4")
    attempt(lambda: write_text(attribute(script, "recomp_algorithm"), "algo=zstd priority=1"))
    target.track_accesses()
    write_text(attribute(script, "disksize"), str(DISK_BYTES))
    script.step("age: offered",
                lambda: attempt(lambda: write_text(attribute(script, "idle"), "0")) == "ok")
    with Disk(target.disk()) as disk:
        for pages, content in _KINDS:
            fill(disk, pages, content)
        idle_marks(script, disk)
        recompression(script, disk)
    script.store("reset", "1", "after all that ")
