"""An HTTP/3 client that does what it is told, over one connection of aioquic.

Usage: http3_client.py CA_FILE HOST PORT [raw] [insecure-cert=FILE,KEY]
Reads one JSON object a line from the standard input, and writes one a line for what happens:

  {"do": "request", "id": "a", "method": "GET", "path": "/", "headers": [["x", "y"]], "body": 70000,
   "pieces": 3, "trailers": [["x", "y"]], "pause": true}
      -> {"id": "a", "status": 200, "headers": {...}, "length": 5, "sha256": "...", "text": "...",
          "trailers": {...}} or {"id": "a", "reset": 258}
      "pause" leaves the request without its end until {"do": "go", "id": "a"}.
  {"do": "abort", "id": "a"}             breaks a request off
  {"do": "raw", "stream": "bidi", "id": "b", "hex": "...", "fin": true}    bytes on a new stream, or on "b"
  {"do": "reset", "id": "b"}             resets the sending side of a raw stream
  {"do": "rebind"}                       goes on from another port, as behind a NAT that forgets
  {"do": "close"}

Beside answers: {"event": "connected", "tls": ...}, {"event": "goaway", "stream": 4},
{"event": "closed", "code": 256, "frame": ...}, {"event": "failed", ...}.
"""

import asyncio
import hashlib
import json
import ssl
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.buffer import Buffer, BufferReadError
from aioquic.h3.connection import H3_ALPN, FrameType, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)

CA_FILE, HOST, PORT, OPTIONS = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
RAW = "raw" in OPTIONS
# The first stream of a server that goes one way: here it is always the control stream.
SERVER_CONTROL = 3


def tell(**what):
    print(json.dumps(what), flush=True)


