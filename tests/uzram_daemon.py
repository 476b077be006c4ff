# SPDX-License-Identifier: Apache-2.0
"""A daemon of its own for a test: its folder, its devices, and an end that leaves nothing behind.

What:    Daemon starts `uzram serve` in a new folder and waits until it answers; stop() ends it as a
         user does. Whatever a failing test leaves (swap, mounts, loop devices, processes) is taken
         away by clean_up(), which DaemonTest calls after every case.
Errors:  DaemonTest skips, with the reason, where a disk cannot be had.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
_START_SECONDS = 30


def find_program(name):
    """The path of a system program; also those that only root has on the path. None: not there."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def uzram_program():
    folder = pathlib.Path(os.environ.get("UZRAM_BUILD", ROOT / "build" / "release"))
    program = folder / "uzram"
    if not program.exists():
        raise unittest.SkipTest(f"{program} is not built")
    return program


def missing_for_a_disk():
    """Why this machine and user cannot have a loop device over FUSE; None when they can."""
    if os.geteuid() != 0:
        return "needs root (FUSE mount and loop device)"
    for path in ("/dev/fuse", "/dev/loop-control"):
        if not os.path.exists(path):
            return f"needs {path}"
    return None


def run(*words, check=True, seconds=300, **keywords):
    """Runs a system program; its output is text. A failure shows that output."""
    program = find_program(str(words[0])) or words[0]
    done = subprocess.run([str(word) for word in (program, *words[1:])], capture_output=True,
                          text=True, timeout=seconds, check=False, **keywords)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: exit status {done.returncode}\n"
                             f"{done.stdout}{done.stderr}")
    return done


def wait_until(condition, seconds=20):
    """Whether the condition became true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class Daemon:
    """`uzram serve` with a state folder of its own."""

    def __init__(self, *options):
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="uzram-e2e-", dir="/tmp"))
        self.tree = self.state / "sys"
        self.socket = self.state / "control"
        self.log_path = self.state.with_suffix(".log")
        with open(self.log_path, "wb") as log:
            command = [uzram_program(), "serve", "--state", self.state, *options]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        if not wait_until(self._answers, _START_SECONDS):
            self.clean_up()
            raise AssertionError("uzram serve does not answer")

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"uzram serve ended: {self.log()}")
        return self.socket.exists() and self.ask("list").returncode == 0

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def ask(self, *words, seconds=300):
        """The command as a user types it; returns what it did."""
        return subprocess.run([uzram_program(), *map(str, words), "--socket", self.socket],
                              capture_output=True, text=True, timeout=seconds, check=False)

    def must(self, *words):
        """The same, when it has to work. Returns: its output."""
        done = self.ask(*words)
        if done.returncode != 0:
            raise AssertionError(f"uzram {' '.join(map(str, words))}: {done.stderr}{self.log()}")
        return done.stdout

    def create(self, *options):
        """Returns: (name, disk)."""
        name, disk = self.must("create", *options).split()
        return name, disk

    def devices(self):
        return json.loads(self.must("list", "--json"))

    def attribute(self, name, attribute):
        return (self.tree / "block" / name / attribute).read_text(encoding="utf-8")

    def mm_stat(self, name):
        fields = self.attribute(name, "mm_stat").split()
        return dict(zip(("orig_data_size", "compr_data_size", "mem_used_total", "mem_limit",
                         "mem_used_max", "same_pages", "pages_compacted", "huge_pages",
                         "huge_pages_since"), map(int, fields)))

    def arena_bytes(self):
        """What the daemon's memory files really hold, as the kernel counts."""
        total = 0
        for entry in pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                if "memfd:" in os.readlink(entry):
                    total += os.stat(entry).st_blocks * 512
            except OSError:
                pass
        return total

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def stop(self, seconds=30):
        """`uzram stop --force`: what the disks hold goes. Returns: the daemon's exit status."""
        self.must("stop", "--force")
        return self.process.wait(seconds)

    def leftovers(self):
        """Mounts and loop devices that name this daemon's folder."""
        mounts = pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        found = [line.split()[4] for line in mounts if str(self.state) in line]
        for backing in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
            try:
                if str(self.state) in backing.read_text(encoding="utf-8"):
                    found.append(f"/dev/{backing.parts[3]}")
            except OSError:
                pass  # Detached meanwhile.
        return found

    def clean_up(self):
        """Takes away what is left, whatever state it is in."""
        for _ in range(3):
            for what in self.leftovers():
                if what.startswith("/dev/loop"):
                    self._free_loop(what)
                else:
                    run("umount", "-l", what, check=False)
        if self.process.poll() is None:
            try:
                self.ask("stop", "--force", seconds=10)
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for what in self.leftovers():
            if what.startswith("/dev/loop"):
                run("losetup", "-d", what, check=False)
            else:
                run("umount", "-l", what, check=False)
        shutil.rmtree(self.state, ignore_errors=True)
        self.log_path.unlink(missing_ok=True)

    def _free_loop(self, disk):
        swaps = pathlib.Path("/proc/swaps").read_text(encoding="utf-8")
        if f"{disk} " in swaps:
            run("swapoff", disk, check=False)
        for line in pathlib.Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{disk} "):
                run("umount", "-l", line.split()[1], check=False)


class DaemonTest(unittest.TestCase):
    """Each case has a daemon; nothing of it is there afterwards."""

    def setUp(self):
        missing = missing_for_a_disk()
        if missing:
            self.skipTest(missing)
        self.daemon = Daemon()
        self.addCleanup(self.daemon.clean_up)

    def need(self, *programs):
        for name in programs:
            if not find_program(name):
                self.skipTest(f"{name} is not installed")
