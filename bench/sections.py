# SPDX-License-Identifier: Apache-2.0
"""What is measured, against what, and the target of each row."""
import json
import os
import re
import subprocess

from disks import (NbdServer, Unavailable, kernel_zram, kernel_zram_bytes, nbdfuse_loop, need,
                   our_block_device, our_nbd)
from report import Row, Skipped

MIB = 1 << 20
DISK = "1G"
# fio makes its own data for writes: this much of each block packs away, about as real pages do.
FIO_COMPRESS_PERCENT = 60
FIO_NOTE = {"fio": f"fio's own data for writes, of which {FIO_COMPRESS_PERCENT} % pack away"}


def corpus_bytes(bench):
    """Bytes of the pages that are measured, rounded up to whole MiB."""
    pages = os.path.getsize(bench.corpus) // 4096
    pages = min(pages, bench.pages) if bench.pages else pages
    return (pages * 4096 + MIB - 1) // MIB * MIB


# --- in process ----------------------------------------------------------------------------------


def library(bench, _stack):
    """A page stored and fetched, against the bare call of the library."""
    targets = {"lz4": (("<=", 1.15), ("<=", 1.15), ("<=", 1.35)), "zstd": (None, None, None)}
    calls = {"lz4": ("LZ4_compress_fast_extState", "LZ4_decompress_safe"),
             "zstd": ("ZSTD_compressCCtx", "ZSTD_decompressDCtx")}
    for algorithm, (fresh, overwrite, read) in targets.items():
        answer = bench.measure("library", "library", "--algorithm", algorithm, "--rounds",
                               str(bench.rounds))
        pack, unpack = calls[algorithm]
        for what, key, call, target in (("write, empty device", "fresh_write", pack, fresh),
                                        ("overwrite, random order", "overwrite", pack, overwrite),
                                        ("read, random order", "read", unpack, read)):
            bench.rows.append(Row(f"{algorithm} {what}", "ns/page", answer[key]["ours"],
                                  answer[key]["theirs"], call, target))


def kernel(bench, stack):
    """One page at a time, ours in process against the kernel's through O_DIRECT."""
    try:
        node = stack.enter_context(kernel_zram("lz4", corpus_bytes(bench)))
    except Unavailable as reason:
        bench.rows.append(Skipped("lz4 page, in process against kernel zram", str(reason)))
        return
    answer = bench.measure("kernel", "kernel", "--algorithm", "lz4", "--path", node, "--rounds",
                           str(bench.rounds))
    for job, call, limit in (("write", "pwrite O_DIRECT", 0.65), ("read", "pread O_DIRECT", 0.75)):
        part = answer[job]
        against = f"kernel zram, {call}"
        bench.rows.append(Row(f"lz4 {job}, one page", "ns/page", part["ours"], part["theirs"],
                              against, ("<=", limit)))
        for quantile in ("p50", "p99"):
            bench.rows.append(Row(f"lz4 {job}, one page, {quantile}", "ns",
                                  part[f"ours_{quantile}"], part[f"theirs_{quantile}"], against))


def memory(bench, stack):
    """Everything that stored pages cost, same-filled pages included."""
    ours = {algorithm: bench.measure("memory", "memory", "--algorithm", algorithm, same_filled=True)
            for algorithm in ("lz4", "zstd")}
    account = ours["lz4"]["after_fill"]
    bench.rows.append(Row("lz4 memory, the system's count over ours", "bytes",
                          ours["lz4"]["arena_bytes"] + account["context_bytes"],
                          account["total_bytes"], "total_stat", ("<=", 1.02)))
    try:
        disk_bytes = ours["lz4"]["pages"] * 4096
        node = stack.enter_context(kernel_zram("lz4", disk_bytes))
    except Unavailable as reason:
        bench.rows.append(Skipped("lz4 total memory against kernel zram", str(reason)))
        return
    bench.measure("fill", "client", "--target", node, "--job", "fill", "--depth", "4",
                  same_filled=True)
    kernel_bytes = kernel_zram_bytes(disk_bytes)
    against = "kernel zram lz4, mem_used_total + table"
    bench.rows.append(Row("lz4 total memory, same pages", "bytes", account["total_bytes"],
                          kernel_bytes, against, ("<", 1)))
    bench.rows.append(Row("zstd total memory, same pages", "bytes",
                          ours["zstd"]["after_fill"]["total_bytes"], kernel_bytes, against))


