# SPDX-License-Identifier: Apache-2.0
"""Runs a program with a log, a time limit and nothing left behind."""
import os
import signal
import subprocess
import threading

TIMED_OUT = -1000


class Running:
    """The process groups that exist now; ended when the whole run is told to stop."""

    def __init__(self):
        self.lock = threading.Lock()
        self.groups = set()

    def end_all(self):
        with self.lock:
            groups = list(self.groups)
        for group in groups:
            _signal_group(group, signal.SIGTERM)


running = Running()


def _signal_group(group, number):
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass


def _end_group(child, grace_seconds=30):
    """SIGTERM first: tests clean up mounts and devices on it."""
    _signal_group(child.pid, signal.SIGTERM)
    try:
        child.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        pass
    _signal_group(child.pid, signal.SIGKILL)


def run(argv, log_path, seconds, environment=None, on_line=None, cwd=None):
    """Runs argv; its output goes to log_path and, line by line, to on_line.

    Returns: the exit status, negative for a signal; TIMED_OUT when the limit ended it.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    has_timed_out = threading.Event()
    with open(log_path, "ab", buffering=0) as log:
        log.write(("$ " + " ".join(map(str, argv)) + "\n").encode())
        child = subprocess.Popen([str(word) for word in argv], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd,
                                 env={**os.environ, **(environment or {})}, start_new_session=True)
        with running.lock:
            running.groups.add(child.pid)

        def end_it():
            has_timed_out.set()
            _end_group(child)

        timer = threading.Timer(seconds, end_it)
        timer.start()
        try:
            for raw in child.stdout:
                log.write(raw)
                if on_line:
                    on_line(raw.decode(errors="replace").rstrip("\n"))
            status = child.wait()
        except BaseException:  # Told to stop: what runs gets the time to clean up.
            _end_group(child)
            raise
        finally:
            timer.cancel()
            child.stdout.close()
            with running.lock:
                running.groups.discard(child.pid)
        if has_timed_out.is_set():
            log.write(f"ended after {seconds} s\n".encode())
            return TIMED_OUT
    return status


def tail(log_path, line_count=60):
    """The last lines, without those that tell of what went well."""
    try:
        lines = log_path.read_text(errors="replace").splitlines()
    except OSError:
        return []
    fine = ("[ RUN      ]", "[       OK ]", "[----------]")
    return [line[:300] for line in lines if not line.startswith(fine)][-line_count:]
