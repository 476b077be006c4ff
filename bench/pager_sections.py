# SPDX-License-Identifier: Apache-2.0
"""One program with more memory than it is given: our pager against the kernel's swap on zram.

Both get the same physical bytes: the kernel's run comes first, in a memory cgroup, and what it used
altogether (the cgroup's memory and the zram device behind it) is the pager's limit.
"""
import contextlib
import json
import os
import subprocess
import sys

from disks import Unavailable, kernel_zram, kernel_zram_bytes, need
from report import Row, Skipped

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "e2e"))
import memory_cgroup  # noqa: E402

MIB = 1 << 20
LIMIT, WORKING_SET, SWAP = 128 * MIB, 256 * MIB, 1024 * MIB
# (pattern, threads, accesses of each thread, least ratio of throughput)
RUNS = (("uniform", 1, 200_000, 1.3), ("uniform", 2, 100_000, 1.0),
        ("zipf", 1, 600_000, 1.3), ("zipf", 2, 300_000, 1.0),
        ("sequential", 1, 131_072, 2.0))
ROUNDS = 5
# What the kernel can hold in so many bytes ends near the first of these: (the cgroup's part of the
# working set in percent, whether 1.5 times as much has to be held in the same bytes).
CLUSTER_RUNS = ((6, True), (12, False), (18, False))
CLUSTER_ACCESSES, CLUSTER_PAGES, CLUSTER_SWAP = 60_000, 4, 320 * MIB


def words_for(bench, pattern, threads, accesses, working_set=WORKING_SET):
    return [f"{bench.build}/bench/pager_bench", "--corpus", bench.corpus, "--working-set",
            str(working_set // (8 if bench.is_quick else 1)), "--pattern", pattern, "--threads",
            str(threads), "--accesses", str(accesses // (20 if bench.is_quick else 1))]


@contextlib.contextmanager
def swap_on(node):
    need("mkswap", "swapon", "swapoff")
    subprocess.run(["mkswap", node], check=True, capture_output=True)
    subprocess.run(["swapon", "--priority", "1000", node], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["swapoff", node], check=True, capture_output=True)


def kernel_run(words, limit, swap=SWAP):
    """The answer, with all bytes that the kernel used. Now and then the kernel kills the process
    although its swap has room; then it is run again."""
    for _ in range(5):
        answer = try_kernel_run(words, limit, swap)
        if answer is not None:
            return answer
    raise Unavailable("the kernel has killed every run for want of memory, with room in its swap")


def try_kernel_run(words, limit, swap):
    group = memory_cgroup.MemoryCgroup(limit)
    try:
        process = subprocess.Popen([*words, "--cgroup", str(group.folder)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        line = process.stdout.readline()
        if not line:
            process.communicate()
            return None
        answer = json.loads(line)
        usage = next(path for path in (group.folder / "memory.usage_in_bytes",
                                       group.folder / "memory.current") if path.exists())
        answer["total_bytes"] = int(usage.read_text()) + kernel_zram_bytes(swap)
        process.communicate("\n")
        return answer
    finally:
        group.remove()


def compare(bench, name, ours, theirs, least):
    against = "kernel swap on zram, lz4, same bytes"
    row = lambda what, unit, key, target: bench.rows.append(  # noqa: E731
        Row(f"pager, {name}: {what}", unit, [each[key] for each in ours],
            [each[key] for each in theirs], against, target))
    row("accesses", "1/s", "accesses_per_second", (">=", least))
    row("CPU", "s", "processor_seconds", ("<=", 1.3))
    row("memory", "bytes", "total_bytes", ("<=", 1))
    row("fault p50", "ns", "fault_p50", None)
    row("fault p99.9", "ns", "fault_p999", ("<", 1))


def our_run(words, theirs):
    """The answer of a pager that may use as many bytes as the kernel's run has used."""
    done = subprocess.run([*words, "--limit", str(theirs["total_bytes"])], capture_output=True,
                          text=True, check=True)
    answer = json.loads(done.stdout)
    answer["total_bytes"] = answer["account"]["total_bytes"]
    return answer


def start_swap(bench, stack, swap):
    """Returns whether there is one; if not, says so in a row."""
    try:
        stack.enter_context(swap_on(stack.enter_context(kernel_zram("lz4", swap))))
        memory_cgroup.MemoryCgroup(LIMIT).remove()
    except (Unavailable, memory_cgroup.Unavailable) as reason:
        bench.rows.append(Skipped("pager against kernel swap", str(reason)))
        return False
    return True


def pager(bench, stack):
    if not start_swap(bench, stack, SWAP):
        return
    limit = LIMIT // (8 if bench.is_quick else 1)
    for pattern, threads, accesses, least in RUNS:
        words = words_for(bench, pattern, threads, accesses)
        ours, theirs = [], []
        try:
            for _ in range(1 if bench.is_quick else ROUNDS):
                theirs.append(kernel_run(words, limit))
                ours.append(our_run(words, theirs[-1]))
        except Unavailable as reason:
            bench.rows.append(Skipped(f"pager, {pattern}, {threads} threads", str(reason)))
            continue
        bench.raw.setdefault("pager", []).append({"pattern": pattern, "threads": threads,
                                                  "ours": ours, "kernel": theirs})
        plural = "thread" if threads == 1 else "threads"
        compare(bench, f"{pattern}, {threads} {plural}", ours, theirs, least)


def pager_clusters(bench, stack, pattern):
    """Half as much again in the same bytes: how often does an access have to unpack its page?"""
    if not start_swap(bench, stack, CLUSTER_SWAP):
        return
    cluster_words = ["--algorithm", "zstd", "--cluster-pages", str(CLUSTER_PAGES)]
    words = words_for(bench, pattern, 1, CLUSTER_ACCESSES)
    larger = words_for(bench, pattern, 1, CLUSTER_ACCESSES, WORKING_SET * 3 // 2)
    for percent, has_target in CLUSTER_RUNS:
        limit = WORKING_SET * percent // 100 // (8 if bench.is_quick else 1)
        ours, theirs = [], []
        try:
            for _ in range(1 if bench.is_quick else ROUNDS):
                theirs.append(kernel_run(words, limit, CLUSTER_SWAP))
                ours.append(our_run([*larger, *cluster_words], theirs[-1]))
        except Unavailable as reason:
            bench.rows.append(Skipped(f"pager, clusters, {pattern}, {percent} %", str(reason)))
            continue
        bench.raw.setdefault("pager clusters", []).append(
            {"pattern": pattern, "percent": percent, "ours": ours, "kernel": theirs})
        name = f"pager, 1.5 times the memory in zstd clusters, {pattern}, {percent} % resident"
        against = "kernel swap on zram, lz4, same bytes"
        for what, unit, key, target in (
                ("major faults per access", "", "major_faults_per_access",
                 ("<=", 1) if has_target else None),
                ("memory", "bytes", "total_bytes", ("<=", 1)),
                ("accesses", "1/s", "accesses_per_second", None)):
            bench.rows.append(Row(f"{name}: {what}", unit, [each[key] for each in ours],
                                  [each[key] for each in theirs], against, target))


SECTIONS = (("pager", pager),
            ("pager clusters uniform",
             lambda bench, stack: pager_clusters(bench, stack, "uniform")),
            ("pager clusters zipf", lambda bench, stack: pager_clusters(bench, stack, "zipf")))
