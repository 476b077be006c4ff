# SPDX-License-Identifier: Apache-2.0
"""steps.py: attribute writes, data and errors for any zram, part by part; says what each step gave.

What:    the parts of the script but one (background_steps.py), and what they are made of. A step's
         result is "ok", a text that was read, a number, or the name of an errno value. Nothing is
         judged here (oracle_test.py does).
Shapes:  Script.results: {step name: result}, in the order of doing.
"""
import errno
import fcntl
import hashlib
import mmap
import os
import random
import struct

PAGE_BYTES = 4096
DISK_BYTES = 16 << 20
_IOCTLS = {"BLKGETSIZE64": 0x80081272, "BLKSSZGET": 0x1268, "BLKPBSZGET": 0x127B,
           "BLKIOMIN": 0x1278, "BLKDISCARD": 0x1277, "BLKZEROOUT": 0x127F}
MM_STAT = ("orig_data_size", "compr_data_size", "mem_used_total", "mem_limit", "mem_used_max",
           "same_pages", "pages_compacted", "huge_pages", "huge_pages_since")
IO_STAT = ("failed_reads", "failed_writes", "invalid_io", "notify_free")


class Target:
    """A zram device: where its attributes are, and where its disk is once it has a size."""

    def __init__(self, block_folder, class_folder, device_id):
        self.block_folder, self.class_folder, self.id = block_folder, class_folder, device_id

    def disk(self):
        return f"/dev/zram{self.id}"

    def attribute(self, name):
        return f"{self.block_folder}/zram{self.id}/{name}"

    def control(self, name):
        return f"{self.class_folder}/{name}"

    def block_state(self):
        return f"/sys/kernel/debug/zram/zram{self.id}/block_state"

    def track_accesses(self):
        """Called before disksize. A kernel does it or not, as it was built."""


def attempt(action):
    """The action's value ("ok" for none), or the errno's name."""
    try:
        value = action()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "ok" if value is None else value


def read_text(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 65536).decode()
    finally:
        os.close(descriptor)


