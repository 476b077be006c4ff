# SPDX-License-Identifier: Apache-2.0
"""redis-server on a third of its memory: what was put in comes back, while others load it."""
import random
import socket
import subprocess
import unittest

from exec_run import BACKENDS, MEBI, ExecTest, environment

from uzram_daemon import run, uzram_program, wait_until  # noqa: E402  exec_run has set the path.

KEYS = 12000


def value_of(key):
    numbers = random.Random(key)
    return bytes(numbers.choice(b"abcdefgh ") for _ in range(100)) * 12


def can_connect(path):
    with socket.socket(socket.AF_UNIX) as end:
        return end.connect_ex(str(path)) == 0


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rwb")

    def close(self):
        self.file.close()
        self.socket.close()

    def ask(self, requests):
        """One answer a request; all are sent before the first is read."""
        for words in requests:
            self.file.write(b"*%d\r\n" % len(words))
            for word in words:
                self.file.write(b"$%d\r\n%s\r\n" % (len(word), word))
        self.file.flush()
        return [self.answer() for _ in requests]

    def answer(self):
        line = self.file.readline()
        if not line.startswith(b"$"):
            return line.strip()
        value = self.file.read(int(line[1:]) + 2)
        return value[:-2]


class RedisTest(ExecTest):
    def serve(self, backend):
        path = self.folder / f"{backend}.socket"
        command = [uzram_program(), "exec", "--memory-limit", "12M", "--backend", backend,
                   "--threshold", "512", "--stats", self.folder / backend, "--",
                   "redis-server", "--port", "0", "--unixsocket", path, "--save", "",
                   "--dir", self.folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment())
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        self.assertTrue(wait_until(lambda: can_connect(path) or server.poll() is not None, 120))
        self.assertIsNone(server.poll(), "redis-server has ended")
        return server, path

    def test_what_was_put_in_comes_back(self):
        self.need("redis-server", "redis-benchmark")
        for backend in BACKENDS:
            with self.subTest(backend):
                server, path = self.serve(backend)
                client = Client(path)
                self.addCleanup(client.close)
                for first in range(0, KEYS, 100):
                    put = [(b"SET", b"own:%d" % key, value_of(key))
                           for key in range(first, first + 100)]
                    self.assertEqual({b"+OK"}, set(client.ask(put)))
                run("redis-benchmark", "-s", path, "-t", "set,get,lpush", "-n", "3000", "-r",
                    "1000", "-d", "1000", "-q")
                for first in range(0, KEYS, 100):
                    keys = range(first, first + 100)
                    got = client.ask([(b"GET", b"own:%d" % key) for key in keys])
                    self.assertEqual([value_of(key) for key in keys], got)
                server.terminate()
                self.assertEqual(0, server.wait(300))
                self.assertGreater((self.folder / backend).stat().st_size, 0)


if __name__ == "__main__":
    unittest.main()
