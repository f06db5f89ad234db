"""A web server that authenticates as IIS does with Windows authentication: NTLM or Negotiate binds
a user to a TCP connection, and later requests on it need no credentials.

Usage: windows_auth.py NAME ntlm|negotiate
Prints its address. The users are those of windows_users.txt. /anonymous needs nobody; every other path answers with the user's name.
"""

import base64
import itertools
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import spnego

os.environ["NTLM_USER_FILE"] = str(Path(__file__).with_name("windows_users.txt"))

NAME, PROTOCOL = sys.argv[1:3]
SCHEME = {"ntlm": "NTLM", "negotiate": "Negotiate"}[PROTOCOL]
NEGOTIATE_MESSAGE = b"NTLMSSP\0\x01\0\0\0"
connections = itertools.count(1)


class Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self):
        super().setup()
        self.context = None
        self.user = None
        self.number = next(connections)

    def log_message(self, *_):
        pass

    def answer(self, status, text, *fields):
        body = text.encode()
        self.send_response(status)
        self.send_header("X-Server", NAME)
        self.send_header("X-Connection", str(self.number))
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def page(self, *fields):
        received = self.received
        text = f"user={self.user} bytes={received} server={NAME}\n"
        self.answer(200, text, ("X-User", str(self.user)), *fields)

    def do_GET(self):
        self.received = 0
        left = int(self.headers.get("Content-Length") or 0)
        while left and (piece := self.rfile.read(min(left, 65536))):
            left -= len(piece)
            self.received += len(piece)
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if self.path.startswith("/anonymous"):
            # IIS says who the connection belongs to even where it would let anybody in.
            self.page()
        elif scheme.lower() == SCHEME.lower():
            self.authenticate(base64.b64decode(token))
        elif self.user:
            self.page()
        else:
            self.answer(401, "who are you?\n", ("WWW-Authenticate", SCHEME))

    def authenticate(self, token):
        begins = token.startswith(NEGOTIATE_MESSAGE)
        if begins or self.context is None or self.context.complete:
            self.context, self.user = spnego.server(protocol=PROTOCOL), None
        try:
            out = self.context.step(token)
        except Exception:
            self.context = None
            return self.answer(401, "no\n", ("WWW-Authenticate", SCHEME))
        fields = []
        if out:
            fields = [("WWW-Authenticate", f"{SCHEME} {base64.b64encode(out).decode()}")]
        if not self.context.complete:
            return self.answer(401, "prove it\n", *fields)
        self.user = self.context.client_principal
        return self.page(*fields)

    do_POST = do_PUT = do_HEAD = do_OPTIONS = do_GET


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


server = Server(("127.0.0.1", 0), Connection)
print("%s:%d" % server.server_address, flush=True)
server.serve_forever()
