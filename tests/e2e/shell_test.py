# SPDX-License-Identifier: Apache-2.0
"""`uzram shell`: programs that were written for the kernel's zram, unchanged, on our devices."""
import functools
import os
import pathlib
import re
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import (ROOT, DaemonTest, find_program, run, uzram_program,  # noqa: E402
                          wait_until)

UNPACKED = ROOT / "build" / "unpacked"


PLACES = ("/dev", "/sys/block", "/sys/class", "/sys/class/block", "/sys/class/zram-control",
          "/sys/dev/block", "/etc/modprobe.d", "/etc/systemd")


def covered_places():
    """What is mounted where the shell mounts; other tests mount elsewhere meanwhile."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.split()[4] in PLACES or "uzram-dev" in line]


def zram_swaps():
    lines = pathlib.Path("/proc/swaps").read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in lines if line.startswith("/dev/zram")]


class ZramShellTest(DaemonTest):
    def setUp(self):
        super().setUp()
        self.need("zramctl", "mkswap", "swapon")
        self.mounts = covered_places()
        self.addCleanup(self.check_nothing_is_left)
        self.addCleanup(self.end_swap)

    def end_swap(self):
        for name in zram_swaps():
            self.shell("swapoff", name)

    def check_nothing_is_left(self):
        self.assertEqual(self.mounts, covered_places())
        self.assertTrue(wait_until(lambda: not self.keepers()), self.keepers())

    def keepers(self):
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"shell" in words and str(self.daemon.tree).encode() in words:
                found.append(folder.name)
        return found

    def command(self, *words):
        return [uzram_program(), "shell", "--sys", self.daemon.tree, "--", *words]

    def shell(self, *words, **keywords):
        environment = {**os.environ, "LC_ALL": "C",
                       "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False,
                              timeout=120, env=environment, **keywords)

    def must(self, *words):
        done = self.shell(*words)
        self.assertEqual(0, done.returncode, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout


class ZramctlTest(ZramShellTest):
    def test_it_sets_up_lists_and_resets(self):
        self.assertEqual("/dev/zram0\n",
                         self.must("zramctl", "--find", "--size", "64M", "--algorithm", "zstd"))
        fields = self.must("zramctl", "--noheadings").split()
        self.assertEqual(["/dev/zram0", "zstd", "64M"], fields[:3])
        columns = "NAME,DISKSIZE,DATA,COMPR,ALGORITHM,STREAMS,ZERO-PAGES,TOTAL,MEM-LIMIT"
        rows = self.must("sh", "-c", "dd if=/dev/zero of=/dev/zram0 bs=1M count=8 oflag=direct &&"
                         f"zramctl --raw --bytes --noheadings --output {columns} /dev/zram0")
        self.assertEqual(["/dev/zram0", "67108864", "8388608", "0", "zstd"], rows.split()[:5])
        self.assertIn("MIGRATED", self.must("zramctl", "--output-all"))
        self.assertEqual("/dev/zram1\n", self.must("zramctl", "--find", "--size", "16M"))
        self.assertEqual("/dev/zram0\n/dev/zram1\n",
                         self.must("zramctl", "--noheadings", "--raw", "--output", "NAME"))
        self.must("zramctl", "--reset", "/dev/zram0", "/dev/zram1")
        self.assertEqual("", self.must("zramctl"))
        self.assertEqual([], [d for d in self.daemon.devices() if d["disksize"]])

    def test_our_list_has_its_columns(self):
        self.daemon.create("--size", "64M", "--algorithm", "lz4")
        theirs = self.must("zramctl", "/dev/zram0").splitlines()
        ours = self.daemon.must("list").splitlines()
        self.assertEqual(theirs[0].split(), ours[0].split())
        # The name and the mount point are told of different views.
        self.assertEqual(theirs[1].split()[1:], ours[1].split()[1:])

    def test_it_names_where_a_disk_is_used(self):
        self.need("mkfs.ext4")
        self.must("zramctl", "--find", "--size", "64M")
        shown = self.must("sh", "-c", "mkswap -q /dev/zram0 && swapon /dev/zram0 && zramctl; "
                          "swapoff /dev/zram0 && mkfs.ext4 -q /dev/zram0 && mount /dev/zram0 /mnt "
                          "&& zramctl; umount /mnt")
        self.assertIn("[SWAP]", shown)
        self.assertRegex(shown, r"/dev/zram0 .* /mnt\n")

    def test_outside_it_lists_the_kernels_devices_only(self):
        name, disk = self.daemon.create("--size", "16M")
        listed = run("zramctl", "--raw", "--noheadings", "--bytes").stdout
        self.assertNotIn("16777216", listed)
        self.assertNotIn(disk, listed)
        self.assertIn(f"/dev/{name} ", self.must("zramctl", "--raw", "--noheadings"))


class NamespaceTest(ZramShellTest):
    def test_only_our_devices_are_there_and_later_ones_appear(self):
        script = """set -e
            number=$(cat /sys/class/zram-control/hot_add)
            test -b /dev/zram$number
            echo 16M > /sys/block/zram$number/disksize
            test "$(blockdev --getsize64 /dev/zram$number)" = 16777216
            ls -d /dev/zram* /sys/block/zram* /sys/class/block/zram*
            readlink /sys/dev/block/$(cat /sys/block/zram$number/dev)
            echo $number > /sys/class/zram-control/hot_remove
            ls /dev | grep -c zram || true"""
        self.daemon.create("--size", "16M")
        expected = [f"{folder}/zram{number}" for folder in
                    ("/dev", "/sys/block", "/sys/class/block") for number in (0, 1)]
        self.assertEqual([*expected, "/sys/block/zram1", "1"],
                         self.must("sh", "-c", script).splitlines())

    def test_a_device_made_outside_appears_inside(self):
        self.daemon.create("--size", "16M")
        script = "ls /dev/zram*; echo; read line; ls /dev/zram*"
        process = subprocess.Popen(self.command("sh", "-c", script), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        self.assertEqual(["/dev/zram0\n", "\n"], [process.stdout.readline() for _ in range(2)])
        self.daemon.create("--size", "16M")
        self.assertEqual("/dev/zram0\n/dev/zram1\n", process.communicate("\n", timeout=60)[0])

    def test_the_rest_of_dev_is_as_it_was(self):
        names = self.must("ls", "-A", "/dev").split()
        self.assertEqual(sorted(name for name in os.listdir("/dev") if "zram" not in name),
                         sorted(name for name in names if "zram" not in name))
        said = self.must("sh", "-c", "echo hi > /dev/stdout; echo no > /dev/null")
        self.assertEqual("hi\n", said)
        table = pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8")
        before = [line.split()[4] for line in table.splitlines()
                  if line.split()[4].startswith("/dev/")]
        inside = self.must("cat", "/proc/self/mountinfo")
        after = [line.split()[4] for line in inside.splitlines()]
        for mount in before:
            self.assertIn(mount, after)
        shared = self.must("sh", "-c", "echo x > /dev/shm/uzram-test; cat /dev/shm/uzram-test; "
                           "rm /dev/shm/uzram-test") if os.path.isdir("/dev/shm") else "x\n"
        self.assertEqual("x\n", shared)

    def test_a_device_without_a_disk_is_nobodys(self):
        done = self.shell("dd", "if=/dev/zram0", "bs=4096", "count=1")
        self.assertNotEqual(0, done.returncode)
        self.assertRegex(done.stderr, "No such device")

    def test_the_first_device_is_there_and_goes_unless_used(self):
        self.assertEqual("0\n", self.must("cat", "/sys/block/zram0/initstate"))
        self.assertEqual([], self.daemon.devices())
        self.must("sh", "-c", "echo 16M > /sys/block/zram0/disksize")
        self.assertEqual(["zram0"], [device["name"] for device in self.daemon.devices()])

    def test_modprobe_makes_devices_and_takes_them_away(self):
        self.need("modprobe")
        listed = self.must("sh", "-c", "modprobe zram num_devices=3; ls -d /sys/block/zram*; "
                           "modprobe zram; modprobe -r zram; ls -d /sys/block/zram* | wc -l")
        self.assertEqual([f"/sys/block/zram{number}" for number in range(3)] + ["0"],
                         listed.split())

    def test_works_where_the_kernel_has_no_zram(self):
        self.need("unshare")
        script = """mount -t tmpfs none /sys/class && mkdir /sys/class/block /sys/class/mem &&
            exec "$@" """
        words = self.command("sh", "-c", "ls /sys/class; zramctl --find --size 16M; zramctl")
        done = subprocess.run([find_program("unshare"), "-m", "sh", "-c", script, "-", *words],
                              capture_output=True, text=True, check=False)
        self.assertEqual(0, done.returncode, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(["block", "mem", "zram-control", "/dev/zram0"], lines[:4])
        self.assertTrue(lines[-1].startswith("/dev/zram0 "), done.stdout)


class CommandTest(ZramShellTest):
    def test_the_exit_status_is_the_programs(self):
        for status in (0, 1, 7, 255):
            self.assertEqual(status, self.shell("sh", "-c", f"exit {status}").returncode)
        self.assertEqual(127, self.shell("no-such-program").returncode)
        self.assertEqual(126, self.shell("/dev/null").returncode)
        self.assertEqual(-signal.SIGKILL, self.shell("sh", "-c", "kill -KILL $$").returncode)

    def test_signals_reach_the_program(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            script = f"trap 'exit 42' {number.name[3:]}; echo ready; while :; do sleep 0.1; done"
            # A shell cannot trap what was ignored when it began, as nohup does with SIGHUP.
            heed = functools.partial(signal.signal, number, signal.SIG_DFL)
            process = subprocess.Popen(self.command("sh", "-c", script), stdout=subprocess.PIPE,
                                       text=True, preexec_fn=heed)
            self.addCleanup(process.kill)
            self.assertEqual("ready\n", process.stdout.readline())
            process.send_signal(number)
            self.assertEqual(42, process.wait(20))
            process.stdout.close()

    def test_folder_input_and_words_are_the_callers(self):
        done = self.shell("sh", "-c", 'cat; pwd; echo "$@"', "-", "a b", "--size", input="in\n",
                          cwd="/usr/share")
        self.assertEqual("in\n/usr/share\na b --size\n", done.stdout)

    def test_without_a_daemon_or_root_it_says_so(self):
        done = subprocess.run([uzram_program(), "shell", "--sys", "/nowhere", "--", "true"],
                              capture_output=True, text=True, check=False)
        self.assertEqual((1, 1), (done.returncode, done.stderr.count("\n")), done.stderr)
        self.assertIn("uzram serve", done.stderr)
        if find_program("setpriv"):
            done = run("setpriv", "--reuid=65534", "--clear-groups", *self.command("true"),
                       check=False)
            self.assertEqual(1, done.returncode)
            self.assertIn("root", done.stderr)


class ScriptTest(ZramShellTest):
    def find(self, path):
        for place in (pathlib.Path("/"), UNPACKED):
            if (place / path).exists():
                return str(place / path)
        self.skipTest(f"{path} is not there; ./dev setup unpacks it")

    def test_zramswap_starts_shows_and_stops(self):
        """Debian's zram-tools: three commands, each in a shell of its own."""
        self.need("modprobe")
        zramswap = self.find("usr/sbin/zramswap")
        self.must(zramswap, "start")
        self.assertEqual(["/dev/zram0"], zram_swaps())
        self.assertEqual(1, len(self.keepers()), "it keeps the swap's name")
        self.assertIn("[SWAP]", self.must(zramswap, "status"))
        self.assertEqual(1, len(self.keepers()))
        refused = self.daemon.ask("remove", "zram0")
        self.assertEqual(1, refused.returncode, "a disk that is swap stays")
        self.must(zramswap, "stop")
        self.assertEqual([], zram_swaps())
        self.assertEqual([], self.daemon.devices())

    def test_zram_generator_makes_units_and_disks(self):
        self.need("mkswap", "blkid", "modprobe")
        program = self.find("lib/systemd/system-generators/zram-generator")
        if not os.path.exists("/lib/systemd/systemd-makefs"):
            self.skipTest("systemd is not installed")
        root = self.daemon.state / "root"
        for folder in ("etc/systemd", "units", "proc", "sys", "dev"):
            (root / folder).mkdir(parents=True)
        (root / "etc/systemd/zram-generator.conf").write_text(
            "[zram0]\nzram-size = 64\ncompression-algorithm = zstd\n", encoding="utf-8")
        config = root / "etc/systemd/zram-generator.conf"
        etc = pathlib.Path("/etc/systemd/zram-generator.conf")
        script = f"""set -e
            mount -t tmpfs none /etc/systemd && cp {config} {etc}
            # Its own word for tests; without it, it does nothing in a container.
            ZRAM_GENERATOR_ROOT=/ {program} {root}/units {root}/units {root}/units
            {program} --setup-device zram0
            zramctl --raw --noheadings --output NAME,ALGORITHM,DISKSIZE
            blkid -p -s TYPE -o value /dev/zram0
            {program} --reset-device zram0
            cat /sys/block/zram0/initstate"""
        if not os.path.isdir("/etc/systemd"):
            self.skipTest("there is no /etc/systemd to mount over")
        lines = self.must("sh", "-c", script).splitlines()
        self.assertIn("/dev/zram0 zstd 64M", lines)
        self.assertIn("swap", lines)
        self.assertEqual("0", lines[-1])
        unit = (root / "units/dev-zram0.swap").read_text(encoding="utf-8")
        self.assertTrue(re.search(r"^What=/dev/zram0$", unit, re.M), unit)


if __name__ == "__main__":
    unittest.main()
