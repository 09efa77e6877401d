"""A server of Python's websockets, to be probed.

    python serve.py INTERVAL TIMEOUT

Echoes, sends a Ping every INTERVAL seconds, and gives a client up that does not answer within TIMEOUT
seconds. Prints its port.
"""

import asyncio
import logging
import sys

from websockets.asyncio.server import serve


# Clients that leave without a Close, or are given up, are what is tried here.
logging.getLogger("websockets").setLevel(logging.CRITICAL)


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def main(interval, timeout):
    pings = {"ping_interval": interval, "ping_timeout": timeout}
    async with serve(echo, "127.0.0.1", 0, **pings) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main(*map(float, sys.argv[1:])))
