# SPDX-License-Identifier: Apache-2.0
"""The tree from a shell, as scripts for the kernel's zram use it, and zramctl on top of it."""
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import DaemonTest, find_program, run  # noqa: E402


class ShellTest(DaemonTest):
    def shell(self, script, check=True):
        """In the tree's folder, with the C locale's error texts."""
        return run("bash", "-c", script, cwd=self.daemon.tree, check=check,
                   env={**os.environ, "LC_ALL": "C"})

    def test_a_device_is_set_up_and_torn_down_with_cat_and_echo(self):
        self.assertEqual("0\n", self.shell("cat class/zram-control/hot_add").stdout)
        self.shell("echo zstd > block/zram0/comp_algorithm; echo 64M > block/zram0/disksize")
        shown = self.shell("cd block/zram0; cat initstate disksize").stdout
        self.assertEqual("1\n67108864\n", shown)
        self.assertIn("[zstd]", self.shell("cat block/zram0/comp_algorithm").stdout)
        self.shell("echo 1 > block/zram0/reset")
        self.assertEqual("0\n", self.shell("cat block/zram0/initstate").stdout)
        self.shell("echo 0 > class/zram-control/hot_remove")
        self.assertEqual("", self.shell("ls block").stdout)

    def test_ls_shows_every_attribute_with_its_mode(self):
        self.daemon.create("--size", "16M")
        listed = {}
        folders = ("block/zram0/", "kernel/debug/zram/zram0/", "kernel/debug/zsmalloc/zram0/")
        for folder in folders:
            for line in self.shell(f"ls -l {folder}").stdout.splitlines()[1:]:
                fields = line.split()
                self.assertNotIn(fields[-1], listed)
                listed[fields[-1]] = fields[0][1:10]
        for line in self.daemon.must("get", "--list").splitlines():
            name, mode = line.split()[:2]
            bits = int(mode, 8)
            shown = "".join(letter if bits >> (8 - at) & 1 else "-"
                            for at, letter in enumerate("rwxrwxrwx"))
            self.assertEqual(shown, listed.get(name), name)

    def test_wrong_words_give_the_shell_the_kernels_errors(self):
        self.daemon.create("--size", "16M")
        for script, said in (("echo 32M > block/zram0/disksize", "Device or resource busy"),
                             ("echo x > block/zram0/mem_limit", "Invalid argument"),
                             ("cat block/zram0/reset", "Permission denied"),
                             ("echo x > block/zram0/idle", "Invalid argument"),
                             ("echo type=cold > block/zram0/recompress", "Invalid argument"),
                             ("echo priority=1 > block/zram0/recompress", "Invalid argument"),
                             ("echo algo=zstd > block/zram0/recomp_algorithm",
                              "Device or resource busy"),
                             ("echo 1 > block/zram0/use_dedup", "Device or resource busy"),
                             ("echo 77 > class/zram-control/hot_remove", "No such device"),
                             ("echo 1 > block/zram0/no_such_word",
                              "Permission denied|No such file")):
            done = self.shell(script, check=False)
            self.assertNotEqual(0, done.returncode, script)
            self.assertRegex(done.stderr, said, script)


class ZramctlTest(DaemonTest):
    """util-linux' zramctl in a mount namespace where our tree stands in the kernel's places.

    The class folder goes first: otherwise `zramctl --reset` would remove the machine's own device.
    """

    def setUp(self):
        super().setUp()
        self.need("zramctl", "unshare")
        for path in ("/sys/class/zram-control", "/sys/devices/virtual/block/zram0", "/dev/zram0"):
            if not os.path.exists(path):
                self.skipTest(f"there is no {path} to mount over: the kernel's zram is not loaded")
        _, self.disk = self.daemon.create("--size", "64M", "--algorithm", "lz4")
        self.loop = pathlib.Path(self.disk).name

    def in_namespace(self, script):
        places = f"""set -e
            mount --make-rprivate /
            mount --bind "$tree/class/zram-control" /sys/class/zram-control
            mount --bind "$tree/block/zram0" /sys/devices/virtual/block/{self.loop}
            mount --bind "$tree/block/zram0" /sys/devices/virtual/block/zram0
            mount --bind {self.disk} /dev/zram0
            """
        done = subprocess.run([find_program("unshare"), "-m", "sh", "-c", places + script],
                              env={**os.environ, "tree": str(self.daemon.tree), "LC_ALL": "C",
                                   "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"},
                              capture_output=True, text=True, check=False)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def test_it_lists_our_device(self):
        run("dd", "if=/dev/zero", f"of={self.disk}", "bs=1M", "count=8", "oflag=direct")
        columns = "NAME,DISKSIZE,DATA,COMPR,ALGORITHM,TOTAL"
        listed = self.in_namespace(
            f"zramctl --bytes --noheadings --raw --output {columns} /dev/zram0")
        name, disksize, data, compr, algorithm, _ = listed.split()
        self.assertEqual(("/dev/zram0", "67108864", "8388608", "0", "lz4"),
                         (name, disksize, data, compr, algorithm))

    def test_our_list_has_its_columns(self):
        theirs = self.in_namespace("zramctl /dev/zram0").splitlines()
        ours = self.daemon.must("list").splitlines()
        self.assertEqual(theirs[0].split(), ours[0].split())
        # The name and the mount point are told of different views.
        self.assertEqual(theirs[1].split()[1:], ours[1].split()[1:])

    def test_it_resets_our_device(self):
        self.in_namespace("zramctl --reset /dev/zram0")
        self.assertEqual([], [d for d in self.daemon.devices() if d["disksize"]])


if __name__ == "__main__":
    unittest.main()
