//! Frames as a client writes them, and messages as their frames come.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::ws::frames::{BINARY, CONTINUATION, FIN, Header, MAX_CONTROL_PAYLOAD, RSV, RSV1, TEXT};

/// Opcode of a Close.
pub(super) const CLOSE: u8 = 0x8;
/// Opcode of a Ping.
pub(super) const PING: u8 = 0x9;
/// Opcode of a Pong.
pub(super) const PONG: u8 = 0xa;

/// Bit in the second byte of a frame that has a mask.
const MASKED: u8 = 0x80;

/// Most frames of a message that are put together.
const MAX_FRAMES: u32 = 100_000;

/// Appends a client's frame: its first byte, and the payload under a mask.
pub(super) fn put_frame(first: u8, payload: &[u8], output: &mut BytesMut) {
    let mask: [u8; 4] = rand::random();
    output.reserve(payload.len() + 14);
    output.put_u8(first);
    match payload.len() {
        short @ 0..126 => output.put_u8(MASKED | short as u8),
        middle @ 126..=0xffff => {
            output.put_u8(MASKED | 126);
            output.put_u16(middle as u16);
        }
        long => {
            output.put_u8(MASKED | 127);
            output.put_u64(long as u64);
        }
    }
    output.put_slice(&mask);
    let start = output.len();
    output.put_slice(payload);
    let wide = u32::from_ne_bytes(mask);
    let (words, rest) = output[start..].as_chunks_mut();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// A message, or a control frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) opcode: u8,
    pub(super) payload: Bytes,
    /// Number of its frames.
    pub(super) frames: u32,
    pub(super) is_compressed: bool,
}

/// Puts messages together from their frames.
#[derive(Debug)]
pub(super) struct Assembler {
    /// Most bytes of a message.
    limit: usize,
    /// Whether permessage-deflate was agreed.
    deflate: bool,
    partial: Option<Partial>,
}

/// A message whose last frame has not come.
#[derive(Debug)]
struct Partial {
    opcode: u8,
    payload: BytesMut,
    frames: u32,
    is_compressed: bool,
}

impl Assembler {
    pub(super) fn new(limit: usize, deflate: bool) -> Self {
        Self {
            limit,
            deflate,
            partial: None,
        }
    }

    /// Most bytes that a frame takes.
    pub(super) fn most(&self) -> usize {
        self.limit + 14
    }

