"""A balancer on its own, asked over its admin API."""

import contextlib
import http.client
import json
import math
import pathlib
import re
import socket
import subprocess
import tempfile
import time


@contextlib.contextmanager
def started(program, text):
    """The admin API of a balancer with this document, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="lbctl-large-") as folder:
        folder = pathlib.Path(folder)
        document, state = folder / "lb.toml", folder / "state"
        document.write_text(text)
        command = [program, "run", "--config", document, "--state-dir", state, "--output", "json"]
        with open(folder / "log", "wb") as log:
            child = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
            )
        try:
            ready = child.stdout.readline()
            if not ready:
                raise SystemExit(f"error: lbctl did not start\n{(folder / 'log').read_text()}")
            yield Api(state / "admin.sock", json.loads(ready))
        finally:
            child.terminate()
            child.wait(timeout=60)


class Api:
    """The admin API on a Unix socket, over one connection."""

    def __init__(self, path, ready):
        self.ready = ready
        self.connection = http.client.HTTPConnection("localhost")
        self.connection.sock = socket.socket(socket.AF_UNIX)
        self.connection.sock.connect(str(path))

    def ask(self, method, path, body=None):
        """The bytes of the answer, which must be good."""
        fields = {"Content-Type": "application/json"} if body else {}
        self.connection.request(method, path, body, fields)
        answer = self.connection.getresponse()
        received = answer.read()
        if answer.status != 200:
            raise SystemExit(f"error: {method} {path}: {answer.status} {received.decode()[:2000]}")
        return received

    def read(self, path):
        """What is at a path."""
        return json.loads(self.ask("GET", path))

    def timed(self, path, body):
        """An answer, and how many milliseconds it took from the first byte sent to the last received."""
        began = time.perf_counter()
        received = self.ask("POST", path, body)
        spent = (time.perf_counter() - began) * 1e3
        return json.loads(received), spent

    def pauses(self):
        """How many pauses of workers there were, by their upper bound in milliseconds."""
        text = self.ask("GET", "/metrics").decode()
        pattern = r'^lb_worker_pause_seconds_bucket\{le="([^"]+)"\} (\d+)$'
        found = re.findall(pattern, text, re.MULTILINE)
        return {float(bound) * 1e3: int(count) for bound, count in found}
