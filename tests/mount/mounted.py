# SPDX-License-Identifier: Apache-2.0
"""A mount of its own for a test: a directory below, a mount point, and an end that leaves nothing.

What:    MountTest.mount() starts `uzram mount --foreground` and waits until the kernel has it;
         unmount() ends it as a user does and waits for the process. Whatever a failing test leaves
         is taken away after every case.
Errors:  skips, with the reason, where nothing can be mounted.
"""
import ctypes
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import run, uzram_program, wait_until  # noqa: E402

CLUSTER = 16384
SMALL_END = 2 * CLUSTER  # Files below it are kept as they are.
MAGIC = b"uzramcf\0"
EXCHANGE = 2  # For renameat2(2).
LIBC = ctypes.CDLL(None, use_errno=True)


def why_no_mount():
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened here"
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        return "a user without root needs fusermount3"
    return None


def text(byte_count, seed=5):
    """Words that pack to about a third."""
    chooser = random.Random(seed)
    words = [f"{chooser.randrange(1 << 30):x} " for _ in range(300)]
    return "".join(chooser.choice(words) for _ in range(byte_count // 4)).encode()[:byte_count]


def noise(byte_count, seed=7):
    return random.Random(seed).randbytes(byte_count)


def is_mounted(path):
    """Whether something is mounted there; asks the kernel's table only, which cannot hang."""
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as table:
        return any(line.split(" ")[1] == str(path) for line in table)


def fallocate(descriptor, mode, offset, length):
    """fallocate(2), which the os module has only for posix_fallocate."""
    sizes = ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long
    values = [kind(value) for kind, value in zip(sizes, (descriptor, mode, offset, length))]
    if LIBC.fallocate(*values) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def rename2(source, target, flags):
    if LIBC.renameat2(-100, os.fsencode(source), -100, os.fsencode(target), flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class MountTest(unittest.TestCase):
    prefix = ()  # Of the command that mounts.

    def setUp(self):
        why = why_no_mount()
        if why:
            self.skipTest(why)
        folder = tempfile.mkdtemp(prefix="uzram-mount-")
        self.top = pathlib.Path(os.path.realpath(folder))
        self.addCleanup(self.clean_up)
        self.below, self.above = self.top / "below", self.top / "above"
        self.below.mkdir()
        self.above.mkdir()
        self.daemons = []

    def clean_up(self):
        for daemon in self.daemons:
            if daemon.poll() is None:
                daemon.kill()
            daemon.communicate()
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as table:
            points = [line.split(" ")[1] for line in table]
        for point in reversed(points):
            if point.startswith(f"{self.top}/"):
                words = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-u", "-z"]
                subprocess.run([*words, point], check=False, capture_output=True)
        shutil.rmtree(self.top, ignore_errors=True)

    def mount(self, *options, above=None, below=None):
        """Returns the process that serves."""
        point = above or self.above
        words = [word for option in options for word in ("-o", option)]
        daemon = self.mount_process(subprocess.PIPE, *words, above=point, below=below)
        ready = wait_until(lambda: is_mounted(point) or daemon.poll() is not None)
        self.assertTrue(ready and daemon.poll() is None, "it did not mount")
        return daemon

    def mount_process(self, errors, *words, above=None, below=None):
        """The same without waiting, for mounts that may fail."""
        daemon = subprocess.Popen(
            [*self.prefix, uzram_program(), "mount", "--foreground", below or self.below,
             above or self.above, *words], stdout=subprocess.DEVNULL, stderr=errors, text=True)
        self.daemons.append(daemon)
        return daemon

    def unmount(self, above=None, status=0):
        """Ends the newest mount. Returns what it said."""
        run("umount", above or self.above)
        return self.wait_for_end(self.daemons[-1], status)

    def wait_for_end(self, daemon, status=0):
        _, said = daemon.communicate(timeout=60)
        self.assertEqual(status, daemon.returncode, said)
        return said

    def remount(self, *options):
        self.unmount()
        return self.mount(*options)

    def kill(self, daemon):
        """As a power cut would end it, as far as its memory goes."""
        daemon.send_signal(signal.SIGKILL)
        daemon.communicate(timeout=60)
        run("umount", "-l", self.above)

    def is_cluster_file(self, name):
        return (self.below / name).read_bytes().startswith(MAGIC)

    def content_below(self, name):
        """What `uzram cluster` finds in the directory itself."""
        done = subprocess.run([uzram_program(), "cluster", "cat", self.below / name],
                              capture_output=True, check=True)
        return done.stdout

    def verify_below(self, name):
        run(uzram_program(), "cluster", "verify", self.below / name)

    def assert_fails(self, code, function, *arguments):
        with self.assertRaises(OSError) as raised:
            function(*arguments)
        self.assertEqual(code, raised.exception.errno, raised.exception)