    /// Takes the next message or control frame from what has come, once it is whole.
    ///
    /// # Errors
    /// When a frame breaks RFC 6455: the rule that it breaks.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Incoming>, &'static str> {
        loop {
            let Some(header) = Header::parse(input) else {
                return Ok(None);
            };
            self.check(&header)?;
            if (input.len() as u64) < header.frame_size() {
                return Ok(None);
            }
            input.advance(header.size);
            let payload = input.split_to(header.payload as usize);
            if let Some(whole) = self.take(&header, payload) {
                return Ok(Some(whole));
            }
        }
    }

    fn check(&self, header: &Header) -> Result<(), &'static str> {
        let so_far = self.partial.as_ref().map_or(0, |part| part.payload.len());
        let reserved = header.first & RSV;
        match header.opcode() {
            _ if header.mask.is_some() => Err("a frame of the server has a mask"),
            CLOSE | PING | PONG if reserved != 0 => Err("a control frame has a reserved bit"),
            CLOSE | PING | PONG if !header.is_final() => Err("a control frame is in fragments"),
            CLOSE | PING | PONG if header.payload > MAX_CONTROL_PAYLOAD => {
                Err("a control frame has more than 125 bytes")
            }
            CLOSE | PING | PONG => Ok(()),
            TEXT | BINARY if self.partial.is_some() => {
                Err("a message begins in the middle of another")
            }
            TEXT | BINARY if reserved != 0 && !(reserved == RSV1 && self.deflate) => {
                Err("a reserved bit is set that no extension gives a meaning")
            }
            CONTINUATION if self.partial.is_none() => Err("a continuation follows no message"),
            CONTINUATION if reserved != 0 => Err("a continuation has a reserved bit"),
            TEXT | BINARY | CONTINUATION => self.check_size(header, so_far),
            _ => Err("the opcode is reserved"),
        }
    }

    fn check_size(&self, header: &Header, so_far: usize) -> Result<(), &'static str> {
        let frames = self.partial.as_ref().map_or(0, |part| part.frames);
        let is_too_large = header.payload > (self.limit - so_far.min(self.limit)) as u64;
        match is_too_large || frames >= MAX_FRAMES {
            true => Err("a message is larger than any that was sent"),
            false => Ok(()),
        }
    }

    /// Adds a frame, and returns the message that it ends, or the control frame that it is.
    fn take(&mut self, header: &Header, payload: BytesMut) -> Option<Incoming> {
        if header.is_control() {
            return Some(Incoming {
                opcode: header.opcode(),
                payload: payload.freeze(),
                frames: 1,
                is_compressed: false,
            });
        }
        let partial = match self.partial.take() {
            Some(mut partial) => {
                partial.payload.unsplit(payload);
                partial.frames += 1;
                partial
            }
            None => Partial {
                opcode: header.opcode(),
                payload,
                frames: 1,
                is_compressed: header.first & RSV1 != 0,
            },
        };
        if header.first & FIN == 0 {
            self.partial = Some(partial);
            return None;
        }
        Some(Incoming {
            opcode: partial.opcode,
            payload: partial.payload.freeze(),
            frames: partial.frames,
            is_compressed: partial.is_compressed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(deflate: bool, bytes: &[u8]) -> Result<Option<Incoming>, &'static str> {
        Assembler::new(1_000, deflate).next(&mut BytesMut::from(bytes))
    }

    #[test]
    fn a_clients_frame_has_its_payload_under_a_mask() {
        for size in [0, 1, 7, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..=255).cycle().take(size).collect();
            let mut output = BytesMut::new();
            put_frame(FIN | BINARY, &payload, &mut output);
            let header = Header::parse(&output).unwrap();
            assert_eq!(header.payload, size as u64);
            let mask = header.mask.unwrap();
            let masked = output[header.size..].iter().zip(mask.iter().cycle());
            assert!(masked.map(|(byte, mask)| byte ^ mask).eq(payload));
        }
    }

    #[test]
    fn fragments_become_one_message_around_a_control_frame() {
        let bytes = [1, 1, b'a', 0x89, 1, b'p', 0, 1, b'b', 0x80, 0];
        let mut input = BytesMut::from(&bytes[..]);
        let mut assembler = Assembler::new(10, false);
        let ping = assembler.next(&mut input).unwrap().unwrap();
        assert_eq!((ping.opcode, &ping.payload[..]), (PING, &b"p"[..]));
        let message = assembler.next(&mut input).unwrap().unwrap();
        assert_eq!((&message.payload[..], message.frames), (&b"ab"[..], 3));
        assert_eq!(assembler.next(&mut input), Ok(None));
    }

    #[test]
    fn frames_that_break_the_protocol_are_told_of() {
        for (deflate, bytes, told) in [
            (false, &[0x81, 0x80, 1, 2, 3, 4][..], "mask"),
            (false, &[0xc1, 0], "reserved bit"),
            (true, &[0xa1, 0], "reserved bit"),
            (true, &[0xc9, 0], "control frame has a reserved bit"),
            (false, &[0x09, 0], "in fragments"),
            (false, &[0x89, 126, 0, 126], "125 bytes"),
            (false, &[0x80, 0], "follows no message"),
            (false, &[0x83, 0], "opcode"),
            (false, &[1, 0, 1, 0], "middle of another"),
            (false, &[0x82, 126, 4, 0], "larger"),
        ] {
            let error = next(deflate, bytes).unwrap_err();
            assert!(error.contains(told), "{bytes:?}: {error}");
        }
        assert!(next(true, &[0xc1, 0]).unwrap().unwrap().is_compressed);
    }
}
