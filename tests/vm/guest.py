# SPDX-License-Identifier: Apache-2.0
"""Runs a shell script under another kernel: Debian's 6.12 in a small virtual machine.

What:    the newest linux-image-6.12*+deb12-amd64 that apt knows is downloaded (not installed), a
         tiny initramfs with busybox and the modules asked for is packed, and qemu runs it by
         software emulation, which works everywhere. Both are kept under build/vm.
Shapes:  the script sees the host's whole root read-only, so it may use the host's programs; /proc,
         /sys, /dev and /tmp are the guest's own. Standard output is one serial line.
Errors:  Unavailable names what this machine lacks.
"""
import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "vm"
_PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "cpio": "cpio", "modprobe": "kmod",
             "depmod": "kmod", "xz": "xz-utils", "make": "make", "dpkg-deb": "dpkg",
             "apt-get": "apt", "apt-cache": "apt"}
_SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_SHARE_MODULES = ["9p", "9pnet_virtio", "virtio_pci"]


class Unavailable(Exception):
    """This machine cannot run the guest; the text says what is missing."""


@contextlib.contextmanager
def preparing():
    """What is kept under build/vm is made by one test at a time; others wait and find it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def tool(name):
    path = shutil.which(name, path=_SEARCH_PATH)
    if not path:
        raise Unavailable(f"{name} is not installed (package {_PROGRAMS.get(name, name)})")
    return path


def _output(argv, **keywords):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **keywords).stdout


def _newest_package():
    """The newest 6.12 kernel package in apt's lists."""
    if os.uname().machine != "x86_64":
        raise Unavailable("the guest kernel is for x86_64 only")
    listed = _output([tool("apt-cache"), "search", "--names-only",
                      r"^linux-image-6\.12\..*\+deb12-amd64$"])
    names = re.findall(r"^(linux-image-(6\.12\.\d+)\S*)", listed, re.M)
    if not names:
        raise Unavailable("apt knows no linux-image-6.12*+deb12-amd64")
    return max(names, key=lambda name: [int(part) for part in name[1].split(".")])[0]


def _cached_kernel():
    """The folder of a kernel that is there already; None when there is none."""
    found = sorted(path.parent for path in CACHE.glob("linux-image-6.12*/complete"))
    return found[-1] if found else None


def kernel_folder():
    """The unpacked kernel package; downloaded at most once."""
    folder = _cached_kernel()
    if folder:
        return folder
    package = _newest_package()
    folder = CACHE / package
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        os.chmod(work, 0o755)
        fetched = subprocess.run([tool("apt-get"), "download", "-q", package], cwd=work,
                                 capture_output=True, text=True, check=False)
        if fetched.returncode != 0:
            last = (fetched.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise Unavailable(f"{package} cannot be downloaded: {last}")
        [archive] = pathlib.Path(work).glob("*.deb")
        _output([tool("dpkg-deb"), "-x", archive, folder])
    [modules] = (folder / "lib" / "modules").iterdir()
    _output([tool("depmod"), "-b", folder, modules.name])
    (folder / "complete").touch()
    return folder


def _modules_in_order(kernel, names):
    """The files of the modules and of what they need, in loading order; built-in ones have none."""
    [version] = [path.name for path in (kernel / "lib" / "modules").iterdir()]
    files = []
    for name in names:
        asked = subprocess.run([tool("modprobe"), "-d", kernel, "-S", version, "--show-depends",
                                name], capture_output=True, text=True, check=False)
        for path in re.findall(r"^insmod (\S+)", asked.stdout, re.M):
            if path not in files:
                files.append(path)
    return [pathlib.Path(path) for path in files]


def _put_module(path, folder):
    stem = path.name.removesuffix(".xz").removesuffix(".ko")
    out = folder / f"{stem}.ko"
    if path.suffix == ".xz":
        with open(out, "wb") as unpacked:
            subprocess.run([tool("xz"), "-dc", path], check=True, stdout=unpacked)
    else:
        shutil.copy(path, out)
    return stem


def _is_newer(path, others):
    return path.exists() and all(path.stat().st_mtime > other.stat().st_mtime for other in others)


def initramfs(kernel, modules, own_modules):
    """The packed initramfs for these modules; made anew when what goes into it is newer."""
    init = pathlib.Path(__file__).with_name("guest_init")
    names = [*modules, *(f"own-{name}" for name in own_modules)]
    packed = kernel / ("initramfs-" + "-".join(names) + ".cpio")
    if _is_newer(packed, [init, *own_modules.values()]):
        return packed
    busybox = pathlib.Path("/bin/busybox")
    if not busybox.exists() or b"ELF" not in busybox.read_bytes()[:4]:
        raise Unavailable("busybox is not installed (package busybox-static)")
    if "not a dynamic" not in subprocess.run(["ldd", busybox], capture_output=True, text=True,
                                             check=False).stderr:
        raise Unavailable("busybox is not static (package busybox-static)")
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        top = pathlib.Path(work)
        for name in ("bin", "sbin", "proc", "sys", "dev", "tmp", "host", "modules"):
            (top / name).mkdir()
        shutil.copy(busybox, top / "bin" / "busybox")
        for applet in _output([busybox, "--list"]).split():
            if applet != "busybox":
                (top / "bin" / applet).symlink_to("busybox")
        order = [_put_module(path, top / "modules")
                 for path in _modules_in_order(kernel, [*modules, *_SHARE_MODULES])]
        for name, path in own_modules.items():
            shutil.copy(path, top / "modules" / f"{name}.ko")
        (top / "modules" / "order").write_text("\n".join(order) + "\n", encoding="utf-8")
        shutil.copy(init, top / "init")
        os.chmod(top / "init", 0o755)
        names = "\0".join(["."] + [str(p.relative_to(top)) for p in sorted(top.rglob("*"))])
        with open(packed, "wb") as out:
            subprocess.run([tool("cpio"), "--null", "-o", "-H", "newc", "--quiet"], cwd=top,
                           input=names.encode(), stdout=out, check=True)
    return packed


def run(script, modules, seconds=120, memory_mib=1024, own_modules=None, disk=None):
    """Runs the host's `script` (an absolute path) in the guest. Returns: (its exit status, output).

    The status is None when the guest did not come to its end. own_modules: {name: file} that stand
    in for the kernel's. disk: a file that the guest has as /dev/vda, and may write to; `modules`
    then has to name virtio_blk.
    """
    qemu = tool("qemu-system-x86_64")
    with preparing():
        kernel = kernel_folder()
        image = initramfs(kernel, modules, own_modules or {})
    [vmlinuz] = (kernel / "boot").glob("vmlinuz-*")
    command_line = ("console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off "
                    f"uzram_root={ROOT} uzram_script={script}")
    share = "local,path=/,mount_tag=hostroot,security_model=none,readonly=on,multidevs=remap"
    argv = [qemu, "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2",
            "-m", str(memory_mib), "-nodefaults", "-no-reboot", "-display", "none",
            "-serial", "stdio", "-kernel", vmlinuz, "-initrd", image, "-append", command_line,
            "-virtfs", share]
    if disk:
        argv += ["-drive", f"file={disk},if=virtio,format=raw,cache=unsafe"]
    try:
        ended = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, timeout=seconds, check=False)
        said = ended.stdout
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
    text = said.decode(errors="replace").replace("\r\n", "\n")
    status = re.search(r"^GUEST STATUS (\d+)$", text, re.M)
    return (int(status.group(1)) if status else None), text