def overhead(bench, _stack):
    """The pool's memory over its packed bytes, as it ages."""
    for algorithm in ("lz4", "zstd"):
        answer = bench.measure("overhead", "overhead", "--algorithm", algorithm)
        for what, key, limit in (("after the fill", "fresh", 2),
                                 ("after 4 random overwrites", "overwritten_at_once", None),
                                 ("after those, at rest", "overwritten", 5),
                                 ("after freeing a random half", "half_freed_at_once", None),
                                 ("after that, at rest", "half_freed", 4),
                                 ("after compact", "compacted", None)):
            bench.rows.append(Row(f"{algorithm} pool overhead {what}", "percent",
                                  100 * answer[key], target=limit and ("<=", limit)))
        bench.rows.append(Row(f"{algorithm} metadata per stored page", "bytes",
                              answer["metadata_bytes_per_page"], target=("<=", 12)))


# --- served by another process -------------------------------------------------------------------


def fill(bench, target):
    """The corpus onto a disk, read back and compared."""
    for job in ("fill", "verify"):
        bench.measure("fill", "client", "--target", target, "--job", job, "--depth", "4",
                      "--block-bytes", str(128 << 10))


def rates(bench, disks, job, depth, block_bytes=4096, sequential=False):
    """{name: [requests per second]}: the same client at each disk in turn, round by round."""
    found = {name: [] for name in disks}
    for round_index in range(bench.client_rounds):
        for name, target in disks.items():
            words = ["client", "--target", target, "--job", job, "--depth", str(depth),
                     "--block-bytes", str(block_bytes), "--seconds", str(bench.client_seconds),
                     "--seed", str(round_index + 1)] + (["--sequential"] if sequential else [])
            answer = bench.measure(f"client {name} {job} q{depth} {block_bytes}", *words)
            found[name].append(answer["requests_per_second"])
    return found


