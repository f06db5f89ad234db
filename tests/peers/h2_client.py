"""An HTTP/2 client on Python's `h2`, which refuses whatever is not as it should be: requests at once on one
connection, a large body both ways, trailers, and a WebSocket (RFC 8441) whose frames are those of Python's
`websockets`. Prints what it has seen as JSON, or fails.

Usage: h2_client.py ADDRESS PORT [AUTHORITY_FILE]
With a file it speaks TLS, otherwise by prior knowledge.
"""

import json
import socket
import ssl
import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.settings import SettingCodes
from websockets.frames import Opcode
from websockets.protocol import Protocol, Side

HOST = "shop.test"
BODY = bytes(range(250)) * 12_000


class Client:
    def __init__(self, address, port, authority):
        self.socket = socket.create_connection((address, port), timeout=20)
        if authority:
            context = ssl.create_default_context(cafile=authority)
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket, server_hostname=HOST)
            assert self.socket.selected_alpn_protocol() == "h2"
        self.scheme = "https" if authority else "http"
        self.connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.connection.initiate_connection()
        self.streams = {}
        self.settings = False
        self.flush()

    def flush(self):
        self.socket.sendall(self.connection.data_to_send())

    def receive(self):
        """Takes what comes next; whatever breaks a rule of HTTP/2 is an exception of `h2`."""
        data = self.socket.recv(65_536)
        assert data, "the connection has ended"
        for event in self.connection.receive_data(data):
            self.take(event)
        self.flush()

    def take(self, event):
        assert not isinstance(event, (StreamReset, ConnectionTerminated)), event
        if isinstance(event, RemoteSettingsChanged):
            self.settings = True
        stream = self.streams.get(getattr(event, "stream_id", None))
        if stream is None or isinstance(event, WindowUpdated):
            return
        if isinstance(event, ResponseReceived):
            stream["headers"] = dict(event.headers)
        elif isinstance(event, TrailersReceived):
            stream["trailers"] = dict(event.headers)
        elif isinstance(event, DataReceived):
            stream["body"] += event.data
            length = event.flow_controlled_length
            self.connection.acknowledge_received_data(length, event.stream_id)
        elif isinstance(event, StreamEnded):
            stream["ended"] = True

    def begin(self, method, path, more=(), ends=True):
        stream = self.connection.get_next_available_stream_id()
        self.streams[stream] = {"headers": {}, "trailers": {}, "body": b"", "ended": False}
        fields = [
            (":method", method),
            (":scheme", self.scheme),
            (":authority", HOST),
            (":path", path),
        ]
        self.connection.send_headers(stream, fields + list(more), end_stream=ends)
        self.flush()
        return stream

    def send(self, stream, body, ends):
        """Sends a body as the windows allow."""
        while body:
            room = self.connection.local_flow_control_window(stream)
            room = min(room, self.connection.max_outbound_frame_size, len(body))
            if room == 0:
                self.receive()
                continue
            self.connection.send_data(stream, body[:room], end_stream=ends and room == len(body))
            body = body[room:]
            self.flush()

    def answer(self, stream):
        while not self.streams[stream]["ended"]:
            self.receive()
        return self.streams.pop(stream)

    def until(self, is_so):
        while not is_so():
            self.receive()


def many(client):
    """Requests at once: how many had the answer that is theirs."""
    streams = {client.begin("GET", f"/item/{n}"): f"/item/{n}" for n in range(100)}
    answers = {path: client.answer(stream) for stream, path in streams.items()}
    return sum(answer["body"].decode() == path for path, answer in answers.items())


def upload(client):
    """A body that comes back, with trailers."""
    stream = client.begin("POST", "/echo", [("te", "trailers")], ends=False)
    client.send(stream, BODY, ends=False)
    client.connection.send_headers(stream, [("x-sum", "7")], end_stream=True)
    client.flush()
    answer = client.answer(stream)
    return {"same": answer["body"] == BODY, "status": answer["headers"][":status"]}


def web_socket(client):
    """Messages of several sizes that come back: how many."""
    client.until(lambda: client.settings)
    assert client.connection.remote_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1
    fields = [("sec-websocket-version", "13"), ("origin", f"{client.scheme}://{HOST}")]
    stream = client.connection.get_next_available_stream_id()
    client.streams[stream] = {"headers": {}, "trailers": {}, "body": b"", "ended": False}
    pseudo = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", client.scheme),
        (":authority", HOST),
        (":path", "/socket"),
    ]
    client.connection.send_headers(stream, pseudo + fields)
    client.flush()
    state = client.streams[stream]
    client.until(lambda: state["headers"])
    assert state["headers"][":status"] == "200", state
    protocol, count = Protocol(Side.CLIENT, max_size=None), 0
    for message in (b"", b"hello", b"\0" * 70_000, BODY):
        protocol.send_binary(message)
        for piece in protocol.data_to_send():
            client.send(stream, piece, ends=False)
        received, over = b"", False
        while not over:
            client.until(lambda: state["body"])
            protocol.receive_data(bytes(state["body"]))
            state["body"] = b""
            for frame in protocol.events_received():
                assert frame.opcode in (Opcode.BINARY, Opcode.CONT), frame
                received, over = received + frame.data, frame.fin
        count += received == message
    protocol.send_close(1000)
    for piece in protocol.data_to_send():
        client.send(stream, piece, ends=False)
    client.connection.end_stream(stream)
    client.flush()
    client.answer(stream)
    return count


def main():
    address, port, *authority = sys.argv[1:]
    client = Client(address, int(port), *(authority or [None]))
    seen = {"many": many(client), "upload": upload(client), "messages": web_socket(client)}
    # After all that, the connection is as good as new.
    seen["again"] = many(client)
    print(json.dumps(seen))


main()
