"""The clients: wrk for load, many idle connections of our own for memory."""

import json
import os
import pathlib
import select
import socket
import subprocess
import time

SCRIPT = pathlib.Path(__file__).with_name("load.lua")
ERRORS = ("connect", "read", "write", "timeout", "status")
REQUEST = b"GET / HTTP/1.1\r\nHost: bench.example\r\n\r\n"


def wrk(port, case, seconds, core):
    """Runs wrk for some seconds; its figures, with `errors` as the sum of every kind of error."""
    environment = dict(os.environ, BENCH_METHOD=case.method, BENCH_BODY_BYTES=str(case.body_bytes))
    if case.close:
        environment["BENCH_CLOSE"] = "1"
    command = ["taskset", "-c", str(core), "wrk", "--threads", "1"]
    command += ["--connections", str(case.connections), "--duration", f"{seconds}s"]
    command += ["--timeout", "10s", "--script", str(SCRIPT), f"http://127.0.0.1:{port}{case.path}"]
    done = subprocess.run(
        command, env=environment, check=True, text=True, capture_output=True, timeout=seconds + 60
    )
    figures = json.loads(done.stdout.splitlines()[-1])
    figures["errors"] = sum(figures[kind] for kind in ERRORS)
    return figures


class IdleConnections:
    """Client connections that each carried one request and then stay open."""

    # As many as are being opened at a time: fewer than any backlog.
    IN_PROGRESS_MAX = 64

    def __init__(self, port):
        self.port = port
        self.open = []
        self.errors = 0

    def add(self, count, timeout=60):
        """Opens connections and has one request answered on each."""
        poll = select.epoll()
        pending = {}
        started = 0
        deadline = time.monotonic() + timeout
        while started < count or pending:
            while started < count and len(pending) < self.IN_PROGRESS_MAX:
                client = socket.create_connection(("127.0.0.1", self.port), timeout=5)
                client.sendall(REQUEST)
                client.setblocking(False)
                pending[client.fileno()] = (client, bytearray())
                poll.register(client.fileno(), select.EPOLLIN)
                started += 1
            if time.monotonic() > deadline:
                self.errors += len(pending)
                break
            for descriptor, _ in poll.poll(1):
                client, received = pending[descriptor]
                received += (piece := client.recv(65536))
                if piece and not is_whole(received):
                    continue
                poll.unregister(descriptor)
                del pending[descriptor]
                if received.startswith(b"HTTP/1.1 200"):
                    self.open.append(client)
                else:
                    self.errors += 1
                    client.close()
        poll.close()

    def count_closed(self):
        """How many of the idle connections were closed by the proxy."""
        poll = select.epoll()
        for client in self.open:
            poll.register(client.fileno(), select.EPOLLIN)
        closed = len(poll.poll(0, len(self.open)))
        poll.close()
        return closed

    def close(self):
        """Closes them all."""
        for client in self.open:
            client.close()
        self.open = []


def is_whole(response):
    """Whether a response with a Content-Length has arrived to its end."""
    head, end, body = bytes(response).partition(b"\r\n\r\n")
    lengths = [
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")[1:]
        if line.lower().startswith(b"content-length:")
    ]
    return bool(end) and len(body) >= lengths[0]
