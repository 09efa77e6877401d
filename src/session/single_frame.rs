//! Single-frame messages: those that come whole in one frame, as nearly all do. They are unmasked
//! in the buffer into which they were read, and are sent from there. So are Pongs, which idle
//! clients send and nothing else.

use std::ops::Range;

use tokio_tungstenite::tungstenite::{Error, Result};

use super::utf8::is_utf8;
use crate::ws::frames::{Header, MAX_CONTROL_PAYLOAD, MAX_FRAME_HEADER, Opcode};

/// First bytes of single-frame messages: FIN, no reserved bit, and the opcode.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

/// First byte of a Pong.
const PONG: u8 = 0x8a;

/// Length of a payload from which it pays to ask which vectors this processor has.
const LONG: usize = 1 << 10;

/// Frame at the start of some bytes.
pub(super) enum Start {
    /// A single-frame message, unmasked, with its payload in this range.
    Message(Opcode, Range<usize>),
    /// A Pong, unmasked, with its payload in this range.
    Pong(Range<usize>),
    /// Part of a frame. There must be this many bytes to tell more.
    Partial(usize),
    /// Another frame, or an illegal one.
    Other(Header),
}

/// Finder of single-frame messages.
#[derive(Default)]
pub(super) struct SingleFrame {
    /// Bytes of the current payload that are unmasked. Bytes are unmasked as they come, while they
    /// are in the cache.
    unmasked: usize,
}

impl SingleFrame {
    /// Looks for a single-frame message of at most `limit` bytes at the start of `bytes`, and
    /// unmasks the part of it that has come.
    ///
    /// # Errors
    /// When it is text that is not UTF-8.
    pub(super) fn next(&mut self, bytes: &mut [u8], limit: usize) -> Result<Start> {
        let Some(header) = Header::parse(bytes) else {
            return Ok(Start::Partial(MAX_FRAME_HEADER));
        };
        let opcode = match header.first {
            TEXT => Opcode::Text,
            BINARY => Opcode::Binary,
            PONG if header.payload <= MAX_CONTROL_PAYLOAD => Opcode::Pong,
            _ => return Ok(Start::Other(header)),
        };
        let Some(mask) = header.mask.filter(|_| header.payload <= limit as u64) else {
            return Ok(Start::Other(header));
        };
        let end = header.frame_size() as usize;
        let come = end.min(bytes.len());
        let is_whole = come == end;
        let payload = &mut bytes[header.size..come];
        let before = self.unmask(payload, mask);
        if opcode == Opcode::Text && !is_utf8(payload, before, is_whole) {
            return Err(Error::Utf8(String::new()));
        }
        if !is_whole {
            return Ok(Start::Partial(end));
        }
        self.unmasked = 0;
        Ok(match opcode {
            Opcode::Pong => Start::Pong(header.size..end),
            _ => Start::Message(opcode, header.size..end),
        })
    }

    /// Unmasks the bytes of a payload that have come since the last call, and returns the number of
    /// those that had come before.
    fn unmask(&mut self, payload: &mut [u8], mut mask: [u8; 4]) -> usize {
        let before = self.unmasked;
        mask.rotate_left(before % 4);
        unmask(&mut payload[before..], mask);
        self.unmasked = payload.len();
        before
    }
}

/// Unmasks a payload (RFC 6455, section 5.3).
pub(crate) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    match payload.len() >= LONG {
        true => unmask_long(payload, mask),
        false => unmask_rows::<16>(payload, mask),
    }
}

/// Unmasks a payload with the longest vectors that this processor has.
#[cfg(feature = "simd")]
fn unmask_long(payload: &mut [u8], mask: [u8; 4]) {
    #[inline(always)]
    fn unmask<S: fearless_simd::Simd>(_: S, payload: &mut [u8], mask: [u8; 4]) {
        unmask_rows::<64>(payload, mask);
    }
    let level = fearless_simd::Level::new();
    fearless_simd::dispatch!(level, simd => unmask(simd, payload, mask));
}

/// Unmasks a payload with the vectors that all processors have.
#[cfg(not(feature = "simd"))]
fn unmask_long(payload: &mut [u8], mask: [u8; 4]) {
    unmask_rows::<64>(payload, mask);
}

/// Unmasks a payload in rows of this length, which the compiler turns into vector instructions.
#[inline(always)]
fn unmask_rows<const ROW: usize>(payload: &mut [u8], mask: [u8; 4]) {
    let mut row = [0; ROW];
    row.chunks_exact_mut(4)
        .for_each(|part| part.copy_from_slice(&mask));
    let mut rows = payload.chunks_exact_mut(ROW);
    for bytes in &mut rows {
        xor(bytes, &row);
    }
    xor(rows.into_remainder(), &row);
}

