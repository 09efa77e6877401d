"""What Python's websockets makes of a fault.

    python fault.py URL

Connects, sends the text "hello", and reads to the end, or until it has heard nothing for a second,
when it closes. Prints what it came to, as JSON: `status` or `refused` of a handshake that failed; or
else the `messages`, the `code` and `reason` of the server's Close, and the code that it `sent` itself.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

QUIET = 1  # seconds without a message


async def converse(websocket):
    messages = []
    try:
        await websocket.send("hello")
        while True:
            message = await asyncio.wait_for(websocket.recv(), QUIET)
            messages.append(message if isinstance(message, str) else len(message))
    except TimeoutError:
        await websocket.close(4999)
    except ConnectionClosed:
        pass
    await websocket.wait_closed()
    received, sent = websocket.protocol.close_rcvd, websocket.protocol.close_sent
    return {
        "messages": messages,
        "code": received and received.code,
        "reason": received and received.reason,
        "sent": sent and sent.code,
    }


async def main(url):
    # It asks whether the server lives, as its users are told to, but sooner.
    patience = {"ping_interval": 0.2, "ping_timeout": 0.3, "close_timeout": 0.5}
    try:
        async with connect(url, proxy=None, process_exception=lambda error: error, **patience) as websocket:
            return await converse(websocket)
    except InvalidStatus as error:
        return {"status": error.response.status_code}
    except InvalidHandshake as error:
        return {"refused": str(error)}


print(json.dumps(asyncio.run(asyncio.wait_for(main(sys.argv[1]), 20))))