def write_text(path, text):
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def text_page(number):
    """Words, as in logs and source: packs to about a third."""
    source = random.Random(number)
    words = [source.choice(_WORDS) for _ in range(PAGE_BYTES // 4)]
    return " ".join(words).encode()[:PAGE_BYTES]


_WORDS = ["".join(random.Random(i).choices("etaoinshrdlu", k=2 + i % 8)) for i in range(100)]


def random_page(number):
    return random.Random(number).randbytes(PAGE_BYTES)


def tight_page(number):
    """Random but for 400 bytes: packs to about 3,700 bytes, beyond zsmalloc's last size class."""
    return random.Random(number).randbytes(PAGE_BYTES - 400) + bytes(400)


def pattern_page(number):
    return struct.pack("<Q", 0x0101010101010101 * (number % 255 + 1)) * (PAGE_BYTES // 8)


def zero_page(_):
    return bytes(PAGE_BYTES)


class Disk:
    """4 KiB requests that pass by the page cache."""

    def __init__(self, path):
        self.descriptor = os.open(path, os.O_RDWR | os.O_DIRECT)
        self.buffer = mmap.mmap(-1, PAGE_BYTES)

    def close(self):
        os.close(self.descriptor)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def write(self, page, content):
        self.buffer[:] = content
        os.pwrite(self.descriptor, self.buffer, page * PAGE_BYTES)

    def read(self, page):
        count = os.preadv(self.descriptor, [self.buffer], page * PAGE_BYTES)
        return self.buffer[:count]

    def digest(self, pages):
        digest = hashlib.sha256()
        for page in pages:
            digest.update(self.read(page))
        return digest.hexdigest()

    def number(self, name):
        data = fcntl.ioctl(self.descriptor, _IOCTLS[name], bytes(8))
        return int.from_bytes(data if name == "BLKGETSIZE64" else data[:4], "little")

    def range(self, name, offset, length):
        fcntl.ioctl(self.descriptor, _IOCTLS[name], struct.pack("<QQ", offset, length))


class Script:
    """Does the steps one after the other and keeps their results."""

    def __init__(self, target, on_step=None):
        self.target, self.results, self.on_step = target, {}, on_step
        self.standard = self.chosen()  # The algorithm that a new device has.

    def step(self, name, action):
        assert name not in self.results, name
        self.results[name] = attempt(action)
        if self.on_step:
            self.on_step(name, self.results[name])

    def store(self, name, text, note=""):
        self.step(f"{note}{name} <- {text[:24]!r}",
                  lambda: write_text(self.target.attribute(name), text))

    def show(self, name, note):
        self.step(f"{note}: {name}", lambda: read_text(self.target.attribute(name)))

    def chosen(self):
        return self.read("comp_algorithm").split("[")[1].split("]")[0]

    def chosen_algorithm(self, note):
        self.step(f"{note}: chosen algorithm", self.chosen)

    def read(self, name):
        return read_text(self.target.attribute(name))

    def number(self, file_name, column):
        return int(self.read(file_name).split()[column])

    def columns(self, note, file_name, names, wanted):
        """One step per column that is wanted."""
        values = dict(zip(names, map(int, self.read(file_name).split())))
        for name in wanted:
            self.step(f"{note}: {name}", lambda name=name: values[name])

    def accounting(self, note):
        self.columns(note, "mm_stat", MM_STAT, ("orig_data_size", "compr_data_size", "same_pages",
                                                "huge_pages", "huge_pages_since"))


def words_before_life(script):
    """Every attribute of a device without a size: what it says and what it refuses."""
    for name in ("disksize", "initstate", "mm_stat", "io_stat", "debug_stat"):
        script.show(name, "new")
    for name in ("reset", "mem_limit", "mem_used_max", "algorithm_params", "compact"):
        script.show(name, "write-only")
    for name in ("initstate", "mm_stat", "io_stat", "debug_stat"):
        script.store(name, "1", "read-only ")
    script.show("max_comp_streams", "new")
    script.store("max_comp_streams", "2")
    for text in ("0", "abc", "\n", "K", "-1K"):
        script.store("disksize", text)
    for text in ("nosuch", "", "x" * 200, "lz4\n", "LZ4"):
        script.store("comp_algorithm", text)
    script.chosen_algorithm("after lz4")
    for text in ("abc", "1M", "0x100000", "3k\n", "0"):
        script.store("mem_limit", text)
    for text in ("1", "", "abc", "0 ", "00", "0\n", "0"):
        script.store("mem_used_max", text)
    for text in ("0", "abc", "", "-1", "65536", "1 1", "+1"):
        script.store("reset", text)
    script.store("compact", "1", "new ")
    script.step("the algorithm is the standard again", lambda: script.chosen() == script.standard)


def algorithm_parameters(script):
    for text in ("level", "level=abc", "level=99999999999", "priority=4 level=1",
                 "priority=-1 level=1", "algo=nosuch level=1", "dict=/nonexistent/dict",
                 "nosuch=1", "level=1", "priority=0 level=2", "algo=lz4 level=1"):
        script.store("comp_algorithm", "lz4", f"for {text}: ")
        script.store("algorithm_params", text)


def sizes(script):
    """How disksize reads and rounds numbers."""
    for text in ("1", "4097", "0x2000", "16k", "1m\n", "2Mxyz", "010000"):
        script.store("disksize", text)
        script.show("disksize", f"after {text!r}")
        script.store("reset", "1", f"after {text!r}: ")


def life(script, algorithm):
    script.store("comp_algorithm", algorithm, "living ")
    script.store("disksize", f"{DISK_BYTES}")
    script.show("disksize", "living")
    script.show("initstate", "living")
    script.store("disksize", "32M", "living ")
    script.store("disksize", "0", "living ")
    script.store("comp_algorithm", "lz4", "living again ")
    script.store("comp_algorithm", "nosuch", "living ")
    script.store("compact", "1", "living ")
    script.accounting("empty")


def geometry(script, disk):
    for name in ("BLKGETSIZE64", "BLKSSZGET", "BLKPBSZGET", "BLKIOMIN"):
        script.step(name, lambda name=name: disk.number(name))
    end = DISK_BYTES // PAGE_BYTES
    script.step("never written pages", lambda: disk.digest(range(0, 8)))
    script.step("read at the end", lambda: len(disk.read(end)))
    script.step("write at the end", lambda: disk.write(end, bytes(PAGE_BYTES)))
    script.step("flush", lambda: os.fsync(disk.descriptor))


def fill(disk, pages, content):
    for page in pages:
        disk.write(page, content(page))


def data(script, disk):
    """Pages of each kind, their accounting, and that they read back."""
    kinds = [("same-filled", range(0, 100), pattern_page), ("zero", range(100, 150), zero_page),
             ("text", range(200, 700), text_page), ("random", range(800, 900), random_page)]
    for name, pages, content in kinds:
        script.step(f"write {name}", lambda p=pages, c=content: fill(disk, p, c))
        script.step(f"read {name}", lambda p=pages: disk.digest(p))
        script.accounting(f"with {name}")
    for name, pages, content in [("text by zero", range(200, 250), zero_page),
                                 ("random by text", range(800, 820), text_page),
                                 ("zero by text", range(100, 110), text_page)]:
        script.step(f"overwrite {name}", lambda p=pages, c=content: fill(disk, p, c))
    script.accounting("overwritten")
    script.step("read all", lambda: disk.digest(range(0, 1000)))


def block_counts(script, disk):
    """The block layer's columns count single requests and their 512-byte sectors."""
    for name, column, request in [("reads", 0, lambda: disk.digest(range(200, 210))),
                                  ("writes", 4, lambda: fill(disk, range(200, 210), zero_page))]:
        before = [script.number("stat", column), script.number("stat", column + 2)]
        request()
        after = [script.number("stat", column), script.number("stat", column + 2)]
        script.step(f"stat: 10 {name} and their sectors",
                    lambda a=after, b=before: [a[0] - b[0], a[1] - b[1]])


def discards(script, disk):
    script.columns("before discard", "io_stat", IO_STAT, ("notify_free",))
    page = PAGE_BYTES
    script.step("discard 100 pages", lambda: disk.range("BLKDISCARD", 300 * page, 100 * page))
    script.columns("after discard", "io_stat", IO_STAT,
                   ("notify_free", "failed_writes", "failed_reads"))
    script.accounting("discarded")
    script.step("read discarded", lambda: disk.digest(range(290, 410)))
    script.step("discard 512 bytes", lambda: disk.range("BLKDISCARD", 512, 512))
    script.step("discard beyond the end", lambda: disk.range("BLKDISCARD", DISK_BYTES, page))
    script.step("zero out 50 pages", lambda: disk.range("BLKZEROOUT", 450 * page, 50 * page))
    script.accounting("zeroed out")
    script.step("read zeroed out", lambda: disk.digest(range(440, 510)))


def cliff(script, disk):
    """Pages that pack to 3,625 bytes and more, which zsmalloc stores raw."""
    packed, huge = script.number("mm_stat", 1), script.number("mm_stat", 7)
    fill(disk, range(3000, 3050), tight_page)
    script.step("read tight", lambda: disk.digest(range(3000, 3050)))
    script.step("tight: huge_pages", lambda: script.number("mm_stat", 7) - huge)
    script.step("tight: below 3,800 bytes a page",
                lambda: script.number("mm_stat", 1) - packed < 50 * 3800)


def limit(script, disk):
    """A pool that is full: errors, nothing lost, and what works again after freeing."""
    pages = range(1000, 2000)
    before = disk.digest(range(0, 1000))
    write_text(script.target.attribute("mem_limit"), str(script.number("mm_stat", 2) + (1 << 20)))
    outcomes = [attempt(lambda page=page: disk.write(page, random_page(page))) for page in pages]
    refused = [page for page, outcome in zip(pages, outcomes) if outcome != "ok"]
    script.step("some writes fit below the limit", lambda: 100 < len(refused) < 900)
    script.step("write at the limit", lambda: sorted(set(outcomes)))
    script.step("refused writes are counted", lambda: script.number("io_stat", 1) == len(refused))
    script.step("content before the limit", lambda: disk.digest(range(0, 1000)) == before)
    script.step("refused pages read as zeros",
                lambda: all(disk.read(page) == bytes(PAGE_BYTES) for page in refused))
    script.step("same-filled at the limit", lambda: disk.write(0, pattern_page(9)))
    script.step("overwrite that shrinks at the limit", lambda: disk.write(1000, text_page(1000)))
    script.step("free at the limit",
                lambda: disk.range("BLKDISCARD", 1000 * PAGE_BYTES, 100 * PAGE_BYTES))
    script.step("write after freeing", lambda: disk.write(1001, random_page(1)))
    script.step("read after freeing", lambda: disk.read(1001) == random_page(1))
    script.store("mem_limit", "0", "at last ")


def other_algorithms(script):
    """What each algorithm makes of the same pages, where the device has it."""
    for name in ("lzo", "lzo-rle", "lz4", "lz4hc", "zstd", "deflate", "842"):
        offered = name in script.read("comp_algorithm").replace("[", "").replace("]", "").split()
        script.step(f"{name}: offered", lambda offered=offered: offered)
        if not offered:
            continue
        script.store("comp_algorithm", name, f"{name}: ")
        script.store("disksize", str(DISK_BYTES), f"{name}: ")
        script.chosen_algorithm(name)
        with Disk(script.target.disk()) as disk:
            fill(disk, range(0, 200), text_page)
            fill(disk, range(200, 250), random_page)
            script.step(f"{name}: read", lambda disk=disk: disk.digest(range(0, 260)))
        script.accounting(name)
        script.store("reset", "1", f"{name}: ")


def end(script):
    with Disk(script.target.disk()):
        script.store("reset", "1", "open ")
    script.store("reset", "1", "closed ")
    for name in ("disksize", "initstate", "mm_stat", "io_stat"):
        script.show(name, "after the end")


def class_words(script):
    """hot_add and hot_remove; the device that is added is removed again."""
    control = script.target.control
    script.step("hot_add <- '1'", lambda: write_text(control("hot_add"), "1"))
    script.step("read hot_remove", lambda: read_text(control("hot_remove")))
    for text in ("abc", "", "-1", "4711", "99999999999"):
        script.step(f"hot_remove <- {text!r}",
                    lambda text=text: write_text(control("hot_remove"), text))
    added = read_text(control("hot_add"))
    script.step("hot_add gives a number and a newline", lambda: added == f"{int(added)}\n")
    other = Target(script.target.block_folder, script.target.class_folder, int(added))
    script.step("the new device has its folder", lambda: read_text(other.attribute("initstate")))
    script.step("hot_remove of it", lambda: write_text(control("hot_remove"), added))
    script.step("its folder afterwards", lambda: read_text(other.attribute("initstate")))
