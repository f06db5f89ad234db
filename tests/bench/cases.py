"""The rows of the table: what clients do, and what lbctl may cost at most."""

import dataclasses

from proxies import LARGE_BYTES


@dataclasses.dataclass(frozen=True)
class Case:
    """One row. The bars are shares of what another proxy takes, or bytes for a connection."""

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


ALL = [
    Case("get", "small GET, keep-alive", haproxy_max=0.80, nginx_max=0.95),
    Case("post", "1 KiB POST, keep-alive", method="POST", body_bytes=1024),
    Case("large", "100 KiB response, keep-alive", path="/large", response_bytes=LARGE_BYTES),
    Case("close", "small GET, new connection each", close=True),
    Case("idle", "idle connection, memory", haproxy_max=None, bytes_max=4096),
]
