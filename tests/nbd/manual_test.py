#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The manual, --help and the plug-in name the same keys, both ways, and each key is accepted."""
import os
import re
import subprocess

from nbd_server import ROOT, NbdCase, ask_plugin, main, require_program

RUNS_BESIDE_OTHERS = True

MANUAL = os.path.join(ROOT, "src/frontend/nbd/nbdkit-uzram-plugin.pod")


class ManualTest(NbdCase):
    def setUp(self):
        with open(MANUAL, encoding="utf-8") as file:
            self.manual = file.read()
        self.help_keys = re.findall(r"^(\w+)=<", ask_plugin("--help"), re.MULTILINE)

    def test_each_key_of_the_help_has_its_item_in_the_manual(self):
        self.assertGreater(len(self.help_keys), 3)
        items = re.findall(r"^=item \[?B<(\w+)=", self.manual, re.MULTILINE)
        self.assertEqual(list(dict.fromkeys(items)), self.help_keys)

    def test_each_key_of_the_help_is_in_the_synopsis(self):
        synopsis = self.manual.partition("=head1 SYNOPSIS")[2].partition("=head1")[0]
        self.assertEqual(re.findall(r"\b([a-z_]+)=", synopsis), self.help_keys)

    def test_each_key_of_the_manual_is_taken(self):
        values = {"size": "1M", "algorithm": "deflate", "level": "6", "winbits": "15",
                  "mem_limit": "1M", "check": "off", "policy": "on idle_after=5m",
                  "set": "use_dedup=1", "control": "FOLDER/control", "dict": "FOLDER/words"}
        self.assertEqual(sorted(values), sorted(self.help_keys))
        for key, value in values.items():
            if key in ("dict", "size"):
                continue
            with self.subTest(key):
                self.serve("size=1M", "algorithm=deflate", f"{key}={value}").stop()

    def test_a_dictionary_is_taken_from_a_file(self):
        folder = self.serve("size=1M").folder
        with open(f"{folder}/some words", "wb") as file:
            file.write(b"the words that come again and again")
        self.serve("size=1M", "algorithm=zstd", f"dict={folder}/some words").stop()

    def test_the_manual_is_well_formed(self):
        require_program("podchecker")
        done = subprocess.run(["podchecker", "-warnings", MANUAL], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("WARNING", done.stderr)

    def test_algorithms_are_listed_for_scripts(self):
        line = re.search(r"^uzram_algorithms=(.*)$", ask_plugin("--dump-plugin"), re.MULTILINE)
        self.assertIsNotNone(line)
        self.assertIn("zstd", line.group(1).split(", "))
        self.assertIn("uzram_algorithms", self.manual)


if __name__ == "__main__":
    main()
