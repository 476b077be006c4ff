# SPDX-License-Identifier: Apache-2.0
"""What is measured of cluster files, against what, and the target of each row."""
import os

from report import Row, Skipped

# In memory, so that no disk is measured.
FOLDER = "/dev/shm"
BARE = "the codec alone"


def cluster(bench, _stack):
    """Packing, reading and saving of cluster files in memory, against the codec alone."""
    if not os.path.isdir(FOLDER):
        bench.rows.append(Skipped("cluster files", f"no {FOLDER}"))
        return
    for algorithm in ("lz4", "lzo-rle", "zstd:3"):
        for log_size in (2, 4):
            add_rows(bench, algorithm, log_size)


def add_rows(bench, algorithm, log_size):
    name = f"{algorithm} clusters of {4 << log_size} KiB"
    answer = bench.measure(f"cluster {algorithm} {log_size}", "cluster", "--algorithm", algorithm,
                           "--log-size", str(log_size), "--folder", FOLDER, "--rounds",
                           str(bench.rounds))

    def rates(job, side):
        return [answer["content_bytes"] / seconds / 1e6 for seconds in answer[job][side]]

    one, two = rates("pack_1", "ours"), rates("pack_2", "ours")
    bench.rows += [
        Row(f"{name}: pack, one core", "MB/s", one, rates("pack_1", "theirs"), BARE, (">=", 0.9)),
        # What no cluster file can do without: the file's pages are allocated and filled.
        Row(f"{name}: pack, one core", "MB/s", one, rates("pack_1", "theirs_written"),
            f"{BARE}, and pwrite of its blocks"),
        Row(f"{name}: pack, two cores", "MB/s", two, rates("pack_2", "theirs"),
            f"{BARE}, two threads"),
        Row(f"{name}: pack, two cores", "MB/s", two, one, "one core", (">=", 1.8)),
        Row(f"{name}: 4 KiB from a cluster in no buffer", "ns", answer["cold_read"]["ours"],
            answer["cold_read"]["theirs"], "the codec unpacks the cluster", ("<=", 1.2)),
        Row(f"{name}: 4 KiB from a buffer", "ns", answer["hit"]["ours"], target=("<=", 2000)),
        Row(f"{name}: space saved, map and roots counted", "bytes", answer["saved_bytes"]["ours"],
            answer["saved_bytes"]["theirs"], "f2fs's rule", (">=", 0.99))]


def mapping(bench, _stack):
    """A cluster file through memory that a pager keeps to a quarter of it."""
    if not os.path.isdir(FOLDER):
        bench.rows.append(Skipped("mapped cluster files", f"no {FOLDER}"))
        return
    for log_size in (2, 4):
        answer = bench.measure(f"mapping {log_size}", "mapping", "--algorithm", "lz4", "--log-size",
                               str(log_size), "--folder", FOLDER, "--rounds", str(bench.rounds))
        name = f"mapped lz4 clusters of {4 << log_size} KiB, a quarter fits"
        for what, key, against in (("touch of a page at random", "random", "4 KiB"),
                                   ("scan", "in_order", "128 KiB")):
            bench.rows.append(Row(f"{name}: {what}", "ns/page", answer[key]["ours"],
                                  answer[key]["theirs"], f"ClusterFile::read of {against}"))


SECTIONS = (("cluster", cluster), ("pager mapping", mapping))
