//! Frames made anew on their way to one side: with masks of their own, and cut into fragments.

use crate::session::unmask;
use crate::ws::frames::{CONTINUATION, FIN, Header, put_header_of};

/// Bit of the second byte of a header that says that the payload is masked.
const MASKED: u8 = 0x80;

/// Frames on their way to one side.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Most bytes of payload in a frame of a message.
    fragment: u64,
    /// First byte of the next frame, without FIN.
    first: u8,
    /// FIN, if the last frame is to have it.
    fin: u8,
    /// Bytes of payload of the frame under way that have not been put.
    left: u64,
    /// Bytes of payload that follow it in further frames.
    rest: u64,
    mask: Option<[u8; 4]>,
}

/// Whether frames have a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Masks {
    /// Each has another, at random (RFC 6455, section 5.3).
    Fresh,
    /// They have this one, or none.
    Kept(Option<[u8; 4]>),
}

impl Masks {
    fn next(self) -> Option<[u8; 4]> {
        match self {
            Self::Fresh => Some(rand::random()),
            Self::Kept(mask) => mask,
        }
    }
}

impl Outgoing {
    pub(super) fn new(fragment: u64) -> Self {
        Self {
            fragment,
            first: CONTINUATION,
            fin: 0,
            left: 0,
            rest: 0,
            mask: None,
        }
    }

    /// Begins a frame with this first byte, and so many bytes of payload. A control frame stays
    /// whole.
    pub(super) fn begin(&mut self, first: u8, payload: u64, masks: Masks, bytes: &mut Vec<u8>) {
        let is_control = first & 0x08 != 0;
        self.fin = first & FIN;
        self.first = first & !FIN;
        self.rest = payload;
        let most = if is_control { u64::MAX } else { self.fragment };
        self.next(most, masks, bytes);
    }

    /// Puts the header of the next frame.
    fn next(&mut self, most: u64, masks: Masks, bytes: &mut Vec<u8>) {
        self.left = self.rest.min(most);
        self.rest -= self.left;
        let fin = if self.rest == 0 { self.fin } else { 0 };
        let start = bytes.len();
        put_header_of(self.first | fin, self.left as usize, bytes);
        self.first = CONTINUATION;
        self.mask = masks.next();
        if let Some(mask) = self.mask {
            bytes[start + 1] |= MASKED;
            bytes.extend_from_slice(&mask);
        }
    }

    /// Puts a piece of the payload. Bytes beyond its size are left out.
    pub(super) fn put(&mut self, mut payload: &[u8], masks: Masks, bytes: &mut Vec<u8>) {
        while !payload.is_empty() && (self.left > 0 || self.rest > 0) {
            if self.left == 0 {
                self.next(self.fragment, masks, bytes);
            }
            let size = usize::try_from(self.left).map_or(payload.len(), |it| it.min(payload.len()));
            let (piece, rest) = payload.split_at(size);
            let start = bytes.len();
            bytes.extend_from_slice(piece);
            if let Some(mask) = &mut self.mask {
                unmask(&mut bytes[start..], *mask);
                mask.rotate_left(size % 4);
            }
            self.left -= size as u64;
            payload = rest;
        }
    }

    /// Puts a whole message or control frame.
    pub(super) fn put_whole(
        &mut self,
        first: u8,
        payload: &[u8],
        masks: Masks,
        bytes: &mut Vec<u8>,
    ) {
        self.begin(first | FIN, payload.len() as u64, masks, bytes);
        self.put(payload, masks, bytes);
    }
}

/// Puts frames of a server as they are, but with masks. Of the last one the payload may be missing.
pub(super) fn put_masked(mut frames: &[u8], masks: Masks, bytes: &mut Vec<u8>) {
    while let Some(header) = Header::parse(frames) {
        let (head, rest) = frames.split_at(header.size);
        let size = usize::try_from(header.payload).map_or(rest.len(), |it| it.min(rest.len()));
        let start = bytes.len();
        bytes.extend_from_slice(head);
        let mask = masks.next();
        if let Some(mask) = mask {
            bytes[start + 1] |= MASKED;
            bytes.extend_from_slice(&mask);
        }
        let start = bytes.len();
        bytes.extend_from_slice(&rest[..size]);
        unmask(&mut bytes[start..], mask.unwrap_or_default());
        frames = &rest[size..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Masks = Masks::Kept(None);

    #[test]
    fn messages_are_cut_and_control_frames_are_not() {
        for (fragment, first, expected) in [
            (u64::MAX, 0x81, &b"\x81\x03hey"[..]),
            (2, 0x81, b"\x01\x02he\x80\x01y"),
            (1, 0x41, b"\x41\x01h\x00\x01e\x00\x01y"),
            (2, 0x89, b"\x89\x03hey"),
            (2, 0x80, b"\x00\x02he\x80\x01y"),
        ] {
            let (mut outgoing, mut bytes) = (Outgoing::new(fragment), Vec::new());
            outgoing.begin(first, 3, PLAIN, &mut bytes);
            for byte in b"hey" {
                outgoing.put(&[*byte], PLAIN, &mut bytes);
            }
            assert_eq!(bytes, expected, "{fragment} {first:x}");
        }
        let (mut outgoing, mut bytes) = (Outgoing::new(1), Vec::new());
        outgoing.put_whole(0x82, b"", PLAIN, &mut bytes);
        outgoing.put(b"beyond", PLAIN, &mut bytes);
        assert_eq!(bytes, b"\x82\x00");
    }

    #[test]
    fn every_frame_has_a_mask_of_its_own_wherever_its_payload_is_cut() {
        let payload: Vec<u8> = (0..=255).collect();
        let mut keys = Vec::new();
        for cut in [1, 2, 3, 5, 256] {
            let (mut outgoing, mut bytes) = (Outgoing::new(u64::MAX), Vec::new());
            outgoing.begin(0x82, 256, Masks::Fresh, &mut bytes);
            for piece in payload.chunks(cut) {
                outgoing.put(piece, Masks::Fresh, &mut bytes);
            }
            let header = Header::parse(&bytes).unwrap();
            assert_eq!((header.payload, bytes.len() - header.size), (256, 256));
            let mask = header.mask.unwrap();
            unmask(&mut bytes[header.size..], mask);
            assert_eq!(bytes[header.size..], payload, "{cut}");
            keys.push(mask);
        }
        // That all are the same happens once in 2^128 times.
        assert!(keys.windows(2).any(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn frames_that_are_broken_stay_so_under_a_mask() {
        let mask = Masks::Kept(Some([1, 1, 1, 1]));
        let mut bytes = Vec::new();
        put_masked(b"\x89\x01a\x82\x7f\x80\0\0\0\0\0\0\0", mask, &mut bytes);
        let expected = b"\x89\x81\x01\x01\x01\x01\x60\x82\xff\x80\0\0\0\0\0\0\0\x01\x01\x01\x01";
        assert_eq!(bytes, expected);
    }
}
