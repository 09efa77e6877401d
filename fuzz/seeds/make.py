#!/usr/bin/env python3
"""Writes the seeds beside it. Their names say what they are."""

import zlib
from pathlib import Path

HERE = Path(__file__).parent

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GOOD = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def head(line="GET /ws HTTP/1.1", more=(), **changes):
    """A good request, but for `changes`: None leaves a header out."""
    changes = {name.replace("_", "-"): value for name, value in changes.items()}
    headers = [(k, v) for k, v in {**GOOD, **changes}.items() if v is not None]
    lines = [line] + [f"{name}: {value}" for name, value in [*headers, *more]]
    return "\r\n".join([*lines, "", ""]).encode()


HANDSHAKES = {
    "good": head(),
    "good-http-absolute-target": head("GET http://localhost/ws?x=1 HTTP/1.1"),
    "good-token-lists": head(Connection="keep-alive, UPGRADE", more=[("Upgrade", "foo, WebSocket")]),
    "faults-in-the-handshake": head("GET /?do=accept:none,subprotocol:a,greet:b%5C%2C HTTP/1.1"),
    "faults-in-the-session": head("GET /?a=b&do=delay:1s..2s,close:4001:c@3msg,who HTTP/1.1"),
    "faults-for-some-connections": head(
        "GET /?do=refuse:503:5s@2x,rst@2s@20%,reply:a%5C=b=c,say:d@3msg@1x HTTP/1.1"
    ),
    "faults-that-refuse": head("GET /?do=refuse:302:/a HTTP/1.1"),
    "good-content-length-zero": head(more=[("Content-Length", "0")]),
    "origin-known": head("GET /chat HTTP/1.1", more=[("Origin", "https://EXAMPLE.com")]),
    "origin-null-and-foreign": head(more=[("Origin", "null"), ("Origin", "https://example.net")]),
    "subprotocols-over-two-lines": head(
        more=[("Sec-WebSocket-Protocol", "a b, ,mqtt"), ("Sec-WebSocket-Protocol", "chat")]
    ),
    "extensions": head(
        more=[
            ("Sec-WebSocket-Extensions", "x; a=\"b,c\", permessage-deflate; server_max_window_bits=8"),
            ("Sec-WebSocket-Extensions", 'permessage-deflate; server_max_window_bits="1\\0"; client_max_window_bits'),
        ]
    ),
    "subprotocols-none-valid": head(more=[("Sec-WebSocket-Protocol", "a b, c/d")]),
    "path-unknown": head("GET /nowhere HTTP/1.1"),
    "bad-version": head(Sec_WebSocket_Version="8"),
    "bad-key": head(Sec_WebSocket_Key="c2hvcnQ="),
    "bad-method": head("POST /ws HTTP/1.1"),
    "bad-http-1.0": head("GET /ws HTTP/1.0"),
    "bad-host-missing": head(Host=None),
    "bad-host-twice": head(more=[("Host", "elsewhere")]),
    "bad-connection": head(Connection="close"),
    "bad-body-chunked": head(more=[("Transfer-Encoding", "chunked")]),
    "bad-many-headers": head(more=[("X", "")] * 61),
    "no-upgrade": head(Upgrade=None),
}

TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
TEXT_BEGUN, CONTINUED, CONTINUED_LAST = 0x01, 0x00, 0x80
NO_BEAT, NO_PING, SMALL, DRAIN_NOW, DRAIN_5_MS, DRAIN_5_S = 0x01, 0x02, 0x04, 0x08, 0x10, 0x18
YIELD, MOVE_4_K, WAIT_1_S, WAIT_11_S, WAIT_31_S, FAIL = 0x00, 0x8F, 0xF4, 0xFE, 0xF7, 0xFF


def frame(first, payload=b"", mask=b"\0\0\0\0"):
    """A client's frame. A mask of zeros lets the fuzzer see what it changes."""
    length = len(payload)
    if length < 126:
        header = bytes([first, 0x80 | length])
    else:
        header = bytes([first, 0x80 | 126]) + length.to_bytes(2, "big")
    return header + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def session(*frames, settings=0, early=0, large_at=None, reads=(), writes=()):
    """An input as `fuzz_targets/session.rs` describes it."""
    large = 0 if large_at is None else large_at + 1
    header = bytes([settings, early, large, len(reads), len(writes)])
    return header + bytes(reads) + bytes(writes) + b"".join(frames)


BYE = frame(CLOSE, b"\x03\xe8bye")
HELLO = frame(TEXT, b"hello", b"\x37\xfa\x21\x3d")

