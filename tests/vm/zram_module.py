# SPDX-License-Identifier: Apache-2.0
"""The guest kernel's own zram, built with what Debian leaves out: recompression, lzo and lzo-rle.

What:    the driver's source of the guest kernel's very version (package linux-source-6.12) is built
         as a module against that kernel's headers. Packages are downloaded, not installed; the
         module is kept beside the kernel, and nothing of the source.
Errors:  guest.Unavailable names what this machine lacks.
"""
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile
import threading

import guest

_OPTIONS = {"CONFIG_ZRAM_MULTI_COMP": "y", "CONFIG_ZRAM_BACKEND_LZO": "y"}
_DRIVER = "drivers/block/zram/"


def _fetch(packages, folder):
    """Downloads packages; returns their files."""
    done = subprocess.run([guest.tool("apt-get"), "download", "-q", *packages], cwd=folder,
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise guest.Unavailable(f"{packages[0]} cannot be downloaded: {last}")
    return sorted(pathlib.Path(folder).glob("*.deb"))


def _packages(kernel):
    """(Header packages, the source package with its version) of the kernel in this folder."""
    name = kernel.name.removeprefix("linux-image-").removesuffix("-amd64")  # 6.12.117+deb12
    headers = [f"linux-headers-{name}-amd64", f"linux-headers-{name}-common",
               f"linux-kbuild-{name}"]
    shown = subprocess.run([guest.tool("apt-cache"), "show", headers[0]], capture_output=True,
                           text=True, check=False).stdout
    versions = re.findall(r"^Version: (\S+)$", shown, re.M)
    if not versions:
        raise guest.Unavailable(f"apt knows no {headers[0]}")
    return headers, f"linux-source-6.12={versions[0]}"


def _take_driver(archive, folder):
    """Unpacks the driver's folder from a source package, and reads no further."""
    with subprocess.Popen([guest.tool("dpkg-deb"), "--fsys-tarfile", archive],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as package:
        outer = tarfile.open(fileobj=package.stdout, mode="r|")
        source = next(member for member in outer if member.name.endswith(".tar.xz"))
        with subprocess.Popen([guest.tool("xz"), "-dc"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as xz:
            feeder = threading.Thread(target=_feed, args=(outer.extractfile(source), xz.stdin))
            feeder.start()
            was_there = False
            inner = tarfile.open(fileobj=xz.stdout, mode="r|")
            for member in inner:
                is_there = f"/{_DRIVER}" in member.name
                if was_there and not is_there:
                    break
                if is_there and member.isfile():
                    content = inner.extractfile(member).read()
                    (folder / pathlib.PurePath(member.name).name).write_bytes(content)
                was_there = is_there
            xz.kill()
            feeder.join()
        package.kill()
    if not (folder / "Makefile").exists():
        raise guest.Unavailable(f"there is no {_DRIVER} in {archive.name}")


def _feed(source, pipe):
    try:
        shutil.copyfileobj(source, pipe)
        pipe.close()
    except (BrokenPipeError, OSError):
        pass  # What was wanted is there already.


def _build(headers, driver):
    # Debian's headers name the places where they would be installed.
    makefile = headers / "Makefile"
    makefile.write_text(makefile.read_text().replace("/usr/src/", f"{headers.parent}/"))
    flags = " ".join(f"-D{name}=1" for name in _OPTIONS)
    options = [f"{name}={value}" for name, value in _OPTIONS.items()]
    done = subprocess.run([guest.tool("make"), "-C", headers, f"M={driver}", "CONFIG_ZRAM=m",
                           "CONFIG_DEBUG_INFO_BTF_MODULES=", f"KCFLAGS={flags}", *options,
                           "modules"], capture_output=True, text=True, check=False)
    if not (driver / "zram.ko").exists():
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise guest.Unavailable(f"zram cannot be built for the guest: {last}")
    return driver / "zram.ko"


def zram_module(kernel):
    """The module's file; built at most once for a kernel."""
    kept = kernel / "zram-multi-comp.ko"
    if kept.exists():
        return kept
    headers, source = _packages(kernel)
    with tempfile.TemporaryDirectory(dir=guest.CACHE) as work:
        folder = pathlib.Path(work)
        folder.chmod(0o755)  # apt fetches as a user of its own.
        for archive in _fetch(headers, folder):
            subprocess.run([guest.tool("dpkg-deb"), "-x", archive, folder / "root"], check=True)
            archive.unlink()
        driver = folder / "zram"
        driver.mkdir()
        [archive] = _fetch([source], folder)
        _take_driver(archive, driver)
        built = _build(folder / "root" / "usr" / "src" / headers[0], driver)
        shutil.move(built, kept)
    return kept
