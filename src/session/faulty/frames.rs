//! Frames that an ordinary session does not send.

use crate::scenario::{Bad, Closing};
use crate::ws::frames::{FIN, put_header_of};

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const RESERVED: u8 = 0x3;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const RSV1: u8 = 0x40;
const MASK_BIT: u8 = 0x80;

/// A Ping without a payload.
pub(super) fn ping() -> Vec<u8> {
    frame(FIN | PING, b"")
}

/// A Close.
pub(super) fn close(closing: &Closing) -> Vec<u8> {
    let payload = match closing {
        Closing::Bare => Vec::new(),
        Closing::Code(code, reason) => [&code.to_be_bytes()[..], reason.as_bytes()].concat(),
    };
    frame(FIN | CLOSE, &payload)
}

/// A frame that breaks RFC 6455.
pub(super) fn bad(bad: Bad) -> Vec<u8> {
    match bad {
        // Section 8.1. The second byte cannot follow the first.
        Bad::Utf8 => frame(FIN | TEXT, b"\xc3\x28"),
        // Section 5.2: no extension was negotiated that gives the bit a meaning.
        Bad::Rsv => frame(FIN | RSV1 | TEXT, b"hi"),
        // Section 5.2.
        Bad::Opcode => frame(FIN | RESERVED, b"hi"),
        // Section 5.1. With a mask of zeros, the payload is "hi".
        Bad::Masked => vec![FIN | TEXT, MASK_BIT | 2, 0, 0, 0, 0, b'h', b'i'],
        // Section 5.4: there is no message to continue.
        Bad::Continuation => frame(FIN, b"hi"),
        // Section 5.5.
        Bad::Ping126 => frame(FIN | PING, &[b' '; 126]),
        // Section 5.2: the highest bit must be 0.
        Bad::Length => vec![FIN | BINARY, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(4 + payload.len());
    put_header_of(first, payload.len(), &mut frame);
    frame.extend_from_slice(payload);
    frame
}
