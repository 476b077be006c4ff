# SPDX-License-Identifier: Apache-2.0
"""tidy.py [--deep] [FILE...]: clang-tidy on these files or on all product files, several at a time.

Files of one room with the same flags are looked at as one source, because most of the time goes
into the headers that they share; those that do not compile together are looked at one by one. The
analyzer follows fewer paths than it could (that takes a quarter of the time). --deep does neither.

A file that was clean stays clean while it, the project's headers, its compile command and
.clang-tidy are the same: build/tidy/ remembers that, so a second run looks only at what changed.
"""
import collections
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "clang"
MEMORY = ROOT / "build" / "tidy"
_MOST_TOGETHER = 16
_SHALLOW = ["-Xclang", "-analyzer-config", "-Xclang", "mode=shallow"]
# The check left out warns of just this. In included sources findings count and the analyzer follows
# paths; unused aliases and using-declarations there are found by --deep alone.
_TOGETHER = ["--checks=-bugprone-suspicious-include", r"--header-filter=src/.*\.(h|cc)$",
             "--extra-arg=-Xclang", "--extra-arg=-analyzer-opt-analyze-headers"]


def is_product(path):
    stem = path.stem
    return not stem.endswith(("_test", "_fuzz", "_bench"))


def product_commands():
    """{source path: compile command} of every product file under src/ that the build knows."""
    with open(BUILD / "compile_commands.json", encoding="utf-8") as database:
        entries = json.load(database)
    sources = {pathlib.Path(e["file"]): e.get("command", "") for e in entries}
    return {path: command for path, command in sorted(sources.items())
            if ROOT / "src" in path.parents and is_product(path)}


def surroundings_digest():
    """What every file's verdict depends on: the rules, the tool and all headers."""
    digest = hashlib.sha256((ROOT / ".clang-tidy").read_bytes())
    version = subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True)
    digest.update(version.stdout)
    for header in sorted((ROOT / "src").rglob("*.h")):
        digest.update(header.read_bytes())
    return digest.digest()


def stamp_of(path, command, surroundings, is_deep):
    depth = b"deep" if is_deep else b"shallow"
    digest = hashlib.sha256(surroundings + depth + command.encode() + path.read_bytes())
    return MEMORY / digest.hexdigest()


def flags_of(path, command):
    """The compile command without the compiler, its launcher, and the names of files."""
    words = shlex.split(command)
    words = words[1 + next(i for i, word in enumerate(words) if word.endswith("clang++")):]
    at = words.index("-o")
    return [word for word in words[:at] + words[at + 2:] if word not in ("-c", str(path))]


def groups(due, commands, is_deep):
    """Lists of files to look at together."""
    if is_deep:
        return [[path] for path in due]
    alike = collections.defaultdict(list)
    for path in due:
        alike[path.parent, *flags_of(path, commands[path])].append(path)
    return [paths[i:i + _MOST_TOGETHER] for paths in alike.values()
            for i in range(0, len(paths), _MOST_TOGETHER)]


def clang_tidy(*argv):
    return subprocess.run(["clang-tidy", "--quiet", *argv], cwd=ROOT,
                          capture_output=True, text=True, check=False)


def check_together(paths, flags):
    """The result for one source that includes all of them."""
    text = "".join(f'#include "{path}"\n' for path in paths)
    MEMORY.mkdir(parents=True, exist_ok=True)
    source = MEMORY / (hashlib.sha256(text.encode()).hexdigest() + ".cc")
    source.write_text(text, encoding="utf-8")
    try:
        return clang_tidy(*_TOGETHER, str(source), "--", *flags, *_SHALLOW)
    finally:
        source.unlink()


def check(paths, commands, is_deep):
    """[(path, result)]; a result that stands for several paths stands at each."""
    if len(paths) > 1:
        result = check_together(paths, flags_of(paths[0], commands[paths[0]]))
        if "clang-diagnostic-error" not in result.stdout:
            return [(path, result) for path in paths]
    return [(path, clang_tidy(str(path), "--", *flags_of(path, commands[path]),
                              *([] if is_deep else _SHALLOW))) for path in paths]


def main():
    names = [name for name in sys.argv[1:] if name != "--deep"]
    is_deep = "--deep" in sys.argv[1:]
    commands = product_commands()
    wanted = [pathlib.Path(name).resolve() for name in names] or list(commands)
    unknown = [path for path in wanted if path not in commands]
    if unknown:
        sys.exit(f"tidy: not a product source that the build knows: {unknown[0]}")
    MEMORY.mkdir(parents=True, exist_ok=True)
    surroundings = surroundings_digest()
    stamps = {path: stamp_of(path, commands[path], surroundings, is_deep) for path in wanted}
    due = [path for path in wanted if not stamps[path].exists()]
    bad = looked_at = 0
    told = set()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for results in pool.map(lambda paths: check(paths, commands, is_deep),
                                groups(due, commands, is_deep)):
            for path, result in results:
                looked_at += 1
                print(f"[{looked_at}/{len(due)}] {path.relative_to(ROOT)}", flush=True)
                if result.returncode == 0:
                    stamps[path].touch()
                    continue
                bad += 1
                if id(result) not in told:
                    told.add(id(result))
                    print(result.stdout + result.stderr, flush=True)
    print(f"{len(wanted)} files, {len(due)} looked at, {bad} with findings, alone or beside")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
