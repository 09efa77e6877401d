//! Format of frames (RFC 6455, section 5.2): headers, and the ends of frames and messages.

use bytes::BufMut;

/// Size of the longest header of a client's frame: 2 bytes, 8 of length, 4 of mask.
pub(crate) const MAX_FRAME_HEADER: usize = 14;

/// Maximum bytes of a control frame's payload (RFC 6455, section 5.5).
pub(crate) const MAX_CONTROL_PAYLOAD: u64 = 125;

/// Opcode of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Text = 0x1,
    Binary = 0x2,
    Ping = 0x9,
    Pong = 0xa,
}

/// Opcodes of data frames.
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = Opcode::Text as u8;
pub(crate) const BINARY: u8 = Opcode::Binary as u8;

/// Bit in the first byte of the last frame of a message.
pub(crate) const FIN: u8 = 0x80;

/// Reserved bits in the first byte of a frame.
pub(crate) const RSV: u8 = 0x70;

/// The first of these bits: it marks the first frame of a compressed message (RFC 7692, section 6).
pub(crate) const RSV1: u8 = 0x40;

/// Size of the header of a server's frame: at least 4 bytes less than that of a client's frame,
/// which has a mask.
pub(crate) fn header_size(payload: usize) -> usize {
    match payload {
        0..126 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// Appends to `bytes` the header of a server's frame that is a whole message.
pub(crate) fn put_header(opcode: Opcode, payload: usize, bytes: &mut impl BufMut) {
    put_header_of(FIN | opcode as u8, payload, bytes);
}

/// Appends to `bytes` the header of a server's frame, with this first byte.
pub(crate) fn put_header_of(first: u8, payload: usize, bytes: &mut impl BufMut) {
    bytes.put_u8(first);
    match payload {
        0..126 => bytes.put_u8(payload as u8),
        126..=0xffff => {
            bytes.put_u8(126);
            bytes.put_u16(payload as u16);
        }
        _ => {
            bytes.put_u8(127);
            bytes.put_u64(payload as u64);
        }
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// FIN, three reserved bits, and the opcode.
    pub(crate) first: u8,
    /// Bytes of the header itself.
    pub(crate) size: usize,
    /// Bytes of the payload that follows.
    pub(crate) payload: u64,
    pub(crate) mask: Option<[u8; 4]>,
}

impl Header {
    /// The header at the start of `bytes`, if it is complete.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        let (payload, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u16::from_be_bytes(*length).into(), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            short => (short.into(), rest),
        };
        let (mask, rest) = match second & 0x80 {
            0 => (None, rest),
            _ => {
                let (mask, rest) = rest.split_first_chunk()?;
                (Some(*mask), rest)
            }
        };
        Some(Self {
            first,
            size: bytes.len() - rest.len(),
            payload,
            mask,
        })
    }

    /// Bytes of the frame, header and payload together.
    pub(crate) fn frame_size(&self) -> u64 {
        self.payload.saturating_add(self.size as u64)
    }

    /// The opcode, which may be a reserved one.
    pub(crate) fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    pub(crate) fn is_control(&self) -> bool {
        self.first & 0x08 != 0
    }

    pub(crate) fn is_final(&self) -> bool {
        self.first & 0x80 != 0
    }
}

/// Error of a message that never ends, in fragments that are empty or nearly so.
#[derive(Debug, Default, thiserror::Error)]
#[error("{0} bytes of fragments, and no whole message")]
pub(crate) struct Endless(pub(crate) u64);

/// Tracks frames as their bytes pass, to find the end of each frame and message.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// Bytes of the current frame that have not passed.
    left: u64,
    /// Whether a message is under way whose last fragment has not begun.
    is_fragmented: bool,
    /// Bytes of the message's fragments so far, headers included.
    fragments: u64,
    /// Number of the message's frames so far.
    count: u32,
}

impl Frames {
    /// Whether the bytes so far are whole messages and whole control frames.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.left == 0 && !self.is_fragmented
    }

    /// Bytes of the current frame that have not passed. At 0 the next one may [begin](Self::begin).
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Bytes of the unfinished message, by the headers of its frames so far. Control frames in the
    /// middle of it do not count.
    pub(crate) fn fragments(&self) -> u64 {
        self.fragments
    }

    /// Number of the frames of the message so far, or of the last one.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Begins the next frame.
    pub(crate) fn begin(&mut self, header: &Header) {
        self.left = header.frame_size();
        if header.is_control() {
            return;
        }
        self.count = match self.is_fragmented {
            true => self.count.saturating_add(1),
            false => 1,
        };
        self.is_fragmented = !header.is_final();
        self.fragments = match self.is_fragmented {
            true => self.fragments.saturating_add(header.frame_size()),
            false => 0,
        };
    }

    /// Notes that this many bytes of the current frame have passed.
    pub(crate) fn pass(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    #[test]
    fn a_header_is_parsed_once_it_is_whole() {
        for (length, payload) in [
            (vec![0x80], 0),
            (vec![0x80 | 125], 125),
            (vec![0x80 | 126, 0, 126], 126),
            (vec![0x80 | 126, 0xff, 0xff], 0xffff),
            (vec![0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0], 1 << 16),
            (
                vec![0x80 | 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                u64::MAX,
            ),
        ] {
            let bytes = [&[0x82][..], &length, &MASK].concat();
            for part in 0..bytes.len() {
                assert_eq!(Header::parse(&bytes[..part]), None, "{part} of {bytes:?}");
            }
            let header = Header {
                first: 0x82,
                size: bytes.len(),
                payload,
                mask: Some(MASK),
            };
            assert_eq!(
                Header::parse(&[&bytes[..], b"payload"].concat()),
                Some(header)
            );
        }
    }

    #[test]
    fn a_frame_without_a_mask_has_a_shorter_header() {
        let header = Header::parse(&[0x81, 5]).unwrap();
        assert_eq!((header.size, header.payload, header.mask), (2, 5, None));
    }

    #[test]
    fn a_servers_header_has_its_length_in_the_shortest_form() {
        for (payload, expected) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (0xffff, &[0x81, 126, 0xff, 0xff]),
            (1 << 16, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut bytes = Vec::new();
            put_header(Opcode::Text, payload, &mut bytes);
            assert_eq!(bytes, expected);
            assert_eq!(header_size(payload), expected.len());
        }
    }

    #[test]
    fn a_message_ends_with_the_last_byte_of_its_last_frame() {
        let mut frames = Frames::default();
        // FIN and opcode, whether a message is unfinished after the frame, and its bytes so far.
        for (first, unfinished, fragments) in [
            (0x82, false, 0),
            (0x01, true, 8),
            (0x89, true, 8),
            (0x00, true, 16),
            (0x80, false, 0),
            (0x89, false, 0),
        ] {
            frames.begin(&Header::parse(&[first, 0x82, 1, 2, 3, 4]).unwrap());
            assert!(!frames.is_between_messages());
            frames.pass(7);
            assert_eq!(frames.left(), 1);
            assert!(!frames.is_between_messages());
            frames.pass(1);
            assert_eq!(frames.is_between_messages(), !unfinished, "{first:#x}");
            assert_eq!(frames.fragments(), fragments, "{first:#x}");
        }
    }
}
