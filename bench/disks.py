# SPDX-License-Identifier: Apache-2.0
"""The disks that are measured: ours and the peers', each set up on entry and gone on exit."""
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time

from machine import output_of, read_text

WAIT_SECONDS = 30
# Whoever uses the machine's zram device holds this lock, since there is only one.
ZRAM_LOCK = "/tmp/zram0.lock"
PLUGIN = "src/frontend/nbd/nbdkit-uzram-plugin.so"


class Unavailable(Exception):
    """This machine or user cannot have such a disk; the text says why."""


def wait_until(condition, what):
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {WAIT_SECONDS} s for {what}")
        time.sleep(0.02)


def need(*programs):
    for name in programs:
        if shutil.which(name) is None and not os.path.exists(name):
            raise Unavailable(f"{os.path.basename(name)} is not there")


def end(process):
    """SIGTERM, and after a while SIGKILL."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def try_write(path, text):
    """Returns whether an attribute took it."""
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return True
    except OSError:
        return False


@contextlib.contextmanager
def folder():
    path = tempfile.mkdtemp(prefix="uzram-bench-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def kernel_zram(algorithm, disk_bytes):
    """The kernel's own zram device. Yields its path. One that is in use is left alone."""
    node, attributes = "/dev/zram0", "/sys/block/zram0"
    if not os.path.exists(node):
        raise Unavailable("this kernel has no /dev/zram0")
    if os.geteuid() != 0:
        raise Unavailable("/dev/zram0 needs root")

    with open(ZRAM_LOCK, "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if read_text(f"{attributes}/initstate") != "0":
            raise Unavailable("/dev/zram0 is in use")
        known = (read_text(f"{attributes}/comp_algorithm") or "").replace("[", "").replace("]", "")
        if algorithm not in known.split():
            raise Unavailable(f"/dev/zram0 has no {algorithm}")
        try:
            for name, value in (("comp_algorithm", algorithm), ("disksize", str(disk_bytes))):
                if not try_write(f"{attributes}/{name}", value):
                    raise RuntimeError(f"/dev/zram0 does not take {name} {value}")
            yield node
        finally:
            # Whoever looks at new block devices may have it open for a moment.
            wait_until(lambda: try_write(f"{attributes}/reset", "1"), "the reset of /dev/zram0")


def kernel_zram_bytes(disk_bytes):
    """mem_used_total, and the table of 16 bytes for each page of the disk."""
    return int(read_text("/sys/block/zram0/mm_stat").split()[2]) + disk_bytes // 4096 * 16


class NbdServer:
    """An nbdkit over a Unix socket."""

    def __init__(self, *words):
        self.words = words
        self.process = None

    def __enter__(self):
        need("nbdkit")
        self.stack = contextlib.ExitStack()
        try:
            self.folder = self.stack.enter_context(folder())
            command = ["nbdkit", "-f", "-U", f"{self.folder}/socket", "-P", f"{self.folder}/pid",
                       *self.words]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL)
            self.stack.callback(end, self.process)
            wait_until(lambda: os.path.exists(f"{self.folder}/pid") or self.has_ended(),
                       "nbdkit")
            if self.has_ended():
                raise RuntimeError(f"nbdkit {' '.join(self.words)} did not start")
        except BaseException:
            self.stack.close()
            raise
        self.empty_bytes = self.memory_bytes()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def has_ended(self):
        return self.process.poll() is not None

    @property
    def uri(self):
        return f"nbd+unix:///?socket={self.folder}/socket"

    def memory_bytes(self):
        """Anonymous memory of the process, and all memory of the memfds that it holds."""
        pid = self.process.pid
        lines = dict(line.split(":", 1) for line in read_text(f"/proc/{pid}/status").splitlines()
                     if ":" in line)
        total = int(lines["RssAnon"].split()[0]) * 1024
        seen = set()
        for name in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{name}"
            with contextlib.suppress(OSError):
                status = os.stat(path)
                is_new = (status.st_dev, status.st_ino) not in seen
                if os.readlink(path).startswith("/memfd:") and is_new:
                    seen.add((status.st_dev, status.st_ino))
                    total += status.st_blocks * 512
        return total

    def content_bytes(self):
        """What the server has grown by since it was empty."""
        return self.memory_bytes() - self.empty_bytes


def our_nbd(build, size, algorithm):
    need(f"{build}/{PLUGIN}")
    return NbdServer(f"{build}/{PLUGIN}", f"size={size}", f"algorithm={algorithm}")


@contextlib.contextmanager
def our_block_device(build, size, algorithm):
    """The daemon with one device. Yields (loop device, the FUSE file behind it)."""
    program = f"{build}/uzram"
    need(program)
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        raise Unavailable("a block device needs root and /dev/fuse")
    with folder() as place:
        socket = f"{place}/control"
        with open(f"{place}/log", "w", encoding="ascii") as log:
            daemon = subprocess.Popen([program, "serve", "--stop-drops-data", "--state", place,
                                       "--socket", socket],
                                      stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(lambda: os.path.exists(socket) or daemon.poll() is not None, "uzram serve")
            if daemon.poll() is not None:
                raise RuntimeError(f"uzram serve did not start: {read_text(place + '/log')}")
            printed = run(program, "create", "--size", size, "--algorithm", algorithm, "--socket",
                          socket)
            loop = printed.split()[1]
            file = read_text(f"/sys/block/{os.path.basename(loop)}/loop/backing_file")
            yield loop, file if file and os.path.exists(file) else None
        finally:
            end(daemon)
            forget_mounts(place)


def forget_mounts(place):
    """What a daemon that was killed has left under this folder."""
    for line in (read_text("/proc/self/mounts") or "").splitlines():
        mount = line.split()[1]
        if mount.startswith(place):
            subprocess.run(["umount", "-l", mount], check=False, capture_output=True)


def end_nbdfuse(process, file):
    """Unmounted, it ends by itself."""
    subprocess.run(["fusermount3", "-u", file], check=False, capture_output=True)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(WAIT_SECONDS)
    end(process)


@contextlib.contextmanager
def nbdfuse_loop(*words):
    """nbdfuse over nbdkit, a loop device over it. Yields the loop device."""
    need("nbdfuse", "losetup", "fusermount3")
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        raise Unavailable("a loop device over nbdfuse needs root and /dev/fuse")
    with NbdServer(*words) as server, contextlib.ExitStack() as stack:
        file = f"{server.folder}/disk"
        with open(file, "w", encoding="ascii"):
            pass
        process = subprocess.Popen(["nbdfuse", "-P", f"{server.folder}/nbdfuse.pid", file,
                                    server.uri], stdin=subprocess.DEVNULL)
        stack.callback(end_nbdfuse, process, file)
        wait_until(lambda: os.path.exists(f"{server.folder}/nbdfuse.pid")
                   or process.poll() is not None, "nbdfuse")
        loop = output_of("losetup", "--find", "--show", "--direct-io=on", "--sector-size", "4096",
                         file)
        if not loop:
            raise Unavailable("losetup could not attach nbdfuse's file")
        stack.callback(lambda: subprocess.run(["losetup", "-d", loop], check=False))
        yield loop
