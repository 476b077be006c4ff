# SPDX-License-Identifier: Apache-2.0
"""The kernel as an oracle: the same script on our device and on the kernel's, step by step.

Two oracles: the zram of this machine's kernel, and that of Debian's 6.12 in a virtual machine,
built with recompression. What differs on purpose stands in DIFFERENCES with its reason; a row that
no oracle needs any more fails. What a kernel does not offer is skipped by name.
"""
import contextlib
import dataclasses
import fcntl
import fnmatch
import json
import os
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "vm"), str(HERE)]

import guest  # noqa: E402
import script  # noqa: E402
import steps  # noqa: E402
import zram_module  # noqa: E402
from uzram_daemon import Daemon, missing_for_a_disk  # noqa: E402

HOST, GUEST = "this kernel", "kernel 6.12"
# compr_data_size: the libraries are other versions than the kernel's. Ours may be a little larger,
# and smaller only by what a better packer of the same format gains.
_MORE_AT_MOST, _LESS_AT_MOST = 0.02, 0.10


@dataclasses.dataclass(frozen=True)
class Difference:
    """Steps (a file name pattern) whose result differs on purpose, and for which oracles."""

    pattern: str
    oracles: tuple
    reason: str
    is_certain: bool = True  # False: this machine's kernel may be one without the difference.


DIFFERENCES = (
    Difference("*max_comp_streams*", (HOST,),
               "the attribute went in 6.15; ours stays, since scripts and zramctl write it", False),
    Difference("new: debug_stat", (GUEST,),
               "6.12 pads the first number to eight columns; newer kernels and ours do not"),
    Difference("new: debug_stat", (HOST,), "the same in kernels before 6.15", False),
    Difference("tight: huge_pages", (HOST, GUEST),
               "a page that packs to 3,625 bytes or more is stored packed here, raw there"),
    Difference("tight: below 3,800 bytes a page", (HOST, GUEST),
               "the same: no cliff in what such pages cost"),
    Difference("write at the limit", (HOST, GUEST),
               "the kernel answers EIO for a full pool as for damage; ours says ENOSPC"),
    Difference("recompress: version recompress <- 'type=nosuch'", (GUEST,),
               "the kernel takes an unknown type for every page"),
    Difference("recompress: version recompress <- 'priority=0'", (GUEST,),
               "7.1 no longer takes 0 for 1, and neither does ours"),
    Difference("recompress: recompress <- 'priority=[234]'", (GUEST,),
               "6.12 takes a priority that has no algorithm, and does nothing"),
    Difference("recompress: version recompress <- 'threshold=3700*'", (GUEST,),
               "pages of 3,625 bytes and more are raw there, so nothing would be above that"),
)


class UzramTarget(steps.Target):
    """Our device: the daemon says where its disk is."""

    def __init__(self, daemon, device_id):
        super().__init__(daemon.tree / "block", daemon.tree / "class" / "zram-control", device_id)
        self.daemon = daemon

    def disk(self):
        [device] = [d for d in self.daemon.devices() if d["name"] == f"zram{self.id}"]
        return device["block_path"]

    def block_state(self):
        return str(self.daemon.tree / f"kernel/debug/zram/zram{self.id}/block_state")

    def track_accesses(self):
        pass  # They are.


def run_ours():
    daemon = Daemon()
    try:
        control = daemon.tree / "class" / "zram-control"
        return script.run(UzramTarget(daemon, int(steps.read_text(control / "hot_add"))))
    finally:
        daemon.clean_up()