#[inline(always)]
fn xor(bytes: &mut [u8], mask: &[u8]) {
    for (byte, mask) in bytes.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use echobeat_frames::frame;

    use super::*;

    const LIMIT: usize = 2 * LONG;

    #[test]
    fn a_payload_of_any_length_is_unmasked() {
        for length in (0..=100).chain(LONG - 100..=LONG + 100) {
            let payload: Vec<u8> = (0_u8..=255).cycle().take(length).collect();
            let mut bytes = [frame(BINARY, &payload), vec![0xaa; 20]].concat();
            let Ok(Start::Message(Opcode::Binary, place)) =
                SingleFrame::default().next(&mut bytes, LIMIT)
            else {
                panic!("{length} bytes are no message");
            };
            assert_eq!(bytes[place], payload);
            assert!(bytes.ends_with(&[0xaa; 20]), "what follows is left alone");
        }
    }

    #[test]
    fn a_message_is_unmasked_as_it_comes() {
        let whole = frame(TEXT, b"twelve bytes");
        let header = whole.len() - 12;
        for first in 0..whole.len() {
            for second in first..whole.len() {
                let mut single_frame = SingleFrame::default();
                let mut bytes = Vec::new();
                for come in [first, second] {
                    bytes.extend_from_slice(&whole[bytes.len()..come]);
                    let wanted = if come < header {
                        MAX_FRAME_HEADER
                    } else {
                        whole.len()
                    };
                    match single_frame.next(&mut bytes, LIMIT) {
                        Ok(Start::Partial(size)) => assert_eq!(size, wanted),
                        _ => panic!("{come} bytes"),
                    }
                }
                bytes.extend_from_slice(&whole[second..]);
                let Ok(Start::Message(Opcode::Text, place)) = single_frame.next(&mut bytes, LIMIT)
                else {
                    panic!("no message in {first}, {second}, and the rest");
                };
                assert_eq!(&bytes[place], b"twelve bytes");
            }
        }
    }

    #[test]
    fn other_frames_are_left_as_they_came() {
        let unmasked = vec![TEXT, 4, b't', b'e', b'x', b't'];
        let too_big = frame(BINARY, &[0; LIMIT + 1]);
        let long_pong = frame(PONG, &[0; 126]);
        let others = [
            0x01, 0x00, 0x80, 0x83, 0x88, 0x89, 0x0a, 0xca, 0xc1, 0xa2, 0x92,
        ];
        let others = others.map(|first| frame(first, b"text"));
        for frame in others.into_iter().chain([unmasked, too_big, long_pong]) {
            let mut bytes = frame.clone();
            let start = SingleFrame::default().next(&mut bytes, LIMIT);
            assert!(matches!(start, Ok(Start::Other(_))), "{:#x}", frame[0]);
            assert_eq!(bytes, frame);
        }
    }

    #[test]
    fn a_pong_of_up_to_125_bytes_is_told_from_a_message() {
        for length in [0, 1, 125] {
            let mut bytes = frame(PONG, &vec![b'p'; length]);
            let Ok(Start::Pong(place)) = SingleFrame::default().next(&mut bytes, LIMIT) else {
                panic!("{length} bytes are no Pong");
            };
            assert_eq!(bytes[place], *vec![b'p'; length]);
        }
    }

    #[test]
    fn text_is_checked_as_it_comes() {
        let text = "a\u{e9}\u{20ac}\u{1f980}z";
        let whole = frame(TEXT, text.as_bytes());
        for first in 0..whole.len() {
            for second in first..whole.len() {
                let mut single_frame = SingleFrame::default();
                let mut bytes = Vec::new();
                for come in [first, second] {
                    bytes.extend_from_slice(&whole[bytes.len()..come]);
                    let start = single_frame.next(&mut bytes, LIMIT);
                    assert!(matches!(start, Ok(Start::Partial(_))), "{first}, {second}");
                }
                bytes.extend_from_slice(&whole[second..]);
                let Ok(Start::Message(_, place)) = single_frame.next(&mut bytes, LIMIT) else {
                    panic!("no text in {first}, {second}, and the rest");
                };
                assert_eq!(bytes[place], *text.as_bytes());
            }
        }
    }

    #[test]
    fn text_that_is_not_utf8_ends_before_all_of_it_has_come() {
        let whole = frame(TEXT, b"a\xed\xa0\x80 and more");
        let header = whole.len() - b"a\xed\xa0\x80 and more".len();
        let mut single_frame = SingleFrame::default();
        let mut bytes = whole[..header + 2].to_vec();
        assert!(
            single_frame.next(&mut bytes, LIMIT).is_ok(),
            "it may be UTF-8 yet"
        );
        bytes.extend_from_slice(&whole[header + 2..header + 3]);
        assert!(matches!(
            single_frame.next(&mut bytes, LIMIT),
            Err(Error::Utf8(_))
        ));
        let mut bytes = frame(TEXT, b"cut \xe2\x82");
        let end = SingleFrame::default().next(&mut bytes, LIMIT);
        assert!(
            matches!(end, Err(Error::Utf8(_))),
            "no character is cut at the end"
        );
    }

    #[test]
    fn text_that_is_not_utf8_is_an_error() {
        let mut bytes = frame(TEXT, b"\xc3\x28");
        assert!(matches!(
            SingleFrame::default().next(&mut bytes, LIMIT),
            Err(Error::Utf8(_))
        ));
    }
}
