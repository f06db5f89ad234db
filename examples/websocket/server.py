"""A chat server with one idea: it sends back what it gets, with its name in front.

Usage: server.py NAME PORT        (needs: pip install websockets)
"""

import asyncio
import sys

from websockets.asyncio.server import serve

NAME, PORT = sys.argv[1], int(sys.argv[2])


def page(connection, request):
    """Answers ordinary requests; WebSockets go on."""
    if request.path != "/chat":
        return connection.respond(200, f"{NAME} is well\n")
    return None


async def echo(connection):
    async for message in connection:
        await connection.send(f"{NAME}: {message}")


async def main():
    async with serve(echo, "127.0.0.1", PORT, process_request=page) as server:
        await server.serve_forever()


asyncio.run(main())