@contextlib.contextmanager
def kernel_device():
    """The id of a new device of this machine's zram; existing ones are never touched."""
    control = pathlib.Path("/sys/class/zram-control")
    if os.geteuid() != 0:
        raise unittest.SkipTest("needs root (the kernel's zram)")
    if not control.exists():
        raise unittest.SkipTest("this kernel has no zram loaded")
    with open("/tmp/zram0.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        added = steps.read_text(control / "hot_add").strip()
        try:
            if not os.path.exists(f"/dev/zram{added}"):
                raise unittest.SkipTest(f"/dev/zram{added} does not appear in this container")
            yield int(added)
        finally:
            steps.attempt(lambda: steps.write_text(f"/sys/block/zram{added}/reset", "1"))
            steps.write_text(control / "hot_remove", added)


def run_guest():
    """The script in the virtual machine."""
    guest.CACHE.mkdir(parents=True, exist_ok=True)
    program = guest.CACHE / "oracle.sh"
    command = f"PYTHONDONTWRITEBYTECODE=1 exec python3 {HERE}/script.py 0\n"
    program.write_text(command, encoding="utf-8")
    try:
        with guest.preparing():
            own = {"zram": zram_module.zram_module(guest.kernel_folder())}
        status, said = guest.run(str(program), ["zram"], seconds=400, own_modules=own)
    except guest.Unavailable as missing:
        raise unittest.SkipTest(str(missing)) from missing
    if status != 0:
        raise AssertionError(f"the script did not end well in the guest:\n{said[-3000:]}")
    lines = [line[5:] for line in said.splitlines() if line.startswith("STEP ")]
    return dict(json.loads(line) for line in lines)


def agree(step, ours, theirs):
    if "compr_data_size" in step and isinstance(theirs, int) and isinstance(ours, int):
        return theirs * (1 - _LESS_AT_MOST) <= ours <= theirs * (1 + _MORE_AT_MOST)
    return ours == theirs


def is_comparable(step, theirs):
    """Which algorithms a kernel has is a matter of how it was built."""
    algorithm = step.partition(": ")[0]
    return theirs.get(f"{algorithm}: offered", True) and not step.endswith(": offered")


def lacking(theirs):
    return [step.partition(": ")[0] for step, is_there in theirs.items()
            if step.endswith(": offered") and not is_there]


def rows_for(step, oracle, differences):
    return [row for row in differences
            if oracle in row.oracles and fnmatch.fnmatchcase(step, row.pattern)]


def compare(ours, theirs, oracle, differences=DIFFERENCES):
    """Returns: (what differs without a reason, the rows that were needed)."""
    faults, needed = [], set()
    for step in ours | theirs:
        if not is_comparable(step, theirs) or agree(step, ours.get(step), theirs.get(step)):
            continue
        rows = rows_for(step, oracle, differences)
        needed.update(rows)
        if not rows:
            faults.append(f"{step}: ours {ours.get(step)!r}, {oracle} {theirs.get(step)!r}")
    return faults, needed


class OracleTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        missing = missing_for_a_disk()
        if missing:
            raise unittest.SkipTest(missing)
        cls.ours = run_ours()

    def check(self, theirs, oracle):
        faults, needed = compare(self.ours, theirs, oracle)
        self.assertFalse(faults, "\n" + "\n".join(faults))
        idle = [row.pattern for row in DIFFERENCES
                if oracle in row.oracles and row.is_certain and row not in needed]
        self.assertFalse(idle, f"differences that are none any more for {oracle}")
        for group in lacking(theirs):
            with self.subTest(group):
                self.skipTest(f"{oracle} was built without {group}")

    def test_every_algorithm_of_the_kernel_is_offered(self):
        for name in ("lzo", "lzo-rle", "lz4", "lz4hc", "zstd", "deflate", "842"):
            self.assertIs(True, self.ours[f"{name}: offered"], name)

    def test_as_this_machines_zram(self):
        with kernel_device() as device_id:
            theirs = script.run(steps.Target("/sys/block", "/sys/class/zram-control", device_id))
        self.check(theirs, HOST)

    def test_as_the_zram_of_kernel_6_12(self):
        self.check(run_guest(), GUEST)


class CompareTest(unittest.TestCase):
    """The comparison itself finds what it should."""

    rows = (Difference("known *", (HOST,), "on purpose"),)

    def test_equal_results_have_no_faults(self):
        self.assertEqual(([], set()), compare({"a": 1}, {"a": 1}, HOST, self.rows))

    def test_a_difference_is_a_fault(self):
        self.assertEqual(["a: ours 1, this kernel 2"], compare({"a": 1}, {"a": 2}, HOST, ())[0])

    def test_a_step_that_one_side_lacks_is_a_fault(self):
        self.assertEqual(1, len(compare({}, {"a": 2}, HOST, ())[0]))

    def test_packed_bytes_may_differ_by_the_tolerance(self):
        name = "x: compr_data_size"
        self.assertEqual([], compare({name: 1019}, {name: 1000}, HOST, ())[0])
        self.assertEqual(1, len(compare({name: 1021}, {name: 1000}, HOST, ())[0]))

    def test_packed_bytes_that_are_far_too_few_are_a_fault(self):
        self.assertEqual(1, len(compare({"x: compr_data_size": 89}, {"x: compr_data_size": 100},
                                        HOST, ())[0]))

    def test_an_algorithm_that_the_kernel_lacks_is_left_out(self):
        ours = {"842: offered": True, "842: read": 1, "lz4: read": 2}
        self.assertEqual([], compare(ours, {"842: offered": False, "lz4: read": 2}, HOST, ())[0])
        self.assertEqual(1, len(compare(ours, {"842: offered": True, "lz4: read": 2}, HOST, ())[0]))

    def test_what_a_kernel_lacks_is_named(self):
        theirs = {"842: offered": False, "lz4: offered": True, "a": False}
        self.assertEqual(["842"], lacking(theirs))

    def test_a_known_difference_holds_for_its_oracle_only(self):
        self.assertEqual([], compare({"known a": 1}, {"known a": 2}, HOST, self.rows)[0])
        self.assertEqual(1, len(compare({"known a": 1}, {"known a": 2}, GUEST, self.rows)[0]))


if __name__ == "__main__":
    unittest.main()
