# SPDX-License-Identifier: Apache-2.0
"""Disks come and go from several shells in two daemons while a third program takes loop devices.

What:    each shell creates a disk, writes and reads it, and removes it. Strangers take and free
         loop devices over files of their own. An administrator detaches disks of ours by hand, so
         their numbers go to others while a daemon still has the device. No stranger's loop
         device is ever touched, every remove succeeds, every page reads back.
Shapes:  UZRAM_STORM_CYCLES: how many disks come and go in all (48); 10000 takes about an hour.
"""
import fcntl
import json
import mmap
import os
import pathlib
import random
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import Daemon, missing_for_a_disk, wait_until  # noqa: E402

CYCLES = int(os.environ.get("UZRAM_STORM_CYCLES", "48"))
SHELLS = 6
STRANGERS = 2
LOOP_SET_FD, LOOP_CLR_FD, LOOP_CTL_GET_FREE = 0x4C00, 0x4C01, 0x4C82


class Shell:
    """A connection to a daemon, as the command has."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("rb")

    def ask(self, **request):
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(self.lines.readline())
        if not answer["ok"]:
            raise AssertionError(f"{request}: {answer['error']}")
        return answer["result"]

    def close(self):
        self.lines.close()
        self.socket.close()


def page_of(number):
    page = mmap.mmap(-1, 4096)
    page.write(number.to_bytes(8, "little") * 512)
    return page


class Storm:
    def __init__(self, daemons):
        self.daemons = daemons
        self.lock = threading.Lock()
        self.left = CYCLES
        self.ours = {}  # Disks that an administrator may detach, by path.
        self.faults = []
        self.detached = self.taken = 0
        self.is_over = False

    def run(self):
        workers = [threading.Thread(target=self.guard, args=(self.shell, i)) for i in range(SHELLS)]
        others = [threading.Thread(target=self.guard, args=(self.stranger, i))
                  for i in range(STRANGERS)]
        others.append(threading.Thread(target=self.guard, args=(self.administrator, 0)))
        for thread in workers + others:
            thread.start()
        for thread in workers:
            thread.join()
        self.is_over = True
        for thread in others:
            thread.join()

    def guard(self, work, index):
        try:
            work(index)
        except Exception as error:  # pylint: disable=broad-except
            self.faults.append(f"{work.__name__} {index}: {error!r}")
            self.left = 0

    def shell(self, index):
        shell = Shell(self.daemons[index % len(self.daemons)].socket)
        try:
            while self.take_turn():
                self.live_a_life(shell, random.getrandbits(63))
        finally:
            shell.close()

    def take_turn(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def live_a_life(self, shell, number):
        device = shell.ask(op="create", size=16 << 20, algorithm="lz4")
        name, path = device["name"], device["block_path"]
        disk = os.open(path, os.O_RDWR | os.O_DIRECT)
        try:
            # Open, so that the number is ours until here, whatever the administrator does.
            backing = pathlib.Path(f"/sys/block/{path[5:]}/loop/backing_file").read_text("utf-8")
            if backing.strip().endswith(f"/disk/{name}"):
                os.pwrite(disk, page_of(number), 4096)
                seen = mmap.mmap(-1, 4096)
                os.preadv(disk, [seen], 4096)
                if seen[:] != page_of(number)[:]:
                    self.faults.append(f"{path} gave other bytes back")
        finally:
            os.close(disk)
        with self.lock:
            self.ours[path] = name
        time.sleep(random.random() * 0.02)
        if number % 3 == 0:
            device = shell.ask(op="attach", device=name)
        with self.lock:
            self.ours.pop(path, None)
        shell.ask(op="remove", device=name)

    def administrator(self, _):
        while not self.is_over:
            time.sleep(random.random() * 0.03)
            with self.lock:
                paths = list(self.ours)
                if not paths:
                    continue
                # Held with the lock: a shell takes a disk out of the list before it removes it.
                path = random.choice(paths)
                self.ours.pop(path)
                self.detach_if_ours(path)

    def detach_if_ours(self, path):
        try:
            node = os.open(path, os.O_RDONLY)
        except OSError:
            return
        try:
            backing = pathlib.Path(f"/sys/block/{path[5:]}/loop/backing_file").read_text("utf-8")
            if any(str(daemon.state) in backing for daemon in self.daemons):
                fcntl.ioctl(node, LOOP_CLR_FD)
                self.detached += 1
        except OSError:
            pass
        finally:
            os.close(node)

    def stranger(self, index):
        path = self.daemons[0].state.with_suffix(f".stranger{index}")
        content = os.urandom(1 << 20)
        path.write_bytes(content)
        try:
            with open(path, "r+b") as file, open("/dev/loop-control", "rb") as control:
                while not self.is_over:
                    self.use_a_loop_device(control, file, path)
            if path.read_bytes() != content:
                self.faults.append(f"the content of {path} has changed")
        finally:
            path.unlink()

    def use_a_loop_device(self, control, file, path):
        number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
        try:
            node = os.open(f"/dev/loop{number}", os.O_RDWR)
        except OSError:
            return
        try:
            fcntl.ioctl(node, LOOP_SET_FD, file.fileno())
        except OSError:
            return  # Somebody was faster.
        finally:
            os.close(node)  # From here on nothing but its own file keeps it.
        self.taken += 1
        folder = pathlib.Path(f"/sys/block/loop{number}")
        for _ in range(random.randrange(1, 8)):
            self.check_that_it_is_ours(folder, path)
            time.sleep(random.random() * 0.01)
        self.check_that_it_is_ours(folder, path)
        node = os.open(f"/dev/loop{number}", os.O_RDONLY)
        try:
            fcntl.ioctl(node, LOOP_CLR_FD)
        finally:
            os.close(node)

    def check_that_it_is_ours(self, folder, path):
        backing = (folder / "loop" / "backing_file").read_text("utf-8").strip()
        if backing != str(path):
            raise AssertionError(f"{folder.name} was taken from a stranger: {backing}")
        # The number of a disk that an administrator detached is put right a moment later.
        cache = folder / "queue" / "write_cache"
        if not wait_until(lambda: cache.read_text("utf-8") == "write back\n", 3):
            self.faults.append(f"{folder.name} inherited {cache.read_text('utf-8')}")


class DiskStormTest(unittest.TestCase):
    def test_nobodys_loop_device_is_touched(self):
        missing = missing_for_a_disk()
        if missing:
            self.skipTest(missing)
        daemons = [Daemon(), Daemon()]
        for daemon in daemons:
            self.addCleanup(daemon.clean_up)
        storm = Storm(daemons)
        storm.run()
        logs = "".join(daemon.log() for daemon in daemons)
        self.assertEqual([], storm.faults, logs[-4000:])
        self.assertGreater(storm.taken, 0)
        for daemon in daemons:
            self.assertEqual([], daemon.devices())
            self.assertEqual(0, daemon.stop())
            self.assertEqual([], daemon.leftovers())
        print(f"{CYCLES} disks, {storm.detached} detached by hand, {storm.taken} strangers",
              file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
