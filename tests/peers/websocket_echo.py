"""A WebSocket server that sends back what it gets. Prints its address.

Usage: websocket_echo.py NAME
"""

import asyncio

from websockets.asyncio.server import serve


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def main():
    async with serve(echo, "127.0.0.1", 0, ping_interval=None, max_size=None) as server:
        print("%s:%d" % server.sockets[0].getsockname(), flush=True)
        await server.serve_forever()


asyncio.run(main())
