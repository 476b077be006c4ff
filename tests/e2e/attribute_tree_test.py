# SPDX-License-Identifier: Apache-2.0
"""The tree from a shell, as scripts for the kernel's zram use it with a path prefix."""
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import DaemonTest, run  # noqa: E402


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


if __name__ == "__main__":
    unittest.main()
