"""A WebSocket over HTTP/2 (RFC 8441) by a client that shares no code with the server: Python's h2.

    python http2.py PORT CERTIFICATE

Opens three sessions on one TLS connection, has a message echoed in each, and closes them. Exits
with 0 if all went as it should, and with a traceback otherwise.
"""

import socket
import ssl
import struct
import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RemoteSettingsChanged, ResponseReceived, StreamEnded
from h2.settings import SettingCodes

TIMEOUT = 20  # seconds
MASK = bytes([0x37, 0xFA, 0x21, 0x3D])


def frame(first, payload):
    masked = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))
    return bytes([first, 0x80 | len(payload)]) + MASK + masked


def connect(port, certificate):
    context = ssl.create_default_context(cafile=certificate)
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
    tls = context.wrap_socket(plain, server_hostname="localhost")
    assert tls.selected_alpn_protocol() == "h2", tls.selected_alpn_protocol()
    return tls


class Client:
    def __init__(self, tls):
        self.tls = tls
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.connects = False
        self.heads = {}
        self.data = {}
        self.ended = set()

    def receive_until(self, done):
        while not done():
            self.tls.sendall(self.h2.data_to_send())
            received = self.tls.recv(65536)
            assert received, "the server hung up"
            for event in self.h2.receive_data(received):
                self.handle(event)
        self.tls.sendall(self.h2.data_to_send())

    def handle(self, event):
        if isinstance(event, RemoteSettingsChanged):
            setting = event.changed_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL)
            self.connects |= setting is not None and setting.new_value == 1
        elif isinstance(event, ResponseReceived):
            self.heads[event.stream_id] = dict(event.headers)
        elif isinstance(event, DataReceived):
            self.data[event.stream_id] = self.data.get(event.stream_id, b"") + event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.ended.add(event.stream_id)

    def open(self, path):
        stream = self.h2.get_next_available_stream_id()
        headers = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":path", path),
            (":authority", "localhost"),
            ("sec-websocket-version", "13"),
        ]
        self.h2.send_headers(stream, headers)
        self.receive_until(lambda: stream in self.heads)
        assert self.heads[stream][":status"] == "200", self.heads[stream]
        return stream

    def exchange(self, stream, sent, expected):
        self.data[stream] = b""
        self.h2.send_data(stream, sent)
        self.receive_until(lambda: len(self.data[stream]) >= len(expected))
        assert self.data[stream] == expected, self.data[stream]


def main(port, certificate):
    client = Client(connect(int(port), certificate))
    client.receive_until(lambda: client.connects)
    streams = [client.open(f"/session-{number}") for number in range(3)]
    for stream in streams:
        text = f"hello from stream {stream}".encode()
        client.exchange(stream, frame(0x81, text), bytes([0x81, len(text)]) + text)
    for stream in streams:
        code = struct.pack("!H", 4000 + stream)
        client.exchange(stream, frame(0x88, code), bytes([0x88, 2]) + code)
        client.receive_until(lambda: stream in client.ended)


main(*sys.argv[1:])
