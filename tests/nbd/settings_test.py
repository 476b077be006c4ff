#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attributes as keys of the plug-in, as a user of nbdkit gives them: above all a backing store."""
import json
import os
import subprocess
import tempfile

from nbd_server import MIB, NbdCase, find_program, main, require_libnbd, run_plugin

RUNS_BESIDE_OTHERS = True


class SettingsTest(NbdCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="uzram-nbd-settings-")
        self.addCleanup(self.folder.cleanup)
        self.store = os.path.join(self.folder.name, "cold.img")
        with open(self.store, "wb") as file:
            file.truncate(64 * MIB)
        self.control = os.path.join(self.folder.name, "control")

    def ask(self, *words):
        done = subprocess.run([find_program("uzram"), *words, "--socket", self.control],
                              capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def test_cold_pages_leave_for_the_backing_store_and_come_back(self):
        nbd = require_libnbd()
        server = self.serve("size=64M", "algorithm=lz4", f"backing_dev={self.store}",
                            "compressed_writeback=1", "set=recomp_algorithm=algo=zstd priority=1",
                            "set=algorithm_params=priority=1 level=9", "use_dedup=0",
                            "writeback_batch_size=8", f"control={self.control}")
        content = b"".join(os.urandom(2048) + bytes(2048) for _ in range(2048))
        client = nbd.NBD()
        client.connect_uri(server.uri)
        client.pwrite(content, 0)
        self.assertEqual(f"{self.store}\n", self.ask("get", "zram0", "backing_dev"))
        self.assertEqual("8\n", self.ask("get", "zram0", "writeback_batch_size"))
        self.assertIn("#1: ", self.ask("get", "zram0", "recomp_algorithm"))
        self.ask("set", "zram0", "idle", "all")
        self.ask("set", "zram0", "writeback", "type=idle")
        blocks = int(self.ask("get", "zram0", "bd_stat").split()[0])
        self.assertGreater(blocks, 500)
        stats = json.loads(self.ask("list", "--json"))[0]["stats"]
        self.assertLess(stats["compr_data_size"], 1 * MIB)
        self.assertEqual(content, bytes(client.pread(len(content), 0)))
        client.shutdown()
        server.stop()

    def test_a_store_that_cannot_be_used_ends_the_start_with_words(self):
        for word, said in ((f"backing_dev={self.folder.name}/nothing", "backing_dev"),
                           ("use_dedup=2", "use_dedup"), ("disksize=1M", "not a key"),
                           ("set=mm_stat=1", "ATTRIBUTE=VALUE")):
            done = run_plugin("size=1M", word, "-U", "-", "--run", "true")
            self.assertNotEqual(0, done.returncode, word)
            self.assertIn(said, done.stderr)

    def test_the_size_stays_as_clients_were_told(self):
        self.serve("size=1M", f"control={self.control}")
        done = subprocess.run([find_program("uzram"), "grow", "zram0", "2M", "--socket",
                               self.control], capture_output=True, text=True, check=False)
        self.assertEqual(1, done.returncode)
        self.assertIn("NBD", done.stderr)
        self.assertEqual("1048576\n", self.ask("get", "zram0", "disksize"))

    def test_two_servers_do_not_share_a_store(self):
        self.serve("size=1M", f"backing_dev={self.store}")
        done = run_plugin("size=1M", f"backing_dev={self.store}", "-U", "-", "--run", "true")
        self.assertNotEqual(0, done.returncode)
        self.assertIn("backing_dev", done.stderr)


if __name__ == "__main__":
    main()