SESSIONS = {
    "text": session(HELLO, BYE),
    "text-by-single-bytes": session(HELLO, BYE, reads=[1, YIELD] * 20, writes=[1] * 8),
    "text-read-with-the-request": session(HELLO, BYE, early=3),
    "text-fragmented": session(
        frame(TEXT_BEGUN, b"gr\xc3"), frame(PING, b"between"), frame(CONTINUED), frame(CONTINUED_LAST, b"\xbcn"), BYE
    ),
    "text-not-utf8": session(frame(TEXT, b"gr\xfcn")),
    "binary-16-bit-length": session(frame(BINARY, bytes(range(200))), BYE),
    "heart-beat-from-the-client": session(frame(TEXT, b"heart beat"), BYE, settings=NO_PING, reads=[YIELD, WAIT_11_S]),
    "large-message-behind-text": session(HELLO, HELLO, BYE, large_at=len(HELLO)),
    "large-message-behind-ping": session(frame(PING, b"owed"), HELLO, BYE, large_at=10, writes=[0x80, YIELD, WAIT_1_S, 0x83, 3]),
    "large-message-alone-at-first": session(HELLO, BYE, large_at=0, reads=[MOVE_4_K] * 8 + [8, WAIT_1_S]),
    "over-the-limit": session(frame(BINARY, bytes(201)), settings=SMALL),
    "oversized-length": session(bytes([BINARY, 0xFF]) + b"\x7f" + b"\xff" * 7 + bytes(4)),
    "ping-pong": session(frame(PING, b"ping"), frame(PONG, b"pong"), frame(PING)),
    "ping-flood": session(frame(PING) * 1001),
    "close-without-code": session(frame(CLOSE)),
    "close-illegal-code": session(frame(CLOSE, b"\x03\xed")),
    "close-then-text": session(BYE, HELLO),
    "bad-unmasked": session(bytes([TEXT, 2]) + b"hi"),
    "bad-reserved-bit": session(frame(TEXT | 0x40, b"hi")),
    "bad-continuation": session(HELLO, frame(CONTINUED_LAST, b"of nothing")),
    "peer-silent": session(HELLO, reads=[len(HELLO), WAIT_31_S]),
    "peer-stuck": session(HELLO, settings=NO_BEAT | NO_PING, reads=[4, WAIT_31_S, WAIT_31_S]),
    "peer-does-not-read": session(HELLO, settings=NO_PING, reads=[len(HELLO), YIELD], writes=[2, WAIT_31_S]),
    "peer-resets": session(HELLO, HELLO, reads=[len(HELLO), FAIL]),
    "drain-at-once": session(HELLO, BYE, settings=DRAIN_NOW, reads=[YIELD, len(HELLO), WAIT_1_S]),
    "drain-in-5-ms": session(HELLO, settings=DRAIN_5_MS | NO_PING, reads=[len(HELLO), WAIT_11_S]),
    "drain-in-5-s": session(HELLO, BYE, settings=DRAIN_5_S | NO_PING, reads=[len(HELLO), WAIT_11_S, WAIT_1_S]),
}

TAKEOVER, IS_TEXT, NO_WINDOW = 0x01, 0x02, 0x70


def compressed(*messages, level=6, bits=15, flush=zlib.Z_SYNC_FLUSH, takeover=False, settings=NO_WINDOW, fragment=5):
    """An input as `fuzz_targets/deflate.rs` describes it, of up to two messages."""
    made = []
    for message in messages:
        if not made or not takeover:
            zip = zlib.compressobj(level, zlib.DEFLATED, -bits)
        made.append((zip.compress(message) + zip.flush(flush)).removesuffix(b"\0\0\xff\xff"))
    settings |= TAKEOVER if takeover else 0
    return bytes([settings, fragment, len(made[0])]) + b"".join(made)


def raw(*messages, settings=NO_WINDOW):
    return bytes([settings, 3, len(messages[0])]) + b"".join(messages)


HELLO_TWICE = [b"hello, hello, hello", b"hello, hello"]

COMPRESSED = {
    "text": compressed(*HELLO_TWICE, settings=NO_WINDOW | IS_TEXT),
    "text-not-utf8": compressed(b"gr\xfcn", b"hello", settings=NO_WINDOW | IS_TEXT),
    "takeover": compressed(*HELLO_TWICE, takeover=True),
    "takeover-window-9": compressed(*HELLO_TWICE, takeover=True, settings=0),
    "window-12": compressed(*HELLO_TWICE, bits=12, settings=0x30),
    "stored": compressed(*HELLO_TWICE, level=0),
    "dynamic": compressed(bytes(range(64)) * 3, bytes(range(32)) * 40, level=9),
    "full-flush": compressed(*HELLO_TWICE, flush=zlib.Z_FULL_FLUSH),
    "partial-flush": compressed(*HELLO_TWICE, flush=zlib.Z_PARTIAL_FLUSH),
    "bfinal": compressed(*HELLO_TWICE, flush=zlib.Z_FINISH),
    "bfinal-takeover": raw(b"\xf3\x48\xcd\xc9\xc9\x07\0\0", b"\xf2\0\x11\0\0", settings=NO_WINDOW | TAKEOVER),
    "bomb": compressed(bytes(200_000), bytes(2_000_000)),
    "empty": compressed(b"", b""),
    "nothing": raw(b"", b""),
    "desync": raw(b"\xf2\x48\xcd\xc9\xc9\x07\0", b"\xf2\0\x11\0\0"),
    "garbage": raw(b"\xff\xff\xff", b"\x4a\x04\xde\xff\x0f\0"),
    "cut-off": raw(compressed(*HELLO_TWICE)[3:10], b"\0"),
}

for target, seeds in {"deflate": COMPRESSED, "handshake": HANDSHAKES, "session": SESSIONS}.items():
    (HERE / target).mkdir(exist_ok=True)
    for name, content in seeds.items():
        (HERE / target / name).write_bytes(content)
