# SPDX-License-Identifier: Apache-2.0
"""Wrong input on the command line: one line that says what would have been right, and exit 2."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import DaemonTest, uzram_program  # noqa: E402

# Words after `uzram`, and what the line has to name.
WRONG_INPUT = (
    ((), "create"),
    (("nosuch",), "create"),
    (("create",), "--size"),
    (("create", "--size", ""), "512M"),
    (("create", "--size", "0"), "512M"),
    (("create", "--size", "1.5G"), "512M"),
    (("create", "--size", "-1"), "512M"),
    (("create", "--size", "1GB"), "512M"),
    (("create", "--size", "99999999999E"), "--size"),
    (("create", "--size", "1G", "--algorithm", "zip"), "zstd"),
    (("create", "--size", "1G", "--mem-limit", "much"), "--mem-limit"),
    (("create", "--size", "1G", "--level", "high"), "level"),
    (("create", "--sise", "1G"), "--size"),
    (("get",), "zram0"),
    (("get", "zram0", "nosuch"), "nosuch"),
    (("set", "zram0"), "attribute"),
    (("set", "zram0", "mem_limit"), "value"),
    (("set", "zram0", "mem_limit", "lots"), "mem_limit"),
    (("set", "zram0", "nosuch", "1"), "nosuch"),
    (("remove",), "device"),
    (("policy",), "device"),
    (("policy", "zram0", "--explian"), "--explain"),
    (("swap",), "on"),
    (("swap", "sideways"), "on"),
    (("stat", "--watch", "soon"), "seconds"),
    (("list", "--output", "NAME,NOSUCH"), "NOSUCH"),
    (("serve", "--threads", "many"), "threads"),
    (("exec", "--", "true"), "--memory-limit"),
    (("exec", "--memory-limit", "64M"), "program"),
    (("exec", "--memory-limit", "1M", "--", "true"), "8M"),
    (("exec", "--memory-limit", "64M", "--threshold", "1", "--", "true"), "256"),
    (("exec", "--memory-limit", "64M", "--backend", "thread", "--", "true"), "signal"),
    (("exec", "--memory-limit", "64M", "--algorithm", "zip", "--", "true"), "zstd"),
    (("exec", "--memory-limit", "64M", "--", "no-such-program"), "no-such-program"),
)


class WrongInputTest(unittest.TestCase):
    """Needs no daemon: nothing of it may get that far."""

    def test_every_wrong_input_gets_one_helpful_line(self):
        with tempfile.TemporaryDirectory() as folder:
            for words, named in WRONG_INPUT:
                with self.subTest(words=words):
                    done = subprocess.run([uzram_program(), *words], capture_output=True, text=True,
                                          timeout=20, check=False,
                                          env={"XDG_RUNTIME_DIR": folder, "PATH": "/usr/bin:/bin"})
                    self.assertEqual(2, done.returncode, done)
                    self.assertEqual("", done.stdout)
                    self.assertEqual(1, done.stderr.count("\n"), done.stderr)
                    self.assertIn(named, done.stderr)

    def test_without_a_daemon_the_line_says_how_to_start_one(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([uzram_program(), "list", "--socket", f"{folder}/control"],
                                  capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual(1, done.returncode)
        self.assertEqual(1, done.stderr.count("\n"), done.stderr)
        self.assertIn("serve", done.stderr)


class RightInputTest(DaemonTest):
    def test_sizes_in_every_spelling(self):
        for text, size in (("512K", 512 << 10), ("16M", 16 << 20), ("1G", 1 << 30),
                           ("4GiB", 4 << 30), ("1048576", 1 << 20), ("64m", 64 << 20)):
            name, _ = self.daemon.create("--size", text)
            self.assertEqual(f"{size}\n", self.daemon.must("get", name, "disksize"), text)
            self.daemon.must("remove", name)

    def test_set_and_get_of_a_limit(self):
        name, _ = self.daemon.create("--size", "64M", "--mem-limit", "32M")
        self.daemon.must("set", name, "mem_limit", "16M")
        self.assertEqual(16 << 20, self.daemon.mm_stat(name)["mem_limit"])

    def test_a_device_goes_by_its_disk_too(self):
        name, disk = self.daemon.create("--size", "64M")
        self.assertEqual(self.daemon.must("get", name), self.daemon.must("get", disk))

    def test_list_as_json_has_all_devices(self):
        made = [self.daemon.create("--size", "16M") for _ in range(2)]
        listed = json.loads(self.daemon.must("list", "--json"))
        self.assertEqual(made, [(device["name"], device["block_path"]) for device in listed])

    def test_a_device_that_is_not_there_is_named(self):
        refused = self.daemon.ask("get", "zram9", "disksize")
        self.assertNotEqual(0, refused.returncode)
        self.assertIn("zram9", refused.stderr)
        self.assertEqual(1, refused.stderr.count("\n"))

    def test_reset_makes_a_device_new(self):
        name, _ = self.daemon.create("--size", "16M", "--algorithm", "zstd")
        self.daemon.must("reset", name)
        self.assertEqual("0\n", self.daemon.must("get", name, "disksize"))
        self.assertIn("[lzo-rle]", self.daemon.must("get", name, "comp_algorithm"))

    def test_watch_prints_a_line_per_look(self):
        name, _ = self.daemon.create("--size", "16M")
        with subprocess.Popen([uzram_program(), "stat", name, "--watch", "0.2", "--socket",
                               self.daemon.socket], stdout=subprocess.PIPE, text=True) as watching:
            lines = [watching.stdout.readline() for _ in range(3)]
            watching.terminate()
            self.assertEqual(0, watching.wait(10))
        for line in lines:
            self.assertTrue(line.startswith("zram0 "), line)


if __name__ == "__main__":
    unittest.main()
