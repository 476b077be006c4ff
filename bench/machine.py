# SPDX-License-Identifier: Apache-2.0
"""What has to be known about a machine before its numbers mean anything."""
import glob
import os
import platform
import subprocess

PACKAGES = ("liblz4-1", "libzstd1", "liblzo2-2", "libdeflate0", "libxxhash0", "libfuse3-3",
            "liburing2", "nbdkit", "libnbd0", "libnbd-bin", "fio", "gcc-12")


def read_text(path):
    """The file's text without its newline; None when there is no such file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def processor_model():
    for line in (read_text("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def memory_kibibytes():
    for line in (read_text("/proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1])
    return None


def package_versions():
    versions = {}
    for name in PACKAGES:
        version = output_of("dpkg-query", "-W", "-f", "${Version}", name)
        if version:
            versions[name] = version
    return versions


def describe(root):
    """A dict for the results file."""
    caches = {}
    for folder in sorted(glob.glob("/sys/devices/system/cpu/cpu0/cache/index*")):
        name = f"L{read_text(folder + '/level')} {read_text(folder + '/type')}"
        caches[name] = read_text(folder + "/size")
    return {
        "processor": processor_model(),
        "processors": len(os.sched_getaffinity(0)),
        "caches": caches,
        "memory_kibibytes": memory_kibibytes(),
        "kernel": platform.release(),
        "system": output_of("sh", "-c", ". /etc/os-release; echo \"$PRETTY_NAME\""),
        "hypervisor": output_of("systemd-detect-virt"),
        "governor": read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "transparent_huge_pages": read_text("/sys/kernel/mm/transparent_hugepage/enabled"),
        "load_before": os.getloadavg(),
        "packages": package_versions(),
        "revision": output_of("git", "-C", root, "rev-parse", "HEAD"),
        "has_uncommitted_changes": bool(output_of("git", "-C", root, "status", "--porcelain",
                                                  "--untracked-files=no")),
    }
