"""One certificate of 10,000 is replaced while clients make 500 TLS handshakes a second."""

import json
import pathlib
import socket
import ssl
import statistics
import subprocess
import tempfile
import threading
import time

from balancer import started

CERTIFICATES = 10_000
HANDSHAKES_PER_SECOND = 500
THREADS = 4
CHANGED = "c5000"
APPLY_MAX_MS = 50


def measure(program, rounds):
    """Milliseconds of each replacement, and what the clients saw."""
    with tempfile.TemporaryDirectory(prefix="lbctl-certificates-") as folder:
        folder = pathlib.Path(folder)
        shown = [issue(folder, name) for name in ("a", "b")]
        with started(program, document(folder)) as api:
            port = int(api.ready["virtual_services"]["shop"].rpartition(":")[2])
            clients = Clients(port, shown)
            apply_ms, late = [], 0
            for number in range(rounds):
                time.sleep(1)
                new = (number + 1) % 2
                body = json.dumps({"change": {"edits": [{"patch": edit(folder, "ab"[new])}]}})
                _, spent = api.timed("/apply", body)
                apply_ms.append(spent)
                # Whoever comes after the answer is shown the new one.
                late += handshake(port, CHANGED) != shown[new]
            time.sleep(1)
            return {"apply_ms": apply_ms, "late": late, **clients.end()}


def issue(folder, name):
    """Makes a certificate for the name that is replaced; its bytes."""
    certificate = folder / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "30", "-subj", "/CN=c", "-keyout", folder / f"{name}.key"]
    command += ["-addext", f"subjectAltName=DNS:{CHANGED}.test", "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


def document(folder):
    """A virtual service that shows all of them; all but one are the balancer's own."""
    names = [f"c{number}" for number in range(CERTIFICATES)]
    listed = ", ".join(f'"{name}"' for name in names)
    text = [
        '[virtual_services.shop]\naddress = "127.0.0.1:0"\npool = "web"\n'
        f"tls = {{ certificates = [{listed}] }}\n"
        '[pools.web.servers]\na = { address = "127.0.0.1:9" }\n'
    ]
    for name in names:
        own = f'{{ self_signed = {{ names = ["{name}.test"] }} }}'
        if name == CHANGED:
            own = f'{{ files = {{ certificate = "{folder}/a.pem", key = "{folder}/a.key" }} }}'
        text.append(f"[certificates.{name}]\nsource = {own}\n")
    return "".join(text)


def edit(folder, name):
    """The change that brings the other one."""
    files = {"certificate": f"{folder}/{name}.pem", "key": f"{folder}/{name}.key"}
    return {"path": f"certificates/{CHANGED}", "value": {"source": {"files": files}}}


def handshake(port, name):
    """The certificate that a client is shown that asks for this name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        with context.wrap_socket(connection, server_hostname=f"{name}.test") as secure:
            return secure.getpeercert(binary_form=True)


class Clients:
    """Clients that come at a steady pace until `end`; each fifth asks for the name that is replaced."""

    def __init__(self, port, shown):
        self.port, self.shown = port, shown
        self.over = threading.Event()
        self.made, self.failures, self.slowest_ms = 0, [], 0.0
        self.lock = threading.Lock()
        self.began = time.monotonic()
        self.threads = [threading.Thread(target=self.work, args=(n,)) for n in range(THREADS)]
        for thread in self.threads:
            thread.start()

    def work(self, thread):
        turn = thread
        while not self.over.is_set():
            wait = self.began + turn / HANDSHAKES_PER_SECOND - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            name = CHANGED if turn % 5 == 0 else f"c{turn * 7919 % CERTIFICATES}"
            begin = time.perf_counter()
            try:
                seen = handshake(self.port, name)
                wrong = name == CHANGED and seen not in self.shown
                failure = "another certificate" if wrong else None
            except OSError as error:
                failure = str(error)
            spent = (time.perf_counter() - begin) * 1e3
            with self.lock:
                self.made += 1
                self.slowest_ms = max(self.slowest_ms, spent)
                if failure:
                    self.failures.append(failure)
            turn += THREADS

    def end(self):
        """What they saw."""
        self.over.set()
        for thread in self.threads:
            thread.join()
        return {
            "handshakes": self.made,
            "per_second": self.made / (time.monotonic() - self.began),
            "failures": self.failures,
            "slowest_ms": self.slowest_ms,
        }


def markdown(seen):
    """What was seen, as a list."""
    apply_ms = seen["apply_ms"]
    middle = statistics.median(apply_ms)
    met = middle <= APPLY_MAX_MS and not seen["failures"] and not seen["late"]
    lines = [
        f"One certificate of {CERTIFICATES:,} replaced {len(apply_ms)} times under"
        f" {seen['per_second']:.0f} handshakes a second (bar {HANDSHAKES_PER_SECOND}):",
        "",
        f"- from the request to the answer: {middle:.0f} ms ({min(apply_ms):.0f} to"
        f" {max(apply_ms):.0f}), bar {APPLY_MAX_MS} ms: {'met' if met else '**missed**'}",
        f"- handshakes: {seen['handshakes']:,}, failed {len(seen['failures'])},"
        f" the slowest {seen['slowest_ms']:.0f} ms",
        f"- clients that were shown the former one after the answer: {seen['late']}",
        "",
    ]
    return "\n".join(lines)


def failures(seen):
    """What must not be, on any machine."""
    found = []
    if seen["failures"]:
        first = seen["failures"][0]
        found.append(f"certificates: {len(seen['failures'])} handshakes failed, the first: {first}")
    if seen["late"]:
        found.append(f"certificates: {seen['late']} clients were shown the former one")
    return found
