//! A scene for each step of a session.

use echobeat_frames::{BINARY, CLOSE, PING, frame, text_echo, text_frame};

use super::{Ends, Event, Gets, IsReset, Sends};

/// The steps, and what follows the handshake. Where it ends with neither [`Ends`] nor [`IsReset`],
/// the session goes on.
pub fn scenes() -> Vec<(&'static str, Vec<Event>)> {
    let mut scenes = messages();
    scenes.extend(ends());
    scenes.extend(broken());
    scenes
}

fn says(text: &str) -> Event {
    Sends(text_frame(text))
}

fn hears(text: &str) -> Event {
    Gets(text_echo(text))
}

fn closes(payload: &[u8]) -> Event {
    Sends(frame(CLOSE, payload))
}

fn gets(bytes: &[u8]) -> Event {
    Gets(bytes.to_vec())
}

fn messages() -> Vec<(&'static str, Vec<Event>)> {
    let ping = || Sends(frame(PING, b"?"));
    let pong = || gets(b"\x8a\x01?");
    vec![
        (
            "beat:10ms,say:a%5C,b",
            vec![hears("a,b"), hears("a,b"), hears("a,b")],
        ),
        (
            "echo:off",
            vec![
                says("one"),
                ping(),
                pong(),
                closes(b""),
                gets(b"\x88\0"),
                Ends,
            ],
        ),
        (
            "delay:100ms..200ms",
            vec![
                Sends([text_frame("one"), text_frame("two"), frame(PING, b"?")].concat()),
                pong(),
                hears("one"),
                hears("two"),
            ],
        ),
        (
            "delay:20ms,close:4001:bye@2msg",
            vec![
                says("one"),
                says("two"),
                hears("one"),
                hears("two"),
                gets(b"\x88\x05\x0f\xa1bye"),
                closes(b"\x0f\xa1"),
                Ends,
            ],
        ),
        (
            "rate:1KiB,greet:hi",
            vec![hears("hi"), says("one"), hears("one")],
        ),
        (
            "fragment:2,greet:hello",
            vec![
                gets(b"\x01\x02he\x00\x02ll\x80\x01o"),
                says("one"),
                gets(b"\x01\x02on\x80\x01e"),
                Sends(frame(BINARY, b"")),
                gets(b"\x82\0"),
                // Control frames are never cut.
                Sends(frame(PING, b"ping")),
                gets(b"\x8a\x04ping"),
            ],
        ),
        ("ping:10ms", vec![gets(b"\x89\0"), gets(b"\x89\0")]),
        (
            "burst:3x9@1msg",
            vec![
                says("one"),
                hears("one"),
                gets(b"\x82\x09\0\0\0\0\0\0\0\0\0"),
                gets(b"\x82\x09\0\0\0\0\0\0\0\x01\0"),
                gets(b"\x82\x09\0\0\0\0\0\0\0\x02\0"),
                says("two"),
                hears("two"),
            ],
        ),
        ("greet:hi", vec![hears("hi"), says("one"), hears("one")]),
        ("greet:a,greet:b", vec![hears("a"), hears("b")]),
        (
            "say:now@0s,say:then@1msg,say:more@1msg",
            vec![
                hears("now"),
                says("one"),
                hears("one"),
                hears("then"),
                hears("more"),
            ],
        ),
        (
            "reply:ping=pong,reply:a%5C=b=c=d",
            vec![
                says("ping"),
                hears("pong"),
                says("a=b"),
                hears("c=d"),
                says("pin"),
                hears("pin"),
                Sends(frame(BINARY, b"ping")),
                gets(b"\x82\x04ping"),
            ],
        ),
        (
            "echo:off,delay:20ms,reply:ping=pong,close:4001@3msg",
            vec![
                says("one"),
                says("ping"),
                hears("pong"),
                says("ping"),
                hears("pong"),
                gets(b"\x88\x02\x0f\xa1"),
                closes(b""),
                Ends,
            ],
        ),
        (
            "fragment:2,reply:a=bcd",
            vec![says("a"), gets(b"\x01\x02bc\x80\x01d")],
        ),
        (
            "deaf,beat:20ms,say:x",
            vec![says("one"), ping(), hears("x"), hears("x"), hears("x")],
        ),
        (
            "deaf@1msg,fin@1s",
            vec![says("one"), hears("one"), says("two"), ping(), Ends],
        ),
    ]
}

fn ends() -> Vec<(&'static str, Vec<Event>)> {
    let close = |steps, expected: &[u8]| {
        let events = vec![gets(expected), closes(b"\x03\xe8"), Ends];
        (steps, events)
    };
    vec![
        close("close:none", b"\x88\0"),
        close("close:0", b"\x88\x02\0\0"),
        close("close:1005", b"\x88\x02\x03\xed"),
        close("close:1006:gone", b"\x88\x06\x03\xeegone"),
        close("close:4999:%C3%BC", b"\x88\x04\x13\x87\xc3\xbc"),
        close("close:65535@20ms", b"\x88\x02\xff\xff"),
        (
            // What follows the Close is not answered.
            "close:4001:bye@1msg",
            vec![
                says("one"),
                hears("one"),
                gets(b"\x88\x05\x0f\xa1bye"),
                says("two"),
                Sends(frame(PING, b"")),
                closes(b"\x0f\xa1"),
                Ends,
            ],
        ),
        ("fin", vec![Ends]),
        ("fin@1msg", vec![says("one"), hears("one"), Ends]),
        ("fin@0s", vec![Ends]),
        ("fin@20ms", vec![Ends]),
        ("rst@20ms", vec![IsReset]),
        ("rst@1msg", vec![says("one"), IsReset]),
        (
            "stall@1msg,fin@1s",
            vec![
                says("one"),
                hears("one"),
                says("two"),
                Sends(frame(PING, b"")),
                closes(b""),
                Ends,
            ],
        ),
        ("stall,rst@20ms", vec![IsReset]),
        (
            "noreply,fin@1s",
            vec![says("one"), hears("one"), closes(b""), Ends],
        ),
    ]
}

fn broken() -> Vec<(&'static str, Vec<Event>)> {
    let frames: [(&str, &[u8]); 12] = [
        ("bad:utf8", b"\x81\x02\xc3\x28"),
        ("bad:rsv", b"\xa1\x02hi"),
        ("bad:opcode", b"\x83\x02hi"),
        ("bad:masked", b"\x81\x82\0\0\0\0hi"),
        ("bad:continuation", b"\x80\x02hi"),
        (
            "bad:ping126",
            &[&b"\x89\x7e\0\x7e"[..], &[b' '; 126]].concat(),
        ),
        ("bad:length", b"\x82\x7f\x80\0\0\0\0\0\0\0"),
        ("bad:rsv1", b"\xc9\0"),
        ("bad:deflate", b"\xc1\x03\xff\xff\xff"),
        ("bad:bfinal", b"\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\0\0"),
        ("bad:window", b"\xc1\x06\x4a\x04\xde\xff\x0f\0"),
        (
            "bad:desync",
            b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0\xc1\x05\xf2\0\x11\0\0",
        ),
    ];
    let mut scenes: Vec<_> = frames
        .into_iter()
        .map(|(steps, bytes)| {
            let events = vec![gets(bytes), says("one"), hears("one")];
            (steps, events)
        })
        .collect();
    let late = vec![says("one"), hears("one"), gets(b"\xa1\x02hi")];
    scenes.push(("bad:rsv@1msg", late));
    scenes
}
