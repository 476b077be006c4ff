# SPDX-License-Identifier: Apache-2.0
"""`uzram mount` with lz4 against itself as a plain pass-through, on a slow disk and on tmpfs.

Both write and read the same pages, one after the other, turn by turn. A write ends with an fsync; a
read finds nothing in any cache of the mount, and on the disk nothing in the page cache either.
"""
import contextlib
import os
import subprocess
import time

from disks import Unavailable, folder, nbdfuse_loop, need, run, wait_until
from report import Row, Skipped

MIB = 1 << 20
# A disk of 80 MB a second, as eMMC and hard disks are.
DISK_BITS_A_SECOND, DISK = "640M", "2G"
COMPRESSED, PLAIN = "compress_algorithm=lz4", "nocompress_extension=*"
# (where, least ratio of throughput)
PLACES = (("slow disk", 1.0), ("tmpfs", 0.5))


@contextlib.contextmanager
def slow_disk(place):
    """An ext4 file system on a disk of that rate."""
    need("mkfs.ext4")
    with nbdfuse_loop("--filter=rate", "memory", DISK, f"rate={DISK_BITS_A_SECOND}",
                      "burstiness=0.2") as device, contextlib.ExitStack() as stack:
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-O",
            "^has_journal", device)
        run("mount", device, place)
        stack.callback(subprocess.run, ["umount", "--lazy", place], check=True)
        yield


@contextlib.contextmanager
def tmpfs(place):
    run("mount", "-t", "tmpfs", "-o", "size=1G", "tmpfs", place)
    try:
        yield
    finally:
        run("umount", "--lazy", place)


class Side:
    """A mount of its own folder, with these options."""

    def __init__(self, bench, stack, place, name, options):
        self.program, self.options = f"{bench.build}/uzram", options
        self.stored = os.path.join(place, name)
        self.top = stack.enter_context(folder())
        self.file = os.path.join(self.top, "file")
        os.mkdir(self.stored)
        self.mount()
        stack.callback(self.unmount)

    def mount(self):
        run(self.program, "mount", self.stored, self.top, "-o", self.options)

    def unmount(self):
        if os.path.ismount(self.top):
            run("umount", self.top)
            # The next one may come once this one has let go of the folder.
            wait_until(lambda: subprocess.run(["flock", "-n", self.stored, "true"],
                                              check=False).returncode == 0, "the mount's end")

    def forget(self):
        self.unmount()
        os.sync()
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("3")
        self.mount()

    def write(self, content):
        """Returns MiB a second."""
        if os.path.exists(self.file):
            os.unlink(self.file)
        os.sync()
        view = memoryview(content)
        started = time.monotonic()
        with open(self.file, "wb", buffering=0) as file:
            for offset in range(0, len(view), MIB):
                file.write(view[offset:offset + MIB])
            os.fsync(file.fileno())
        return len(view) / MIB / (time.monotonic() - started)

    def read(self, content):
        """Returns MiB a second; what is read is compared after that."""
        self.forget()
        found = bytearray(len(content))
        view = memoryview(found)
        done = 0
        started = time.monotonic()
        with open(self.file, "rb", buffering=0) as file:
            while got := file.readinto(view[done:done + MIB]):
                done += got
        rate = len(content) / MIB / (time.monotonic() - started)
        if found != content:
            raise RuntimeError(f"{self.file} ({self.options}) does not read as it was written")
        return rate


def measure(bench, place, name, least, content):
    with contextlib.ExitStack() as stack:
        sides = [Side(bench, stack, place, "packed", COMPRESSED),
                 Side(bench, stack, place, "plain", PLAIN)]
        rates = {job: ([], []) for job in ("write", "read")}
        for number in range(2 if bench.is_quick else 6):
            for job, found in rates.items():
                for side, values in zip(sides, found):
                    values.append(getattr(side, job)(content))
            if number == 0 and not bench.is_quick:
                rates = {job: ([], []) for job in rates}  # It has made memory ready.
        stored = [os.stat(os.path.join(side.stored, "file")).st_blocks * 512 for side in sides]
    bench.raw[f"mount on {name}"] = {"rates": rates, "stored_bytes": stored}
    for job, (ours, theirs) in rates.items():
        bench.rows.append(Row(f"mount, lz4, sequential {job}, {name}", "MiB/s", ours, theirs,
                              "pass-through", (">=", least)))
    bench.rows.append(Row(f"mount, lz4, file on {name}", "MiB", stored[0] / MIB, stored[1] / MIB,
                          "pass-through"))


def mount(bench, _stack):
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        bench.rows.append(Skipped("mount", "needs root and /dev/fuse"))
        return
    with open(bench.corpus, "rb") as file:
        content = file.read((16 if bench.is_quick else 256) * MIB)
    for name, least in PLACES:
        bench.say(f"mount on {name}")
        try:
            with folder() as place, {"slow disk": slow_disk, "tmpfs": tmpfs}[name](place):
                measure(bench, place, name, least, content)
        except Unavailable as reason:
            bench.rows.append(Skipped(f"mount on {name}", str(reason)))


SECTIONS = (("mount", mount),)
