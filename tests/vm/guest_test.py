# SPDX-License-Identifier: Apache-2.0
"""The virtual machine runs a script under kernel 6.12 with a zram of its own."""
import pathlib
import tempfile
import textwrap
import unittest

import guest

RUNS_BESIDE_OTHERS = True


class GuestTest(unittest.TestCase):
    def run_script(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".sh", dir=guest.CACHE) as script:
            script.write(textwrap.dedent(text))
            script.flush()
            pathlib.Path(script.name).chmod(0o755)
            return guest.run(script.name, ["zram"])

    def test_script_runs_under_the_other_kernel(self):
        try:
            guest.CACHE.mkdir(parents=True, exist_ok=True)
            status, text = self.run_script("""\
                uname -r
                python3 -c 'print("host python", 6 * 7)'
                cat /sys/block/zram0/comp_algorithm
                exit 7
                """)
        except guest.Unavailable as missing:
            self.skipTest(str(missing))
        self.assertEqual(7, status, text)
        self.assertRegex(text, r"(?m)^6\.12\.\d+")
        self.assertIn("host python 42", text)
        for algorithm in ("lz4", "lz4hc", "zstd", "deflate"):
            self.assertIn(algorithm, text)


if __name__ == "__main__":
    unittest.main()
