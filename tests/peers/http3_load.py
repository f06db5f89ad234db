"""Load over HTTP/3: connections that keep so many requests in progress each. Prints as JSON how many were
answered and how many were not answered well.

Usage: http3_load.py PORT CONNECTIONS STREAMS SECONDS PATH
"""

import asyncio
import json
import ssl
import sys
import time

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset

PORT, CONNECTIONS, STREAMS, SECONDS = map(int, sys.argv[1:5])
PATH = sys.argv[5]


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.answered = self.errors = self.bytes = 0
        self.good = {}
        self.until = None
        self.idle = asyncio.Event()

    def load(self, until):
        self.until = until
        for _ in range(STREAMS):
            self.ask()
        self.transmit()

    def ask(self):
        stream = self._quic.get_next_available_stream_id()
        self.good[stream] = False
        fields = [
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":authority", b"bench.example"),
            (b":path", PATH.encode()),
        ]
        self.http.send_headers(stream, fields, end_stream=True)

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self.errors += len(self.good)
            self.idle.set()
            return
        if isinstance(event, StreamReset) and event.stream_id in self.good:
            self.end(event.stream_id, False)
        for found in self.http.handle_event(event):
            self.take(found)

    def take(self, event):
        if isinstance(event, HeadersReceived):
            self.good[event.stream_id] = (b":status", b"200") in event.headers
        elif isinstance(event, DataReceived):
            self.bytes += len(event.data)
        if getattr(event, "stream_ended", False) and event.stream_id in self.good:
            self.end(event.stream_id, self.good[event.stream_id])

    def end(self, stream, good):
        del self.good[stream]
        self.answered += 1
        self.errors += not good
        if time.monotonic() < self.until:
            self.ask()
        elif not self.good:
            self.idle.set()


async def one(until):
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE
    )
    client = connect("127.0.0.1", PORT, configuration=configuration, create_protocol=Client)
    async with client as client:
        client.load(until)
        await asyncio.wait_for(client.idle.wait(), SECONDS + 10)
        return client


async def main():
    begun = time.monotonic()
    clients = await asyncio.gather(*(one(begun + SECONDS) for _ in range(CONNECTIONS)))
    print(
        json.dumps(
            {
                "requests": sum(client.answered for client in clients),
                "errors": sum(client.errors for client in clients),
                "bytes": sum(client.bytes for client in clients),
                "microseconds": round((time.monotonic() - begun) * 1e6),
            }
        )
    )


asyncio.run(main())
