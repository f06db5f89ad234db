"""An HTTP/2 server on Python's `h2`, which breaks a connection at the first frame that is not as it
should be. Answers each request with its method, path, fields and body. Prints its address, then each
fault that it finds.

Usage: h2_server.py NAME
"""

import asyncio

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset, TrailersReceived
from h2.exceptions import ProtocolError


class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.connection = H2Connection(H2Configuration(client_side=False))
        self.requests = {}
        self.connection.initiate_connection()
        self.flush()

    def flush(self):
        self.transport.write(self.connection.data_to_send())

    def data_received(self, data):
        try:
            events = self.connection.receive_data(data)
        except ProtocolError as error:
            print(f"fault: {error!r}", flush=True)
            self.flush()
            self.transport.close()
            return
        for event in events:
            if isinstance(event, RequestReceived):
                self.requests[event.stream_id] = [list(event.headers), b"", []]
            elif isinstance(event, DataReceived):
                self.requests[event.stream_id][1] += event.data
                self.connection.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id
                )
            elif isinstance(event, TrailersReceived):
                self.requests[event.stream_id][2] = list(event.headers)
            elif isinstance(event, StreamReset):
                self.requests.pop(event.stream_id, None)
            elif isinstance(event, StreamEnded):
                self.answer(event.stream_id)
        self.flush()

    def answer(self, stream):
        headers, body, trailers = self.requests.pop(stream)
        lines = [f"{n.decode()}={v.decode()[:100]}" for n, v in headers + trailers]
        text = "\n".join([*lines, f"{len(body)} bytes"]).encode()
        self.connection.send_headers(stream, [(":status", "200"), ("x-own", "h2")])
        self.connection.send_data(stream, text)
        self.connection.send_headers(stream, [("x-after", "all")], end_stream=True)


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0)
    print("%s:%d" % server.sockets[0].getsockname(), flush=True)
    await server.serve_forever()


asyncio.run(main())