def fio_rate(bench, target, job, depth):
    """Requests per second of fio: random 4 KiB over the bytes that hold the corpus."""
    need("fio")
    where = (["--ioengine=nbd", f"--uri={target}"] if "://" in target
             else ["--ioengine=libaio", "--direct=1", f"--filename={target}"])
    # A little less than the corpus: same-filled pages were left out of what the disk holds.
    span = corpus_bytes(bench) * 9 // 10 // MIB * MIB
    command = ["fio", "--name=bench", *where, f"--rw=rand{job}", "--bs=4k", f"--iodepth={depth}",
               "--time_based", f"--runtime={bench.fio_seconds}", f"--size={span}", "--norandommap",
               "--randrepeat=0", "--refill_buffers", "--allow_file_create=0",
               f"--buffer_compress_percentage={FIO_COMPRESS_PERCENT}", "--output-format=json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    answer = json.loads(re.search(r"^\{.*", done.stdout, re.DOTALL | re.MULTILINE).group())
    return answer["jobs"][0][job]["iops"]


def compare(bench, title, disks, pairs, depths=(1, 16), with_fio=True):
    """Random reads and writes of pages: by our client with real pages, then by fio.

    pairs: [(our disk, their disk, {(job, depth): target})]"""
    clients = {"pages": lambda job, depth: rates(bench, disks, job, depth)}
    if with_fio:
        clients["fio"] = lambda job, depth: {
            name: [fio_rate(bench, target, job, depth)] for name, target in disks.items()}
    for client, measure in clients.items():
        for job in ("read", "write"):
            for depth in depths:
                bench.say(f"{title}: {client}, random {job}, depth {depth}")
                found = measure(job, depth)
                bench.raw.setdefault("rates", []).append(
                    {"client": client, "job": job, "depth": depth, "rates": found})
                for ours, theirs, targets in pairs:
                    bench.rows.append(Row(f"{ours}: random {job} q{depth}, {client}", "requests/s",
                                          found[ours], found[theirs], theirs,
                                          targets.get((job, depth)), FIO_NOTE.get(client)))


def nbd(bench, stack):
    """NBD servers over a Unix socket."""
    theirs = "nbdkit memory allocator=zstd"
    try:
        need("fio", "nbdkit")
        servers = {"NBD zstd": stack.enter_context(our_nbd(bench.build, DISK, "zstd")),
                   "NBD lz4": stack.enter_context(our_nbd(bench.build, DISK, "lz4")),
                   theirs: stack.enter_context(NbdServer("memory", "allocator=zstd",
                                                         f"size={DISK}"))}
    except Unavailable as reason:
        bench.rows.append(Skipped("NBD", str(reason)))
        return
    disks = {name: server.uri for name, server in servers.items()}
    for target in disks.values():
        fill(bench, target)
    memory_bytes = {name: server.content_bytes() for name, server in servers.items()}
    for name, target in (("NBD zstd", ("<=", 1)), ("NBD lz4", None)):
        bench.rows.append(Row(f"{name}: total memory of the server, same pages", "bytes",
                              memory_bytes[name], memory_bytes[theirs], theirs, target))
    compare(bench, "NBD", disks, [
        ("NBD zstd", theirs, {("write", 16): (">=", 3), ("read", 16): (">=", 1)}),
        ("NBD lz4", theirs, {("write", 16): (">=", 5), ("read", 16): (">=", 1)})])


def fuse(bench, stack):
    """The FUSE file and the loop device over it."""
    ours, our_file = "FUSE+loop lz4", "FUSE file lz4"
    zram, peer = "kernel zram lz4", "nbdfuse+loop, nbdkit memory"
    disks = {}
    try:
        loop, file = stack.enter_context(our_block_device(bench.build, DISK, "lz4"))
    except Unavailable as reason:
        bench.rows.append(Skipped("FUSE+loop", str(reason)))
        return
    disks[ours] = loop
    if file:
        disks[our_file] = file
    else:
        bench.rows.append(Skipped(our_file, "its path is not visible"))
    for name, disk in ((zram, lambda: kernel_zram("lz4", 1 << 30)),
                       (peer, lambda: nbdfuse_loop("memory", f"size={DISK}"))):
        try:
            disks[name] = stack.enter_context(disk())
        except Unavailable as reason:
            bench.rows.append(Skipped(f"FUSE against {name}", str(reason)))
    fill(bench, loop)
    for name in (zram, peer):
        if name in disks:
            fill(bench, disks[name])
    pairs = [(ours, peer, {("read", 16): (">=", 3)}), (ours, zram, {}),
             (our_file, zram, {("read", 16): (">=", 0.5)})]
    pairs = [pair for pair in pairs if pair[0] in disks and pair[1] in disks]
    compare(bench, "FUSE", disks, pairs)
    if zram in disks:
        sequential(bench, {ours: loop, zram: disks[zram]}, ours, zram)


def sequential(bench, disks, ours, theirs):
    """Large requests, where both processors work on one."""
    for job in ("read", "write"):
        bench.say(f"1 MiB sequential {job}")
        found = rates(bench, disks, job, 4, MIB, sequential=True)
        bench.rows.append(Row(f"{ours}: 1 MiB sequential {job} q4, pages", "MiB/s", found[ours],
                              found[theirs], theirs, (">=", 1.4)))


SECTIONS = (("library", library), ("kernel", kernel), ("memory", memory), ("overhead", overhead),
            ("nbd", nbd), ("fuse", fuse))
