"""The proxies that are compared and the web server behind them, with equal features.

All: keep-alive to two servers, connections to them shared between clients, X-Forwarded-For,
counters, no access log. lbctl and HAProxy also check health and insert a cookie for persistence;
NGINX as Debian has it can do neither.
"""

import contextlib
import os
import re
import subprocess

from process import Process, free_port

LARGE_BYTES = 100 * 1024
HUGE_BYTES = 64 * 1024 * 1024
SMALL_BODY = "x" * 74 + "\\n"


def nginx_text(folder, name, core_text, http_text):
    """A configuration of NGINX that writes nowhere but into its folder."""
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{name}-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.getuid() == 0 else ""
    return f"""daemon off;
{user}
worker_processes 1;
pid {folder}/{name}.pid;
error_log {folder}/{name}.error warn;
{core_text}
http {{
access_log off;
keepalive_requests 1000000000;
keepalive_timeout 600s;
{temporary}
{http_text}
}}
"""


class WebServer:
    """One NGINX process that listens twice: the two servers behind each proxy."""

    def __init__(self, core, folder):
        self.ports = [free_port(), free_port()]
        (folder / "large").write_bytes(b"x" * LARGE_BYTES)
        (folder / "huge").write_bytes(b"x" * HUGE_BYTES)
        listen = "\n".join(f"listen 127.0.0.1:{port} backlog=4096;" for port in self.ports)
        path = folder / "web.conf"
        path.write_text(
            nginx_text(
                folder,
                "web",
                "master_process off; worker_rlimit_nofile 16384;"
                " events { worker_connections 8192; }",
                f"""sendfile on; tcp_nopush on; open_file_cache max=10; default_type text/plain;
server {{
{listen}
root {folder};
location /large {{ }}
location /huge {{ }}
location / {{ return 200 "{SMALL_BODY}"; }}
}}""",
            )
        )
        self.process = Process("web", ["nginx", "-p", folder, "-c", path], core, folder)
        for port in self.ports:
            self.process.accepts(port)


def certificate(folder):
    """A certificate with an ECDSA P-256 key: its files."""
    files = folder / "own.pem", folder / "own-key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        + ["-days", "30", "-subj", "/CN=bench.example", "-out", files[0], "-keyout", files[1]],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return files


class Proxy:
    """What the three have in common: configuration in a file, one port, a process."""

    def __init__(self, servers, core, folder, connections_max):
        self.servers = servers
        self.core = core
        self.folder = folder
        self.connections_max = connections_max
        self.port = None
        self.secure_port = None
        self.process = None

    def start(self):
        self.port, self.secure_port = free_port(), free_port()
        self.certificate, self.key = certificate(self.folder)
        self.process = Process(self.name, self.command(), self.core, self.folder)
        self.process.accepts(self.port)
        self.process.accepts(self.secure_port)

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path


class HaProxy(Proxy):
    """HAProxy of Debian."""

    name = "haproxy"
    title = "HAProxy"

    @classmethod
    def version(cls):
        return re.search(r"version ([\d.]+)", output("haproxy", "-v")).group(1)

    def command(self):
        first, second = self.servers
        pair = self.folder / "pair.pem"
        pair.write_bytes(self.certificate.read_bytes() + self.key.read_bytes())
        text = f"""global
    nbthread 1
    maxconn {self.connections_max}
    ulimit-n {2 * self.connections_max}
    no strict-limits
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    option forwardfor
    http-reuse always
frontend clients
    bind 127.0.0.1:{self.port} backlog 4096
    bind 127.0.0.1:{self.secure_port} backlog 4096 ssl crt {pair} alpn h2,http/1.1
    default_backend servers
backend servers
    balance roundrobin
    cookie LB insert indirect nocache
    option httpchk GET /
    default-server check inter 5s
    server one 127.0.0.1:{first} cookie one
    server two 127.0.0.1:{second} cookie two
"""
        return ["haproxy", "-db", "-f", self.write("haproxy.cfg", text)]


class Nginx(Proxy):
    """NGINX of Debian: no health checks and no cookie persistence in this edition."""

    name = "nginx"
    title = "NGINX"

    @classmethod
    def version(cls):
        return re.search(r"nginx/([\d.]+)", output("nginx", "-v")).group(1)

    def command(self):
        servers = "\n".join(f"server 127.0.0.1:{port};" for port in self.servers)
        # The buffers take a whole large response, so that none is written to a file.
        http = f"""upstream servers {{
{servers}
keepalive 128;
keepalive_requests 1000000000;
}}
server {{
listen 127.0.0.1:{self.port} backlog=4096;
listen 127.0.0.1:{self.secure_port} ssl http2 backlog=4096;
ssl_certificate {self.certificate};
ssl_certificate_key {self.key};
ssl_protocols TLSv1.2 TLSv1.3;
location / {{
proxy_pass http://servers;
proxy_http_version 1.1;
proxy_set_header Connection "";
proxy_set_header Host $http_host;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_buffers 8 16k;
proxy_max_temp_file_size 0;
}}
}}"""
        core = (
            f"worker_rlimit_nofile {2 * self.connections_max};"
            f" events {{ worker_connections {self.connections_max + 1000}; }}"
        )
        path = self.write("nginx.conf", nginx_text(self.folder, "nginx", core, http))
        return ["nginx", "-p", self.folder, "-c", path]


class Lbctl(Proxy):
    """This project."""

    name = "lbctl"
    title = "lbctl"
    program = "lbctl"

    @classmethod
    def version(cls):
        return output(cls.program, "--version").split()[-1]

    def command(self):
        first, second = self.servers
        services = "".join(
            f"""[virtual_services.{name}]
address = "127.0.0.1:{port}"
pool = "web"
{tls}

[virtual_services.{name}.timeouts]
idle = "600s"

[virtual_services.{name}.forwarded]
x_forwarded_for = "append"
x_forwarded_proto = "off"
x_forwarded_host = "off"
x_forwarded_port = "off"

"""
            for name, port, tls in [
                ("open", self.port, ""),
                ("secure", self.secure_port, 'tls = { certificates = ["own"] }\nhttp3 = true'),
            ]
        )
        text = f"""{services}
[certificates.own]
source = {{ files = {{ certificate = "{self.certificate}", key = "{self.key}" }} }}

[pools.web]
balance = "round_robin"
persistence = {{ cookie = {{ name = "LB" }} }}
health_check = {{ interval = "5s", probe = {{ http = {{ path = "/" }} }} }}

[pools.web.servers]
one = {{ address = "127.0.0.1:{first}" }}
two = {{ address = "127.0.0.1:{second}" }}

[limits]
connections_max = {self.connections_max}

[telemetry]
metrics_address = "127.0.0.1:{free_port()}"
"""
        config = self.write("lb.toml", text)
        return [self.program, "run", "--config", config, "--state-dir", self.folder / "state"] + [
            "--workers", "1", "-o", "json",
        ]


ALL = [Lbctl, HaProxy, Nginx]


@contextlib.contextmanager
def started(proxy_type, folder, proxy_core, load_core, connections):
    """A proxy with the web server behind it; both end with the block."""
    server = WebServer(load_core, folder)
    try:
        proxy = proxy_type(server.ports, proxy_core, folder, connections + 200)
        try:
            proxy.start()
            yield proxy
        finally:
            proxy.stop()
    finally:
        server.process.stop()


def output(*command):
    """What a command prints."""
    return subprocess.run(
        command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ).stdout
