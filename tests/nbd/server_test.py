#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server as a process: wrong keys, the background, no privilege, the control socket, memory."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from nbd_server import (CLIENT_SECONDS, MIB, START_SECONDS, NbdCase, find_plugin, find_program,
                        main, require_program, run_plugin, sample_bytes, sanitizer_environment)


RUNS_BESIDE_OTHERS = True


class WrongKeyTest(NbdCase):
    """Whatever is wrong is said in one line, before the server goes into the background."""

    def setUp(self):
        # nbdkit leaves the folder that it makes for `-U -` behind when a plug-in refuses its keys.
        folder = tempfile.TemporaryDirectory(prefix="uzram-nbd-")
        self.addCleanup(folder.cleanup)
        self.socket = f"{folder.name}/socket"

    def assert_refused(self, line, *keys):
        done = run_plugin("-f", "-U", self.socket, *keys)
        self.assertNotEqual(done.returncode, 0, keys)
        errors = [text for text in done.stderr.splitlines() if text]
        self.assertEqual(len(errors), 1, done.stderr)
        self.assertRegex(errors[0], f"^nbdkit: error: {line}")

    def test_size_is_required(self):
        self.assert_refused("size is missing: .* size=1G", "algorithm=lz4")

    def test_a_wrong_size_is_answered_with_an_example(self):
        for text in ("size=0", "size=-1", "size=1GB", "size=12Q", "size=abc", "size=",
                     "size=99999999999999999999"):
            with self.subTest(text):
                self.assert_refused(".* size=", text)

    def test_a_wrong_algorithm_is_answered_with_all_algorithms(self):
        self.assert_refused('algorithm="lz5" .* lz4, lz4hc, zstd', "size=1M", "algorithm=lz5")

    def test_a_wrong_level_is_answered_with_the_range(self):
        self.assert_refused("level=500 .* levels are", "size=1M", "algorithm=zstd", "level=500")
        self.assert_refused('level="high" is not a whole number', "size=1M", "level=high")
        self.assert_refused("lzo takes no level", "size=1M", "algorithm=lzo", "level=1")

    def test_an_unreadable_dictionary_is_named(self):
        self.assert_refused(".*/nonexistent/words", "size=1M", "algorithm=zstd",
                            "dict=/nonexistent/words")

    def test_wrong_window_limit_and_check_are_refused(self):
        self.assert_refused("zstd takes no winbits", "size=1M", "algorithm=zstd", "winbits=12")
        self.assert_refused('mem_limit="lots" is not a size', "size=1M", "mem_limit=lots")
        self.assert_refused('check="maybe" is neither', "size=1M", "check=maybe")

    def test_an_unknown_key_is_answered_with_all_keys(self):
        self.assert_refused('"colour" is not a key .* size, algorithm', "size=1M", "colour=red")

    def test_a_control_socket_that_cannot_be_made_is_named(self):
        self.assert_refused("control: .*/nonexistent", "size=1M", "control=/nonexistent/control")
        self.assert_refused("control: .*/etc/passwd exists", "size=1M", "control=/etc/passwd")

    def test_a_wrong_key_is_seen_when_the_server_would_go_into_the_background(self):
        done = run_plugin("-U", "/nonexistent/socket", "size=1M", "algorithm=zstd", "level=500")
        self.assertIn("level=500", done.stderr)
        self.assertNotEqual(done.returncode, 0)


