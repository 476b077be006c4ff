# SPDX-License-Identifier: Apache-2.0
"""What is measured of a page's life after the write, against what, and the target of each row."""
import json
import os
import re
import shutil
import subprocess
import tempfile

from disks import NbdServer, Unavailable, kernel_zram, kernel_zram_bytes, need
from report import Row, Skipped
from sections import DISK, MIB, fill

# The policy's cycle: idle neighbours by 4 at zstd's level 1, colder ones by 16 at level 3.
BARE = "zstd alone, the same pages of the same clusters"
CYCLE = ("4:1", "16:3")
# With CPU that nobody else wants, level 9: after the cycle by 32, or by 16 instead of its end.
DEEP = {"by 32": (*CYCLE, "32:9"), "by 16": ("4:1", "16:9")}
# The policy with its own budgets, but in seconds what takes hours, and without stepping back before
# the reader, so that it is at work while the reader is.
POLICY = ("on idle_after=1s recompress_after=1s cluster_after=2s large_after=3s burst=off "
          "psi_percent=off")


def rounds_of(bench):
    return str(bench.client_rounds)


def total_bytes(answer):
    """Everything that the device counts, after its last stage and what ran behind it."""
    return answer["stages"][-1]["account"]["total_bytes"]


# --- memory and CPU ------------------------------------------------------------------------------


def demotion(bench, stack):
    """CPU and memory of packing cold pages together, with deduplication on."""
    answer = bench.measure("demotion", "demotion", "--stages", *CYCLE, "--rounds",
                           rounds_of(bench), same_filled=True)
    names = ("to clusters of 4, zstd 1", "from there to 16, zstd 3")
    # The target is for the first step; the second one decodes, and packs at a higher level.
    for stage, name, target in zip(answer["stages"], names, (("<=", 14000), None)):
        bench.rows.append(Row(f"CPU to demote a page {name}", "ns/page", stage["cpu_per_page"],
                              target=target))
    account = answer["stages"][-1]["account"]
    bench.rows.append(Row("memory after a policy cycle, the system's count over ours", "bytes",
                          answer["arena_bytes"] + account["context_bytes"],
                          account["total_bytes"], "total_stat", ("<=", 1.02)))
    deep = {name: total_bytes(bench.measure("demotion", "demotion", "--stages", *stages,
                                            "--rounds", "1", same_filled=True))
            for name, stages in DEEP.items()}
    best = min(deep, key=deep.get)
    ours = (("after a policy cycle", total_bytes(answer), 0.56, 0.82),
            (f"after one with idle CPU (zstd 9 {best})", deep[best], 0.52, 0.76))
    against_kernel(bench, stack, answer["pages"], ours)
    model = bench.measure("model", "zram-model", "--algorithm", "zstd", same_filled=True)
    for when, memory, _, limit in ours:
        bench.rows.append(Row(f"total memory {when}, over zstd's", "bytes", memory,
                              model["total_bytes"],
                              "single pages, zstd 3, kernel's allocator (model)", ("<=", limit)))
    against_nbdkit(bench, stack)


def against_kernel(bench, stack, pages, ours):
    """The kernel's zram itself; and the model of its allocator against it."""
    disk_bytes = pages * 4096
    try:
        node = stack.enter_context(kernel_zram("lz4", disk_bytes))
    except Unavailable as reason:
        bench.rows.append(Skipped("total memory of cold pages against kernel zram", str(reason)))
        return
    bench.measure("fill", "client", "--target", node, "--job", "fill", "--depth", "4",
                  same_filled=True)
    total = kernel_zram_bytes(disk_bytes)
    for when, memory, limit, _ in ours:
        bench.rows.append(Row(f"total memory {when}, over lz4's", "bytes", memory, total,
                              "kernel zram lz4, mem_used_total + table", ("<=", limit)))
    model = bench.measure("model", "zram-model", "--algorithm", "lz4", same_filled=True)
    used = kernel_zram_bytes(0)
    bench.rows.append(Row("model of the kernel's allocator, lz4: distance from mem_used_total",
                          "percent", 100 * abs(model["mem_used_bytes"] / used - 1),
                          target=("<=", 1)))


def against_nbdkit(bench, stack):
    """As the memory row of the NBD servers; the plug-in's device, measured in process."""
    theirs = "nbdkit memory allocator=zstd"
    what = "zstd, total memory of the process after a policy cycle"
    try:
        need("nbdkit")
        server = stack.enter_context(NbdServer("memory", "allocator=zstd", f"size={DISK}"))
    except Unavailable as reason:
        bench.rows.append(Skipped(what, str(reason)))
        return
    fill(bench, server.uri)
    answer = bench.measure("demotion", "demotion", "--algorithm", "zstd", "--stages", *CYCLE,
                           "--rounds", "1")
    bench.rows.append(Row(what, "bytes", answer["process_bytes"], server.content_bytes(), theirs,
                          ("<=", 1)))


# --- reading it again ----------------------------------------------------------------------------


