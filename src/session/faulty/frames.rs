//! Frames that an ordinary session does not send.

use zlib_rs::DeflateFlush;

use crate::scenario::{Bad, Closing};
use crate::ws::deflate::MAX_WINDOW;
use crate::ws::frames::{BINARY, FIN, RSV1, TEXT, put_header_of};

const RESERVED: u8 = 0x3;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const RSV2: u8 = 0x20;
const MASK_BIT: u8 = 0x80;

/// Zeros that are compressed at once.
const CHUNK: usize = 1 << 20;

/// A Ping without a payload.
pub(super) fn ping() -> Vec<u8> {
    frame(FIN | PING, b"")
}

/// A Close.
pub(crate) fn close(closing: &Closing) -> Vec<u8> {
    let payload = match closing {
        Closing::Bare => Vec::new(),
        Closing::Code(code, reason) => [&code.to_be_bytes()[..], reason.as_bytes()].concat(),
    };
    frame(FIN | CLOSE, &payload)
}

/// A frame that breaks RFC 6455.
pub(crate) fn bad(bad: Bad) -> Vec<u8> {
    match bad {
        // Section 8.1. The second byte cannot follow the first.
        Bad::Utf8 => frame(FIN | TEXT, b"\xc3\x28"),
        // Section 5.2: no extension gives the bit a meaning.
        Bad::Rsv => frame(FIN | RSV2 | TEXT, b"hi"),
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
        // RFC 7692, section 6.1: the bit is for the first frame of a message.
        Bad::Rsv1 => frame(FIN | RSV1 | PING, b""),
        // A block of type 3.
        Bad::Deflate => frame(FIN | RSV1 | TEXT, b"\xff\xff\xff"),
        // RFC 7692, section 7.2.3.4.
        Bad::Bfinal => frame(FIN | RSV1 | TEXT, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),
        // RFC 7692, section 7.2.3.2: "Hello", and once more by reference to it.
        Bad::Desync => [
            frame(FIN | RSV1 | TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00"),
            frame(FIN | RSV1 | TEXT, b"\xf2\x00\x11\x00\x00"),
        ]
        .concat(),
        // An "a", and 3 bytes from 32,768 bytes before.
        Bad::Window => frame(FIN | RSV1 | TEXT, b"\x4a\x04\xde\xff\x0f\x00"),
        Bad::Bomb(bytes) => frame(FIN | RSV1 | BINARY, &bomb(bytes)),
    }
}

/// A compressed message of so many zeros, a thousandth of their size or somewhat more.
fn bomb(bytes: u64) -> Vec<u8> {
    let chunks = usize::try_from(bytes / CHUNK as u64).unwrap_or_default();
    let mut bomb = zeros(CHUNK).repeat(chunks);
    bomb.extend(zeros((bytes % CHUNK as u64) as usize));
    // The end of the last flush (RFC 7692, section 7.2.1).
    bomb.truncate(bomb.len().saturating_sub(4));
    bomb
}

/// So many zeros, compressed for themselves, and flushed.
fn zeros(bytes: usize) -> Vec<u8> {
    let mut deflate = zlib_rs::Deflate::new(9, false, MAX_WINDOW);
    let mut compressed = vec![0; bytes / 256 + 64];
    let flush = DeflateFlush::SyncFlush;
    let deflated = deflate.compress(&vec![0; bytes], &mut compressed, flush);
    let size = deflated.map_or(0, |_| deflate.total_out() as usize);
    compressed.truncate(size);
    compressed
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(4 + payload.len());
    put_header_of(first, payload.len(), &mut frame);
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use zlib_rs::{Inflate, InflateError, InflateFlush};

    use super::*;

    /// Decompresses a message, which comes without its header.
    fn inflate(message: &[u8], size: usize) -> Result<Vec<u8>, InflateError> {
        let mut out = vec![1; size + 1];
        let input = [message, &[0x00, 0x00, 0xff, 0xff]].concat();
        let mut inflate = Inflate::new(false, MAX_WINDOW);
        inflate.decompress(&input, &mut out, InflateFlush::SyncFlush)?;
        out.truncate(inflate.total_out() as usize);
        Ok(out)
    }

    #[test]
    fn a_bomb_has_its_size_and_takes_a_thousandth_of_it() {
        for size in [1, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 16 * CHUNK] {
            let bomb = bomb(size as u64);
            assert!(bomb.len() <= size / 900 + 64, "{size}: {}", bomb.len());
            assert_eq!(inflate(&bomb, size), Ok(vec![0; size]));
        }
    }

    #[test]
    fn broken_messages_do_not_decompress() {
        for kind in [Bad::Deflate, Bad::Window] {
            let inflated = inflate(&bad(kind)[2..], 100);
            assert_eq!(inflated, Err(InflateError::DataError), "{kind:?}");
        }
        assert_eq!(inflate(&bad(Bad::Bfinal)[2..], 100), Ok(b"Hello".to_vec()));
        let messages = bad(Bad::Desync);
        assert_eq!(inflate(&messages[2..9], 100), Ok(b"Hello".to_vec()));
        assert!(inflate(&messages[11..], 100).is_err());
    }
}
