# SPDX-License-Identifier: Apache-2.0
"""f2fs images for tests: made by Debian's f2fs-tools, read by `uzram f2fs`."""
import os
import pathlib
import random
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from uzram_daemon import uzram_program  # noqa: E402

_SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
# (sload.f2fs 1.15 does not get along with flexible_inline_xattr: its own check changes files.)
FEATURES = "extra_attr,compression,inode_checksum,sb_checksum,inode_crtime"


class Unavailable(Exception):
    """The text says what this machine lacks."""


def tool(name):
    path = shutil.which(name, path=_SEARCH_PATH)
    if not path:
        raise Unavailable(f"{name} is not installed (package f2fs-tools)")
    return path


def make_image(path, mebibytes, features=FEATURES, label="test"):
    with open(path, "wb") as image:
        image.truncate(mebibytes << 20)
    wanted = ["-O", features] if features else []
    subprocess.run([tool("mkfs.f2fs"), "-q", "-f", "-l", label, *wanted, path], check=True,
                   capture_output=True)


def load_image(path, folder, *options):
    """Copies a folder into the image. Raises Unavailable for what this sload.f2fs cannot do."""
    done = subprocess.run([tool("sload.f2fs"), "-f", folder, *options, path], capture_output=True,
                          text=True, check=False)
    said = done.stdout + done.stderr
    if "is not supported" in said or "-c: Need" in said:
        raise Unavailable(f"sload.f2fs here cannot do {' '.join(options)}")
    if done.returncode != 0:
        raise AssertionError(said)


def uzram(*words, check=True):
    done = subprocess.run([uzram_program(), "f2fs", *map(str, words)], capture_output=True,
                          check=False)
    if check and done.returncode != 0:
        raise AssertionError(done.stderr.decode(errors="replace"))
    return done


def words_of_text(count, seed):
    """Text that packs about 2:1 or better, the same for the same seed."""
    chooser = random.Random(seed)
    words = [f"{chooser.randrange(1 << 40):x}" for _ in range(400)]
    return " ".join(chooser.choice(words) for _ in range(count)).encode()


def contents(folder):
    """{relative path: what is there}: bytes of files, ("link", target), or "folder"."""
    found = {}
    for path in pathlib.Path(folder).rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        else:
            found[name] = path.read_bytes() if path.is_file() else "folder"
    return found