def cold_reads(bench, _stack):
    """One page of a cluster that nobody has read before; all pages one after the other."""
    for name, stages, limit in (("by 4", CYCLE[:1], 25_000), ("by 16", CYCLE, 70_000),
                                ("by 32, zstd 9", DEEP["by 32"], None)):
        answer = bench.measure("cold reads", "cold-reads", "--stages", *stages, "--rounds",
                               rounds_of(bench))
        bench.rows += [
            Row(f"read of a cold page, clusters {name}, p50", "ns", answer["p50"],
                answer["bare_p50"], BARE),
            Row(f"read of a cold page, clusters {name}, p99", "ns", answer["p99"],
                answer["bare_p99"], BARE),
            Row(f"sequential scan, clusters {name}", "ns/page", answer["scan"],
                answer["bare_scan"], BARE)]
        if limit:
            bench.rows += [
                Row(f"read of a cold page, clusters {name}, p99, in time", "ns", answer["p99"],
                    target=("<=", limit)),
                Row(f"sequential scan, clusters {name}, in time", "ns/page", answer["scan"],
                    target=("<=", 2500))]


def policy(bench, _stack):
    """Reads beside work in the background, against the same reads alone."""
    kinds = (("the policy", ("--settings", POLICY, "--seconds", "0.3" if bench.is_quick else "2"),
              ("<=", 1.5)),
             ("its rounds without pauses", ("--round-pages", "512" if bench.is_quick else "4096"),
              None))
    for name, words, target in kinds:
        answer = bench.measure(f"policy: {name}", "policy", "--rounds", rounds_of(bench), *words)
        for quantile in ("p50", "p99"):
            bench.rows.append(Row(f"read beside {name}, {quantile}", "ns",
                                  answer[f"beside_{quantile}"], answer[f"alone_{quantile}"],
                                  "the same reads alone", target if quantile == "p99" else None))


# --- backing store -------------------------------------------------------------------------------


def fio_sequential(path, mebibytes):
    """Bytes per second of fio's sequential writes over the first part of a file that is there."""
    need("fio")
    command = ["fio", "--name=bench", "--ioengine=libaio", "--direct=1", f"--filename={path}",
               "--rw=write", "--bs=256k", "--iodepth=4", f"--size={mebibytes}M",
               "--allow_file_create=0", "--output-format=json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    answer = json.loads(re.search(r"^\{.*", done.stdout, re.DOTALL | re.MULTILINE).group())
    return answer["jobs"][0]["write"]["bw_bytes"]


def make_backing_file(bench, stack, mebibytes):
    """A file on the disk of the build folder, all of it written once, so that no side has to wait
    for blocks to be found."""
    folder = tempfile.mkdtemp(prefix="backing-", dir=bench.build)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    path = f"{folder}/file"
    with open(path, "wb") as file:
        for _ in range(mebibytes):
            file.write(os.urandom(MIB))
        os.fsync(file.fileno())
    try:
        os.close(os.open(path, os.O_RDWR | os.O_DIRECT))
    except OSError as error:
        raise Unavailable("the build folder's file system has no O_DIRECT") from error
    return path


def writeback(bench, stack):
    """Pages to a backing file, against the file's own speed."""
    mebibytes = 16 if bench.is_quick else 256
    try:
        need("fio")
        path = make_backing_file(bench, stack, mebibytes + 16)
    except Unavailable as reason:
        bench.rows.append(Skipped("writeback", str(reason)))
        return
    command = ("writeback", "--path", path)
    sides = {"encrypted": (), "not encrypted": ("--no-encryption",)}
    raw, found = [], {name: [] for name in sides}
    for _ in range(bench.client_rounds):
        raw.append(fio_sequential(path, mebibytes))
        for name, words in sides.items():
            answer = bench.measure(f"writeback {name}", *command, "--mebibytes", str(mebibytes),
                                   *words)
            found[name].append(answer["bytes_per_second"])
    bench.raw["writeback, fio"] = raw
    for name, target in (("encrypted", (">=", 0.8)), ("not encrypted", None)):
        bench.rows.append(Row(f"writeback of incompressible pages, {name}", "bytes/s", found[name],
                              raw, "fio, sequential writes of the same file", target))
    packed = bench.measure("writeback packed", *command, "--content", "corpus")
    bench.rows.append(Row("writeback of packed pages, pages in a block", "pages",
                          packed["written_pages"] / packed["written_blocks"], 1,
                          "kernel zram, one in each"))


# --- deduplication -------------------------------------------------------------------------------


def dedup(bench, _stack):
    """What it finds, what it adds to writes that find nothing, what it keeps in memory."""
    rounds = str(bench.rounds)
    answer = bench.measure("dedup", "dedup", "--rounds", rounds)
    if answer["duplicates"]:
        share = 100 * answer["duplicates_found"] / answer["duplicates"]
        bench.rows.append(Row("dedup: exact duplicates found", "percent", share,
                              target=(">=", 95)))
    else:
        bench.rows.append(Skipped("dedup: exact duplicates found", "the corpus has none"))
    for what, key in (("a write to an empty device", "fresh_write"),
                      ("an overwrite in random order", "overwrite")):
        bench.rows.append(Row(f"dedup: added to {what} that finds none", "ns/page",
                              answer[key]["added"], target=("<=", 250)))
    bench.rows.append(Row("dedup: index and shared slots, per unique page", "bytes",
                          answer["metadata_bytes_per_unique_page"], target=("<=", 16)))


SECTIONS = (("demotion", demotion), ("cold-reads", cold_reads), ("policy", policy),
            ("writeback", writeback), ("dedup", dedup))