class Answer:
    def __init__(self, name):
        self.name = name
        self.status = None
        self.headers, self.trailers = {}, {}
        self.hash, self.length, self.text = hashlib.sha256(), 0, b""
        self.interim = []

    def take_headers(self, headers):
        fields = {}
        for name, value in headers:
            name, value = name.decode(), value.decode("latin-1")
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        status = fields.pop(":status", None)
        if status is None:
            self.trailers = fields
        elif int(status) < 200:
            self.interim.append(int(status))
        else:
            self.status, self.headers = int(status), fields

    def take_data(self, data):
        self.hash.update(data)
        self.length += len(data)
        if len(self.text) < 2000:
            self.text += data[: 2000 - len(self.text)]

    def tell(self):
        tell(
            id=self.name,
            status=self.status,
            headers=self.headers,
            length=self.length,
            sha256=self.hash.hexdigest(),
            text=self.text.decode("latin-1"),
            trailers=self.trailers,
            interim=self.interim,
        )


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = None if RAW else H3Connection(self._quic)
        self.control = b""
        self.answers, self.streams, self.over = {}, {}, asyncio.Event()

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            shown = self._quic.tls._peer_certificate
            tell(
                event="connected",
                alpn=event.alpn_protocol,
                resumed=event.session_resumed,
                serial=f"{shown.serial_number:x}" if shown else None,
            )
        elif isinstance(event, ConnectionTerminated):
            tell(event="closed", code=event.error_code, frame=event.frame_type, reason=event.reason_phrase)
            self.over.set()
        elif isinstance(event, StreamReset):
            if name := self.name_of(event.stream_id):
                tell(id=name, reset=event.error_code)
        elif isinstance(event, StopSendingReceived):
            if name := self.name_of(event.stream_id):
                tell(id=name, stopped=event.error_code)
        elif isinstance(event, StreamDataReceived):
            if event.stream_id == SERVER_CONTROL and not RAW:
                self.hear(event.data)
            elif RAW:
                name = self.name_of(event.stream_id)
                tell(id=name, stream=event.stream_id, hex=event.data.hex(), fin=event.end_stream)
        if self.http:
            for event in self.http.handle_event(event):
                self.http_event_received(event)

    def http_event_received(self, event):
        answer = self.answers.get(event.stream_id)
        if answer is None:
            return
        if isinstance(event, HeadersReceived):
            answer.take_headers(event.headers)
        elif isinstance(event, DataReceived):
            answer.take_data(event.data)
        if event.stream_ended:
            answer.tell()

    def hear(self, data):
        """What the server says about the connection: aioquic passes over that it leaves."""
        self.control += data
        # The first byte says which stream it is.
        buffer = Buffer(data=self.control[1:])
        end = 0
        while not buffer.eof():
            try:
                kind, length = buffer.pull_uint_var(), buffer.pull_uint_var()
                payload = buffer.pull_bytes(length)
            except BufferReadError:
                break
            end = buffer.tell()
            if kind == FrameType.GOAWAY:
                tell(event="goaway", stream=Buffer(data=payload).pull_uint_var())
        self.control = self.control[:1] + self.control[1 + end :]

    def name_of(self, stream):
        names = [name for name, known in self.streams.items() if known == stream]
        return names[0] if names else None

    def request(self, order):
        stream = self._quic.get_next_available_stream_id()
        self.streams[order["id"]] = stream
        self.answers[stream] = Answer(order["id"])
        headers = [
            (":method", order.get("method", "GET")),
            (":scheme", "https"),
            (":authority", order.get("authority", f"{HOST}:{PORT}")),
            (":path", order.get("path", "/")),
            *order.get("headers", []),
        ]
        headers = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        size, pieces, trailers = order.get("body"), order.get("pieces", 1), order.get("trailers")
        pause = order.get("pause", False)
        ends = size is None and not trailers and not pause
        self.http.send_headers(stream, headers, end_stream=ends)
        if size is not None:
            body = bytes(at % 251 for at in range(size))
            step = max(1, -(-size // pieces))
            for start in range(0, max(size, 1), step):
                last = start + step >= size and not trailers and not pause
                self.http.send_data(stream, body[start : start + step], end_stream=last)
        if trailers:
            fields = [(name.encode(), value.encode()) for name, value in trailers]
            self.http.send_headers(stream, fields, end_stream=not pause)

    def raw(self, order):
        name = order["id"]
        if name not in self.streams:
            one_way = order["stream"] == "uni"
            self.streams[name] = self._quic.get_next_available_stream_id(is_unidirectional=one_way)
        self._quic.send_stream_data(
            self.streams[name], bytes.fromhex(order.get("hex", "")), end_stream=order.get("fin", False)
        )

    def has_place(self):
        """Whether the server allows another stream."""
        stream = self._quic.get_next_available_stream_id()
        return stream // 4 < self._quic._remote_max_streams_bidi

    async def obey(self, order):
        match order["do"]:
            case "request":
                self.request(order)
            case "many":
                # So many requests, each broken off at once.
                for number in range(order["count"]):
                    while not self.over.is_set() and not self.has_place():
                        await asyncio.sleep(0.001)
                    self.request({"id": f"{order['id']}{number}", "path": order.get("path", "/")})
                    stream = self.streams[f"{order['id']}{number}"]
                    self._quic.reset_stream(stream, 0x10C) if order.get("body") else None
                    self._quic.stop_stream(stream, 0x10C)
                    if number % 20 == 19:
                        self.transmit()
                        await asyncio.sleep(0)
            case "go":
                self.http.send_data(self.streams[order["id"]], b"", end_stream=True)
            case "abort":
                stream = self.streams[order["id"]]
                if order.get("sending"):
                    self._quic.reset_stream(stream, 0x10C)
                self._quic.stop_stream(stream, 0x10C)
            case "raw":
                self.raw(order)
            case "reset":
                self._quic.reset_stream(self.streams[order["id"]], 0x10C)
            case "stop":
                self._quic.stop_stream(order["stream"], 0x10C)
            case "rebind":
                loop = asyncio.get_running_loop()
                before = self._transport
                # What comes to the old port is lost.
                await loop.create_datagram_endpoint(
                    lambda: Relay(self), local_addr=("::", 0)
                )
                before.abort()
            case "close":
                self.close()
                return
        self.transmit()


class Relay(asyncio.DatagramProtocol):
    """Another socket of the same client."""

    def __init__(self, client):
        self.client = client

    def connection_made(self, transport):
        self.client._transport = Unconnected(transport)

    def datagram_received(self, data, address):
        self.client.datagram_received(data, address)


class Unconnected:
    def __init__(self, transport):
        self.transport = transport

    def sendto(self, data, address):
        self.transport.sendto(data, address)

    def close(self):
        self.transport.close()

    def abort(self):
        self.transport.abort()


async def orders():
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async for line in reader:
        yield json.loads(line)


async def main():
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=HOST)
    configuration.idle_timeout = 60
    configuration.max_data = configuration.max_stream_data = 16 << 20
    if CA_FILE == "-":
        configuration.verify_mode = ssl.CERT_NONE
    else:
        configuration.load_verify_locations(CA_FILE)
    for option in OPTIONS:
        if option.startswith("certificate="):
            configuration.load_cert_chain(*option.split("=", 1)[1].split(","))
        if option.startswith("alpn="):
            configuration.alpn_protocols = [option.split("=", 1)[1]]
    async with connect(
        "127.0.0.1", PORT, configuration=configuration, create_protocol=Client, wait_connected=False
    ) as client:
        client.transmit()
        async for order in orders():
            await client.obey(order)
            if order["do"] == "close":
                break
        await asyncio.wait_for(client.wait_closed(), 60)


try:
    asyncio.run(main())
except Exception as error:
    tell(event="failed", error=repr(error))
    raise
