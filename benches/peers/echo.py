"""An echo server of Python's websockets, which says its address in the first line.

    python echo.py [BITS]

Compression is as it is by default, or has windows of BITS and is otherwise the same.
"""

import asyncio
import contextlib
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory


async def echo(websocket):
    # The load generator does not wait for the answer to its Close.
    with contextlib.suppress(ConnectionClosed):
        async for message in websocket:
            await websocket.send(message)


async def main(bits=None):
    options = {"max_size": None}
    if bits:
        # The default but for the windows.
        factory = ServerPerMessageDeflateFactory(
            server_max_window_bits=int(bits),
            client_max_window_bits=int(bits),
            compress_settings={"memLevel": 5},
        )
        options |= {"compression": None, "extensions": [factory]}
    async with serve(echo, "127.0.0.1", 0, **options) as server:
        print("%s:%d" % server.sockets[0].getsockname(), flush=True)
        await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