class ControlSocketTest(NbdCase):
    def setUp(self):
        require_program("qemu-io")
        self.server = self.serve("size=64M", "algorithm=zstd", "control=FOLDER/control")

    def test_statistics_count_what_clients_do(self):
        self.server.run("qemu-io", "-f", "raw", "-c", "write -P 1 0 1M", "-c", "read 0 64k", "URI")
        self.assertEqual(self.server.stat_column("mm_stat", 0), MIB)
        self.assertEqual(self.server.stat_column("stat", 6), MIB // 512)
        self.assertGreaterEqual(self.server.stat_column("stat", 2), (64 << 10) // 512)

    def test_the_device_is_listed_with_its_settings(self):
        answer = self.server.control(op="list")
        self.assertTrue(answer["ok"], answer)
        self.assertEqual(len(answer["result"]), 1)
        algorithms = self.server.control(op="get", device="zram0", attribute="comp_algorithm")
        self.assertIn("[zstd]", algorithms["result"])

    def test_the_disk_is_not_reset_under_its_clients(self):
        self.server.run("qemu-io", "-f", "raw", "-c", "write -P 9 0 64k", "URI")
        for request in ({"op": "reset", "device": "zram0"}, {"op": "remove", "device": "zram0"},
                        {"op": "set", "device": "zram0", "attribute": "reset", "value": "1"},
                        {"op": "set", "device": "zram0", "attribute": "disksize", "value": "1M"}):
            answer = self.server.control(**request)
            self.assertFalse(answer["ok"], answer)
        self.server.run("qemu-io", "-f", "raw", "-c", "read -P 9 0 64k", "URI")

    def test_no_other_device_is_made(self):
        answer = self.server.control(op="create", size=MIB)
        self.assertFalse(answer["ok"], answer)
        self.assertEqual(len(self.server.control(op="list")["result"]), 1)

    def test_the_command_line_works_with_the_servers_socket(self):
        program = find_program("uzram")
        self.server.run("qemu-io", "-f", "raw", "-c", "write -P 1 0 1M", "URI")
        words = ("--socket", "FOLDER/control")
        self.assertIn("zstd", self.server.run(program, "list", *words))
        statistics = self.server.run(program, "get", "zram0", "mm_stat", *words)
        self.assertEqual(int(statistics.split()[0]), MIB)
        self.server.run(program, "set", "zram0", "mem_limit", "32M", *words)
        statistics = self.server.run(program, "get", "zram0", "mm_stat", *words)
        self.assertEqual(int(statistics.split()[3]), 32 * MIB)

    def test_statistics_are_watched_while_clients_write(self):
        program = find_program("uzram")
        watcher = subprocess.Popen([program, "stat", "--watch", "--socket",
                                    self.server.path("control")], stdout=subprocess.PIPE, text=True)
        self.addCleanup(watcher.stdout.close)
        self.addCleanup(watcher.wait)
        self.addCleanup(watcher.kill)
        self.assertIn("zram0", watcher.stdout.readline())
        self.server.run("qemu-io", "-f", "raw", "-c", "write -P 1 0 1M", "URI")
        for line in watcher.stdout:
            if f"stored_bytes={MIB}" in line:
                return
        self.fail("the watcher ended without seeing what was written")

    def test_the_socket_goes_with_the_server(self):
        self.assertTrue(os.path.exists(self.server.path("control")))
        self.assertEqual(self.server.stop(), 0)
        self.assertFalse(os.path.exists(self.server.path("control")))


class ProcessTest(NbdCase):
    def test_the_server_works_in_the_background(self):
        require_program("nbdcopy")
        folder = tempfile.mkdtemp(prefix="uzram-nbd-")
        self.addCleanup(shutil.rmtree, folder, True)
        plugin = find_plugin()
        # A relative control path has to survive that the server changes to /.
        done = subprocess.run(["nbdkit", "-U", f"{folder}/socket", "-P", f"{folder}/pid", plugin,
                               "size=16M", "algorithm=lz4", "control=control"], cwd=folder,
                              capture_output=True, timeout=CLIENT_SECONDS, check=False, text=True,
                              env=os.environ | sanitizer_environment(plugin))
        self.assertEqual(done.returncode, 0, done.stderr)
        pid = self.background_pid(folder)
        self.addCleanup(self.end, pid)
        with open(f"{folder}/image", "wb") as image:
            image.write(sample_bytes(16 * MIB, seed=2))
        uri = f"nbd+unix:///?socket={folder}/socket"
        # A request of 16 MiB is worked on by threads that were made after the fork.
        subprocess.run(["nbdcopy", "--request-size=16777216", f"{folder}/image", uri], check=True,
                       timeout=CLIENT_SECONDS)
        subprocess.run(["nbdcopy", uri, f"{folder}/back"], check=True, timeout=CLIENT_SECONDS)
        subprocess.run(["cmp", f"{folder}/image", f"{folder}/back"], check=True)
        self.assertTrue(os.path.exists(f"{folder}/control"))

    def background_pid(self, folder):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if os.path.exists(f"{folder}/pid") and os.path.getsize(f"{folder}/pid"):
                with open(f"{folder}/pid", encoding="ascii") as file:
                    return int(file.read())
            time.sleep(0.02)
        self.fail("the server wrote no process id")

    def end(self, pid):
        deadline = time.monotonic() + START_SECONDS
        try:
            os.kill(pid, signal.SIGTERM)
            while time.monotonic() < deadline:
                os.kill(pid, 0)
                time.sleep(0.02)
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def test_no_privilege_is_needed(self):
        require_program("setpriv", "nbdcopy")
        if os.geteuid() != 0:
            raise unittest.SkipTest("only root can become nobody; the other cases run as this user")
        server = self.serve("size=16M", "algorithm=zstd", "control=FOLDER/control", as_nobody=True)
        with open(f"/proc/{server.pid}/status", encoding="ascii") as status:
            lines = dict(line.split(":", 1) for line in status.read().splitlines())
        self.assertEqual(lines["Uid"].split(), ["65534"] * 4)
        self.assertEqual(int(lines["CapEff"], 16), 0)
        image = sample_bytes(16 * MIB, seed=6)
        self.write_file(server, "image", image)
        server.run("nbdcopy", "FOLDER/image", "URI")
        server.run("nbdcopy", "URI", "FOLDER/back")
        self.assertEqual(self.read_file(server, "back"), image)
        self.assertGreater(server.stat_column("mm_stat", 2), 0)

    def test_stored_pages_are_left_out_of_core_dumps(self):
        require_program("qemu-io")
        server = self.serve("size=16M", "algorithm=lz4")
        server.run("qemu-io", "-f", "raw", "-c", "write -P 5 0 1M", "URI")
        with open(f"/proc/{server.pid}/smaps", encoding="utf-8", errors="replace") as smaps:
            mappings = re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", smaps.read())
        arenas = [mapping for mapping in mappings if "/memfd:" in mapping.splitlines()[0]]
        self.assertTrue(arenas, "the arena is not a memfd any more")
        for mapping in arenas:
            flags = re.search(r"VmFlags: (.*)", mapping).group(1).split()
            self.assertIn("dd", flags, mapping.splitlines()[0])

    def test_an_empty_disk_costs_next_to_nothing_and_a_trimmed_one_gives_back(self):
        require_program("nbdcopy", "qemu-io")
        server = self.serve("size=100G", "algorithm=lz4", "control=FOLDER/control")
        totals = [server.control(op="get", device="zram0", attribute="total_stat")["result"]]
        self.write_file(server, "image", sample_bytes(32 * MIB, seed=9))
        server.run("nbdcopy", "FOLDER/image", "URI")
        used = server.stat_column("mm_stat", 2)
        server.run("qemu-io", "-f", "raw", "-d", "unmap", "-c", "discard 0 32M", "URI")
        deadline = time.monotonic() + START_SECONDS
        while server.stat_column("mm_stat", 2) > used // 10 and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertLess(server.stat_column("mm_stat", 2), used // 10)
        empty = dict(line.split() for line in totals[0].splitlines())
        self.assertLess(int(empty["mem_used_total"]), MIB)

    def test_only_the_entry_point_is_visible_in_the_plugin(self):
        require_program("nm")
        symbols = subprocess.run(["nm", "-D", "--defined-only", find_plugin()], check=True,
                                 capture_output=True, text=True).stdout.split()
        self.assertEqual(symbols[2::3], ["plugin_init"])

    def test_sixteen_servers_end_with_exit_code_0(self):
        for algorithm in ("lz4", "zstd") * 8:
            self.assertEqual(self.serve("size=1G", f"algorithm={algorithm}").stop(), 0)


if __name__ == "__main__":
    main()
