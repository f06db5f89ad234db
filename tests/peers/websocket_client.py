"""A WebSocket client: sends texts and bytes of several sizes, stays silent, sends again.

Usage: websocket_client.py URL SILENCE_SECONDS
Prints "echoed N messages", or fails.
"""

import asyncio
import os
import sys

from websockets.asyncio.client import connect

URL, SILENCE = sys.argv[1], float(sys.argv[2])


async def main():
    messages = ["hello", "", "ü" * 100, os.urandom(200), os.urandom(70_000), os.urandom(3_000_000)]
    count = 0
    async with connect(URL, ping_interval=None, max_size=None, proxy=None) as connection:
        for message in messages:
            await connection.send(message)
            assert await connection.recv() == message
            count += 1
        await asyncio.sleep(SILENCE)
        for number in range(1000):
            await connection.send(f"message {number}")
            assert await connection.recv() == f"message {number}"
            count += 1
    print(f"echoed {count} messages")


asyncio.run(main())
