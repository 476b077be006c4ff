# SPDX-License-Identifier: Apache-2.0
"""A memory cgroup for a test, version 1 or 2, whichever is mounted."""
import os
import pathlib
import subprocess
import time

_V1 = pathlib.Path("/sys/fs/cgroup/memory")
_V2 = pathlib.Path("/sys/fs/cgroup")


class Unavailable(Exception):
    """This machine gives no memory cgroup; the text says why."""


class MemoryCgroup:
    """A group whose processes together may hold `limit_bytes` of memory; swap is free."""

    def __init__(self, limit_bytes):
        name = f"uzram-test-{os.getpid()}"
        if (_V1 / "memory.limit_in_bytes").exists() or (_V1 / "tasks").exists():
            self.folder, limit_file = _V1 / name, "memory.limit_in_bytes"
        elif "memory" in self._controllers():
            self.folder, limit_file = _V2 / name, "memory.max"
        else:
            raise Unavailable("no memory cgroup is mounted")
        try:
            self.folder.mkdir()
            (self.folder / limit_file).write_text(str(limit_bytes), encoding="utf-8")
        except OSError as error:
            if self.folder.is_dir():
                self.folder.rmdir()
            raise Unavailable(f"a memory cgroup cannot be made: {error.strerror}") from error

    @staticmethod
    def _controllers():
        try:
            return (_V2 / "cgroup.subtree_control").read_text(encoding="utf-8").split()
        except OSError:
            return []

    def start(self, words, **keywords):
        """A process that is in the group from its first instruction on."""
        enter = f'echo $$ > "{self.folder}/cgroup.procs" && exec "$@"'
        return subprocess.Popen(["sh", "-c", enter, "sh", *map(str, words)], **keywords)

    def remove(self):
        """Ends what is still in the group."""
        for _ in range(100):
            for pid in (self.folder / "cgroup.procs").read_text(encoding="utf-8").split():
                try:
                    os.kill(int(pid), 9)
                except ProcessLookupError:
                    pass
            try:
                self.folder.rmdir()
                return
            except OSError:
                time.sleep(0.1)
