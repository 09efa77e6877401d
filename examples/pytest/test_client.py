"""Tests of a WebSocket client with pytest. echobeat is the server, and says what it saw.

    pip install -r requirements.txt
    ECHOBEAT=path/to/echobeat pytest

Without ECHOBEAT, the program is looked for on PATH.
"""

import json
import os
import subprocess
import threading
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

TIMEOUT = 10  # seconds, for everything that is waited for

# Without the proxies of the environment: the server is on this machine.
http = build_opener(ProxyHandler({}))


class Echobeat:
    """A server that runs, and its HTTP API."""

    def __init__(self, listening):
        self.websocket, self.http = listening["websocket"], listening["http"]

    def ask(self, method, path, body=None):
        request = Request(self.http.rstrip("/") + path, data=body, method=method)
        with http.open(request, timeout=TIMEOUT) as response:
            return json.loads(response.read() or "null")


@pytest.fixture(scope="session")
def echobeat():
    program = os.environ.get("ECHOBEAT", "echobeat")
    command = [program, "127.0.0.1:0", "--api", "--heartbeat=off", "--log-format=json"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = threading.Timer(TIMEOUT, process.kill)
    deadline.start()
    try:
        # The first line of the log says where it listens.
        listening = json.loads(process.stderr.readline())
        deadline.cancel()
        yield Echobeat(listening)
    finally:
        deadline.cancel()
        process.terminate()
        process.communicate(timeout=TIMEOUT)


def test_a_message_comes_a_push_arrives_and_a_close_is_answered(echobeat):
    url = f"{echobeat.websocket}?id=me"
    with connect(url, proxy=None, open_timeout=TIMEOUT, close_timeout=TIMEOUT) as client:
        client.send("hello")
        came = echobeat.ask("GET", "/connections/me/messages?direction=in&wait=10s")
        assert [message["text"] for message in came["messages"]] == ["hello"]
        assert client.recv(TIMEOUT) == "hello"

        pushed = echobeat.ask("POST", "/connections/me", b"news")
        assert pushed == {"delivered": 1, "skipped": 0}
        assert client.recv(TIMEOUT) == "news"

        echobeat.ask("DELETE", "/connections/me?code=4001&reason=bye")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(TIMEOUT)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "bye")

    found = echobeat.ask("GET", "/connections?id=me&state=closed&wait=10s")
    end = found["connections"][0]["end"]
    assert (end["why"], end["code"], end["clean"], end["tcp"]) == ("api", 4001, True, "fin")
