"""The clients: wrk for load, many idle connections of our own for memory."""

import json
import os
import pathlib
import re
import select
import socket
import ssl
import subprocess
import time

SCRIPT = pathlib.Path(__file__).with_name("load.lua")
HTTP3_LOAD = SCRIPT.parent.parent / "peers/http3_load.py"
ERRORS = ("connect", "read", "write", "timeout", "status")
REQUEST = b"GET / HTTP/1.1\r\nHost: bench.example\r\n\r\n"


def take(proxy, case, seconds, core):
    """Loads a proxy for some seconds as the case says; the figures."""
    if case.client == "h2load":
        return h2load(proxy.secure_port, case, seconds, core)
    if case.client == "aioquic":
        return aioquic(proxy.secure_port, case, seconds, core)
    if case.client == "handshakes":
        return handshakes(proxy.secure_port, case, seconds)
    return wrk(proxy, case, seconds, core)


def h2load(port, case, seconds, core):
    """Runs h2load for some seconds."""
    command = ["taskset", "-c", str(core), "h2load", "-D", str(seconds)]
    command += ["-c", str(case.connections), "-m", str(case.streams)]
    command += [f"https://127.0.0.1:{port}{case.path}"]
    done = subprocess.run(
        command, check=True, text=True, capture_output=True, timeout=seconds + 60
    )
    if "Application protocol: h2" not in done.stdout:
        raise SystemExit(f"error: the proxy does not speak HTTP/2:\n{done.stdout}")
    found = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", done.stdout)
    done_count, _, failed, errored = map(int, found.groups())
    return {
        "requests": done_count,
        "errors": failed + errored,
        "bytes": 0,
        "microseconds": seconds * 1_000_000,
    }


def python_of_tests():
    """The Python of the tests, which has aioquic; none before `tests/run install`."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    default = pathlib.Path(cache) / "lbctl-tests/venv/bin/python"
    python = pathlib.Path(os.environ.get("LB_TESTS_PYTHON") or default)
    return python if python.exists() else None


def aioquic(port, case, seconds, core):
    """Runs aioquic for some seconds."""
    command = ["taskset", "-c", str(core), python_of_tests(), HTTP3_LOAD, port]
    command += [case.connections, case.streams, seconds, case.path]
    done = subprocess.run(
        list(map(str, command)), check=True, text=True, capture_output=True, timeout=seconds + 60
    )
    return json.loads(done.stdout)


def client_context():
    """TLS 1.3 as a client that trusts everybody: the certificate is made for the run."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def handshakes(port, case, seconds):
    """One connection after the other for some seconds. Those that resume a session, or do not, against
    what the case says are errors; those that resume ask for something, as tickets come behind."""
    context = client_context()
    session = tls_exchange(context, port, None)[1] if case.resumed else None
    figures = {"requests": 0, "errors": 0, "bytes": 0}
    start = time.monotonic()
    while (now := time.monotonic()) < start + seconds:
        figures["requests"] += 1
        try:
            if case.resumed:
                received, session, reused = tls_exchange(context, port, session)
                figures["bytes"] += len(received)
            else:
                with (
                    socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
                    context.wrap_socket(plain, server_hostname="bench.example") as secure,
                ):
                    reused = secure.session_reused
            figures["errors"] += int(reused != case.resumed)
        except OSError:
            figures["errors"] += 1
    figures["microseconds"] = round((now - start) * 1e6)
    return figures


def tls_exchange(context, port, session):
    """One request on a connection of its own: the response, the session, and whether it went on with
    the former one."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="bench.example", session=session) as secure,
    ):
        secure.sendall(REQUEST)
        received = b""
        while not (b"\r\n\r\n" in received and is_whole(received)):
            if not (piece := secure.recv(65536)):
                break
            received += piece
        return received, secure.session, secure.session_reused


def wrk(proxy, case, seconds, core):
    """Runs wrk for some seconds; its figures, with `errors` as the sum of every kind of error."""
    environment = dict(os.environ, BENCH_METHOD=case.method, BENCH_BODY_BYTES=str(case.body_bytes))
    if case.close:
        environment["BENCH_CLOSE"] = "1"
    command = ["taskset", "-c", str(core), "wrk", "--threads", "1"]
    command += ["--connections", str(case.connections), "--duration", f"{seconds}s"]
    scheme, port = ("https", proxy.secure_port) if case.secure else ("http", proxy.port)
    url = f"{scheme}://127.0.0.1:{port}{case.path}"
    command += ["--timeout", "10s", "--script", str(SCRIPT), url]
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

    def __init__(self, proxy, secure):
        self.port = proxy.secure_port if secure else proxy.port
        self.context = client_context() if secure else None
        self.open = []
        self.errors = 0

    def add(self, count):
        """Opens connections and has one request answered on each."""
        if not self.context:
            return self.add_plain(count)
        for _ in range(count):
            plain = socket.create_connection(("127.0.0.1", self.port), timeout=5)
            client = self.context.wrap_socket(plain, server_hostname="bench.example")
            client.sendall(REQUEST)
            received = b""
            while not (b"\r\n\r\n" in received and is_whole(received)):
                if not (piece := client.recv(65536)):
                    break
                received += piece
            if received.startswith(b"HTTP/1.1 200"):
                self.open.append(client)
            else:
                self.errors += 1
        return None

    def add_plain(self, count, timeout=60):
        """The same without TLS, many at a time."""
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
