# SPDX-License-Identifier: Apache-2.0
"""An nbdkit server with our plug-in for one test case, and what the cases share.

The build folder is $UZRAM_BUILD, or the first of build/release, build/dev and the newest other one
that has the plug-in. A server's sockets and files are in a private folder that goes with it.
"""
import contextlib
import glob
import importlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLUGIN_PATH = "src/frontend/nbd/nbdkit-uzram-plugin.so"
PAGE_BYTES = 4096
MIB = 1 << 20
NOBODY = 65534
START_SECONDS = 30
STOP_SECONDS = 30
CLIENT_SECONDS = 120


def find_plugin():
    """The plug-in's path; without it nothing could be tested, so the run fails."""
    folders = [os.environ["UZRAM_BUILD"]] if os.environ.get("UZRAM_BUILD") else [
        f"{ROOT}/build/release", f"{ROOT}/build/dev",
        *sorted(glob.glob(f"{ROOT}/build/*"), key=os.path.getmtime, reverse=True)]
    for folder in folders:
        path = os.path.join(folder, PLUGIN_PATH)
        if os.path.exists(path):
            return path
    raise RuntimeError(f"no {PLUGIN_PATH} in {folders}; build the target nbdkit-uzram-plugin first")


def find_program(name):
    """A program of the build that the plug-in is from; skips the case when it was not built."""
    path = find_plugin().removesuffix(PLUGIN_PATH) + name
    if not os.path.exists(path):
        raise unittest.SkipTest(f"{name} is not built")
    return path


def sanitizer_environment(plugin):
    """A server that is not instrumented loads the plug-in's sanitizer before anything else."""
    libraries = subprocess.run(["ldd", plugin], capture_output=True, text=True, check=True).stdout
    wanted = re.findall(r"=> (\S*/lib[atu]b?san\.so\S*)", libraries)
    if not wanted:
        return {}
    # What leaks at exit in the server is not ours to judge.
    return {"LD_PRELOAD": " ".join(wanted), "ASAN_OPTIONS": "detect_leaks=0"}


def ask_plugin(*words):
    """Runs nbdkit with the plug-in and these words to its end. Returns what it printed."""
    done = run_plugin(*words)
    if done.returncode != 0:
        raise AssertionError(f"nbdkit {words}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def run_plugin(*words):
    """The same, whatever its exit code. Returns a CompletedProcess with texts."""
    plugin = find_plugin()
    return subprocess.run(["nbdkit", plugin, *words], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=CLIENT_SECONDS, check=False,
                          env=os.environ | sanitizer_environment(plugin))


def require_program(*names):
    """Skips the case, by name, when a client is not installed."""
    for name in names:
        if shutil.which(name) is None:
            raise unittest.SkipTest(f"{name} is not installed")


def require_libnbd():
    """libnbd's Python module. Debian's serves every Python of the same version."""
    for folder in (None, "/usr/lib/python3/dist-packages"):
        if folder is not None:
            sys.path.append(folder)
        with contextlib.suppress(ImportError):
            return importlib.import_module("nbd")
    raise unittest.SkipTest("python3-libnbd is not installed")


def sample_bytes(byte_count, seed=1):
    """Pages as memory has them: text that packs well, noise that does not, zeros, one word."""
    numbers = random.Random(seed)
    words = [bytes(numbers.choices(b"etaoinshrdlu", k=numbers.randint(3, 9))) for _ in range(500)]
    pages = []
    for _ in range(byte_count // PAGE_BYTES):
        kind = numbers.random()
        if kind < 0.6:
            page = b" ".join(numbers.choices(words, k=900))[:PAGE_BYTES].ljust(PAGE_BYTES, b".")
        elif kind < 0.75:
            page = numbers.randbytes(PAGE_BYTES)
        elif kind < 0.9:
            page = bytes(PAGE_BYTES)
        else:
            page = numbers.randbytes(8) * (PAGE_BYTES // 8)
        pages.append(page)
    return b"".join(pages)


class Server:
    """nbdkit in the foreground over our plug-in; use it with `with`."""

    def __init__(self, *keys, as_nobody=False):
        self.keys = list(keys)
        self.as_nobody = as_nobody
        self.folder = None
        self.process = None
        self.pid = None

    def __enter__(self):
        # A folder for temporary files of one's own may be closed to others.
        self.folder = tempfile.mkdtemp(prefix="uzram-nbd-", dir="/tmp" if self.as_nobody else None)
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self):
        plugin = shutil.copy(find_plugin(), self.folder)
        command = ["nbdkit", "-f", "-U", self.path("socket"), "-P", self.path("pid"), plugin,
                   *[key.replace("FOLDER", self.folder) for key in self.keys]]
        if self.as_nobody:
            os.chown(self.folder, NOBODY, NOBODY)
            command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                       "--no-new-privs", "--bounding-set=-all", *command]
        with open(self.path("log"), "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=os.environ | sanitizer_environment(plugin))
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"nbdkit did not start: {self.log()}")
            time.sleep(0.02)
        self.pid = self.process.pid

    def _is_ready(self):
        """nbdkit writes the process number before a plug-in may start threads and answer."""
        if not os.path.exists(self.path("pid")):
            return False
        if "control=FOLDER/control" not in self.keys:
            return True
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(self.path("control")) == 0

    def __exit__(self, *_):
        try:
            if self.process is not None:
                self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self):
        """Ends the server as an operator does. Returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"nbdkit did not end on SIGTERM: {self.log()}") from None

    def path(self, name):
        return os.path.join(self.folder, name)

    @property
    def uri(self):
        return f"nbd+unix:///?socket={self.path('socket')}"

    def log(self):
        with open(self.path("log"), errors="replace") as log:
            return log.read()

    def run(self, *command):
        """Runs a client. URI and FOLDER in its words are replaced. Returns what it printed."""
        words = [word.replace("URI", self.uri).replace("FOLDER", self.folder) for word in command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=CLIENT_SECONDS,
                              check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(words)}\nexit {done.returncode}\n{done.stdout}"
                                 f"{done.stderr}\nserver: {self.log()}")
        return done.stdout

    def control(self, **request):
        """One request over the control socket, which has to be at FOLDER/control."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(CLIENT_SECONDS)
            connection.connect(self.path("control"))
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                part = connection.recv(65536)
                if not part:
                    break
                answer += part
        return json.loads(answer)

    def stat_column(self, attribute, column):
        """One number of a statistics file, counted from 0."""
        answer = self.control(op="get", device="zram0", attribute=attribute)
        return int(answer["result"].split()[column])


class NbdCase(unittest.TestCase):
    """A case that may need several servers; each ends with the case, however that goes."""

    def serve(self, *keys, **options):
        server = Server(*keys, **options)
        server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        return server

    def write_file(self, server, name, data):
        with open(server.path(name), "wb") as file:
            file.write(data)
        return server.path(name)

    def read_file(self, server, name):
        with open(server.path(name), "rb") as file:
            return file.read()


def main():
    unittest.main(verbosity=2)
