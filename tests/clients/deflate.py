"""What Python's websockets gets back of what it sends compressed.

    python deflate.py URL [BITS]

Offers permessage-deflate as it does by default, or with windows of BITS; sends messages of all kinds,
and expects each back. Prints, as JSON, the parameters that were `agreed`, and how many messages came
back `compressed`, of all the `messages`.
"""

import asyncio
import json
import os
import sys

from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

LARGE = 5_000_000

MESSAGES = [
    "",
    b"",
    "hello",
    "hello",
    b"\0\xff" * 100,
    os.urandom(100),
    os.urandom(70_000),
    "to and fro " * 10_000,
    os.urandom(LARGE),
    bytes(LARGE),
    ["a", "", "b" * 100_000, "c"],
    [os.urandom(10), os.urandom(10_000), b""],
]


def whole(message):
    return type(message[0])().join(message) if isinstance(message, list) else message


async def main(url, bits=None):
    options = {"proxy": None, "max_size": None}
    if bits:
        factory = ClientPerMessageDeflateFactory(server_max_window_bits=int(bits), client_max_window_bits=int(bits))
        options |= {"compression": None, "extensions": [factory]}
    async with connect(url, **options) as websocket:
        extensions = websocket.protocol.extensions
        compressed = 0
        for extension in extensions:
            decode = extension.decode

            def counted(frame, *, max_size=None):
                nonlocal compressed
                compressed += frame.rsv1
                return decode(frame, max_size=max_size)

            extension.decode = counted
        for message in MESSAGES:
            await websocket.send(message)
            assert await websocket.recv() == whole(message)
        agreed = websocket.response.headers.get("Sec-WebSocket-Extensions")
        return {"agreed": agreed, "compressed": compressed, "messages": len(MESSAGES)}


print(json.dumps(asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 60))))
