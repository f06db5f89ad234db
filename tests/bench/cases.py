"""The rows of the table: what clients do, and what lbctl may cost at most."""

import dataclasses

from proxies import HUGE_BYTES, LARGE_BYTES


@dataclasses.dataclass(frozen=True)
class Case:
    """One row. The bars are shares of what another proxy takes, or bytes for a connection. `client` is
    who asks: `wrk`, `h2load` (HTTP/2), `aioquic` (HTTP/3), or `handshakes` (a connection each, its session
    `resumed` or not). What is `bulky` counts by the GiB and not by the request. `only` lbctl does what
    the proxies of Debian cannot."""

    name: str
    title: str
    haproxy_max: float | None = 1.0
    nginx_max: float | None = None
    bytes_max: int | None = None
    path: str = "/"
    method: str = "GET"
    body_bytes: int = 0
    connections: int = 64
    close: bool = False
    response_bytes: int = 75
    client: str = "wrk"
    secure: bool = False
    streams: int = 1
    resumed: bool = False
    bulky: bool = False
    only: bool = False


ALL = [
    Case("get", "small GET, keep-alive", haproxy_max=0.80, nginx_max=0.95),
    Case("post", "1 KiB POST, keep-alive", method="POST", body_bytes=1024),
    Case("large", "100 KiB response, keep-alive", path="/large", response_bytes=LARGE_BYTES),
    Case("close", "small GET, new connection each", close=True),
    Case("idle", "idle connection, memory", haproxy_max=None, bytes_max=4096),
    Case("handshake", "TLS 1.3, full handshake (ECDSA P-256)", haproxy_max=0.60, secure=True,
         client="handshakes", response_bytes=0),
    Case("resumed", "TLS 1.3, resumed handshake and a small GET", secure=True,
         client="handshakes", resumed=True),
    Case("https", "HTTPS, 64 MiB responses: CPU seconds for each GiB", path="/huge", secure=True,
         connections=4, response_bytes=HUGE_BYTES, bulky=True),
    Case("http2", "HTTP/2 over TLS, small GET, 16 connections, 32 streams", haproxy_max=0.95,
         secure=True, client="h2load", connections=16, streams=32, response_bytes=0),
    Case("http3", "HTTP/3, small GET, 4 connections, 32 streams", haproxy_max=None, secure=True,
         client="aioquic", connections=4, streams=32, only=True),
    Case("tls-idle", "idle TLS connection, memory", haproxy_max=None, bytes_max=16 * 1024,
         secure=True),
]
