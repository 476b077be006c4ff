# SPDX-License-Identifier: Apache-2.0
"""`uzram exec --strict`: system calls that nobody stands in for find their pages; and what it says
where it is not allowed."""
import os
import pathlib
import subprocess
import unittest

from exec_run import MEBI, ExecTest

from uzram_daemon import run, uzram_program  # noqa: E402  exec_run has set the path.


class StrictTest(ExecTest):
    def test_system_calls_past_libc_need_it(self):
        self.need_backend("strict")
        program = self.compile("raw_calls.c")
        plain = self.run_plain(program)
        self.assertEqual((0, b""), (plain.returncode, plain.stderr))
        self.assertNotIn(b"EFAULT", plain.stdout)
        strict = self.run_paged(12 * MEBI, program, options=("--strict",))
        self.assertEqual(plain.stdout.decode(), strict.stdout.decode(), strict.stderr)
        self.assertEqual((0, b""), (strict.returncode, strict.stderr))

    def test_io_uring_finds_its_buffers(self):
        self.need_backend("strict")
        program = self.compile("ring_call.c", "-luring")
        plain = self.run_plain(program)
        if b"no io_uring" in plain.stdout:
            self.skipTest("this machine, or user, does not allow io_uring")
        self.assertEqual(b"write: 200000\nread: 200000\nthe same\n", plain.stdout)
        strict = self.run_paged(12 * MEBI, program, options=("--strict",))
        self.assertEqual((0, plain.stdout, b""), (strict.returncode, strict.stdout, strict.stderr))

    def test_without_it_they_are_told_that_the_page_is_not_there(self):
        program = self.compile("raw_calls.c")
        other = self.run_paged(12 * MEBI, program)
        self.assertEqual((0, b""), (other.returncode, other.stderr))
        for line in other.stdout.decode().splitlines():
            self.assertRegex(line, ": EFAULT$")

    def test_threads_that_change_one_area_at_once(self):
        self.need_backend("strict")
        self.check_same(12 * MEBI, self.compile("many_threads.c"), options=("--strict",))

    def test_without_the_privilege_one_line_says_what_would_give_it(self):
        self.need("setpriv")
        if os.geteuid() != 0:
            self.skipTest("needs root, to give everything up")
        allowed = pathlib.Path("/proc/sys/vm/unprivileged_userfaultfd").read_text(encoding="utf-8")
        if allowed.strip() != "0":
            self.skipTest("this machine gives it to everybody")
        command = ["setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set=-all",
                   "--inh-caps=-all", "--ambient-caps=-all"]
        if run(*command, uzram_program(), "--version", check=False).returncode != 0:
            self.skipTest("the build is not for everybody to read")
        done = run(*command, uzram_program(), "exec", "--strict", "--memory-limit", "12M", "--",
                   "/bin/echo", "ran", check=False)
        self.assertEqual((1, ""), (done.returncode, done.stdout))
        self.assertRegex(done.stderr, r"^uzram: exec: strict needs a privilege: CAP_SYS_PTRACE, or "
                                      r".*/dev/userfaultfd, or vm.unprivileged_userfaultfd=1.*\n$")

    def test_is_a_backend_and_not_beside_another(self):
        done = subprocess.run([uzram_program(), "exec", "--strict", "--backend", "move",
                               "--memory-limit", "12M", "--", "/bin/true"], capture_output=True,
                              check=False)
        self.assertEqual(2, done.returncode)
        self.assertIn(b"--strict is a backend", done.stderr)


if __name__ == "__main__":
    unittest.main()
