# SPDX-License-Identifier: Apache-2.0
"""`./dev run`: the main job from start to end, as root and as a user without any privilege."""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import ROOT, find_program, missing_for_a_disk, run, uzram_program  # noqa: E402


def environment():
    return {**os.environ, "UZRAM_BUILD": str(uzram_program().parent)}


def mounts_and_loops(word):
    text = pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    return [line for line in (text + run("losetup", "-l").stdout).splitlines() if word in line]


class RunTest(unittest.TestCase):
    def setUp(self):
        missing = missing_for_a_disk()
        if missing:
            self.skipTest(missing)
        folder = tempfile.TemporaryDirectory(dir="/tmp")
        self.addCleanup(folder.cleanup)
        self.state = f"{folder.name}/state"

    def start(self, *options):
        running = subprocess.Popen([ROOT / "dev", "run", "--state", self.state, *options],
                                   env=environment(), text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.addCleanup(running.stderr.close)
        self.addCleanup(running.stdout.close)
        self.addCleanup(running.kill)
        return running

    def test_for_a_time(self):
        running = self.start("--for", "3")
        said, complaints = running.communicate(timeout=60)
        self.assertEqual(0, running.returncode, complaints)
        self.assertRegex(said.splitlines()[0], r"^zram0 /dev/loop\d+$")
        self.assertRegex(said.splitlines()[1], r"^zram0 ")
        self.assertIn("mkfs.ext4", complaints)
        self.assertEqual([], mounts_and_loops(self.state))

    def check_end_by(self, number, status):
        running = self.start()
        disk = running.stdout.readline().split()[1]
        running.stdout.readline()  # The first line of statistics.
        run("dd", "if=/dev/urandom", f"of={disk}", "bs=1M", "count=4", "oflag=direct")
        running.send_signal(number)
        self.assertEqual(status, running.wait(30))
        self.assertEqual([], mounts_and_loops(self.state))

    def test_sigterm_leaves_nothing_behind(self):
        self.check_end_by(signal.SIGTERM, 143)

    def test_ctrl_c_leaves_nothing_behind(self):
        self.check_end_by(signal.SIGINT, 130)

    def test_a_mounted_disk_is_waited_for(self):
        running = self.start()
        disk = running.stdout.readline().split()[1]
        with tempfile.TemporaryDirectory() as folder:
            run("mkfs.ext4", "-q", disk)
            run("mount", disk, folder)
            self.addCleanup(run, "umount", disk, check=False)
            running.send_signal(signal.SIGTERM)
            for line in running.stderr:
                if "waiting until nobody uses the disk" in line:
                    break
            self.assertIsNone(running.poll())
            pathlib.Path(folder, "file").write_text("still there", encoding="utf-8")
            run("umount", disk)
        self.assertEqual(143, running.wait(30))
        self.assertEqual([], mounts_and_loops(self.state))


class UserTest(unittest.TestCase):
    """Without root: the same disk over NBD."""

    def test_falls_back_to_nbd_and_says_so(self):
        for program in ("nbdkit", "setpriv", "nbdinfo"):
            if not find_program(program):
                self.skipTest(f"{program} is not installed")
        if os.geteuid() == 0:
            as_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            seen = run(*as_user, "test", "-x", uzram_program(), check=False)
            if seen.returncode != 0:
                self.skipTest("another user cannot reach the build folder")
        else:
            as_user = []
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            os.chmod(folder, 0o777)
            running = subprocess.run([*as_user, ROOT / "dev", "run", "--for", "3"],
                                     env={**environment(), "TMPDIR": folder, "HOME": folder},
                                     capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(0, running.returncode, running.stderr)
            self.assertIn("over NBD", running.stderr)
            self.assertRegex(running.stdout.splitlines()[0], r"^zram0 nbd\+unix:///\?socket=/")
            self.assertRegex(running.stdout.splitlines()[1], r"^zram0 ")
            self.assertEqual([], os.listdir(folder))


class WrongUseTest(unittest.TestCase):
    def test_each_wrong_use_gets_one_line_and_status_2(self):
        for words in (["run", "--for", "soon"], ["run", "--for"], ["run", "--fast", "1"],
                      ["fuzz", "attribute_fuzz", "long"]):
            with self.subTest(words=words):
                done = subprocess.run([ROOT / "dev", *words], capture_output=True, text=True,
                                      timeout=60, check=False)
                self.assertEqual((2, 1), (done.returncode, done.stderr.count("\n")), done.stderr)

    def test_alone_it_lists_every_command(self):
        done = run(ROOT / "dev")
        for command in ("setup", "run", "test", "bench", "fuzz", "format", "lint"):
            self.assertRegex(done.stdout, rf"(?m)^  {command}\b")


if __name__ == "__main__":
    unittest.main()
