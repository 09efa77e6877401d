//! WebSocket frames (RFC 6455, section 5.2) for tests, the benchmark and fuzz targets: built and
//! taken apart without the server's own code, so that they can judge it.

/// The first byte of a text message in one frame: FIN, and the opcode.
pub const TEXT: u8 = 0x81;
/// The first byte of a binary message in one frame.
pub const BINARY: u8 = 0x82;
/// The first byte of a Close.
pub const CLOSE: u8 = 0x88;
/// The first byte of a Ping.
pub const PING: u8 = 0x89;
/// The first byte of a Pong.
pub const PONG: u8 = 0x8a;
/// The first byte of a frame that begins a text message in fragments.
pub const TEXT_BEGUN: u8 = 0x01;
/// The first byte of a frame that begins a binary message in fragments.
pub const BINARY_BEGUN: u8 = 0x02;
/// The first byte of a frame in the middle of a message.
pub const CONTINUED: u8 = 0x00;
/// The first byte of a frame that ends a message.
pub const CONTINUED_LAST: u8 = 0x80;

/// The mask of [`frame`]. Not zero: unmasking must have something to do.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The bit of a frame's second byte that says that it has a mask.
const IS_MASKED: u8 = 0x80;

/// A client's frame; `first` is FIN, the reserved bits, and the opcode.
#[must_use]
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    masked(first, MASK, payload)
}

/// A client's frame with a mask of one's own.
#[must_use]
pub fn masked(first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = declare(first, IS_MASKED, payload.len() as u64);
    frame.extend(mask);
    let header = frame.len();
    frame.extend(payload);
    apply(mask, &mut frame[header..]);
    frame
}

/// The header of a client's frame that declares `length` bytes of payload.
#[must_use]
pub fn header(first: u8, length: u64) -> Vec<u8> {
    let mut header = declare(first, IS_MASKED, length);
    header.extend(MASK);
    header
}

/// A client's text frame.
#[must_use]
pub fn text_frame(text: &str) -> Vec<u8> {
    frame(TEXT, text.as_bytes())
}

/// A client's Close frame.
#[must_use]
pub fn close_frame(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// A server's frame.
#[must_use]
pub fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = declare(first, 0, payload.len() as u64);
    frame.extend(payload);
    frame
}

/// A server's text frame: the echo of [`text_frame`].
#[must_use]
pub fn text_echo(text: &str) -> Vec<u8> {
    server_frame(TEXT, text.as_bytes())
}

/// A frame's header without a mask, its length in the shortest form.
fn declare(first: u8, is_masked: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..126 => header.push(is_masked | length as u8),
        126..=0xffff => {
            header.push(is_masked | 126);
            header.extend((length as u16).to_be_bytes());
        }
        _ => {
            header.push(is_masked | 127);
            header.extend(length.to_be_bytes());
        }
    }
    header
}

/// Puts a mask on a payload, or takes it off.
fn apply(mask: [u8; 4], payload: &mut [u8]) {
    // Most frames of fuzz targets have no mask, and an instrumented loop takes long.
    if mask == [0; 4] {
        return;
    }
    // In words, for a test without optimization that sends 16 MiB.
    let mask = u32::from_ne_bytes(mask);
    let (words, rest) = payload.as_chunks_mut();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ mask).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.to_ne_bytes()) {
        *byte ^= mask;
    }
}

/// The header of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// FIN, the reserved bits, and the opcode.
    pub first: u8,
    /// Bytes of the header itself.
    pub size: usize,
    /// Bytes of payload that it declares.
    pub length: u64,
    /// The mask, which only a client's frame has.
    pub mask: Option<[u8; 4]>,
}

/// A whole frame.
#[derive(Debug)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// The payload as it stands, under its mask.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// The payload without its mask.
    #[must_use]
    pub fn unmasked(&self) -> Vec<u8> {
        let mut payload = self.payload.to_vec();
        apply(self.header.mask.unwrap_or_default(), &mut payload);
        payload
    }
}

/// The header that `bytes` begin with, and what is behind it; `None` if it is not whole.
#[must_use]
pub fn split_header(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match second & !IS_MASKED {
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
    let (mask, rest) = match second & IS_MASKED {
        0 => (None, rest),
        _ => {
            let (mask, rest) = rest.split_first_chunk()?;
            (Some(*mask), rest)
        }
    };
    let header = Header {
        first,
        size: bytes.len() - rest.len(),
        length,
        mask,
    };
    Some((header, rest))
}

/// The frame that `bytes` begin with, and what is behind it; `None` if it is not whole.
#[must_use]
pub fn split_frame(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let (header, rest) = split_header(bytes)?;
    let (payload, rest) = rest.split_at_checked(header.length.try_into().ok()?)?;
    Some((Frame { header, payload }, rest))
}
