//! Compressed messages, and the echoes that come back for them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;

use echobeat_frames::{CLOSE, frame, split_frame, split_header};
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush};

use super::Terms;
use crate::Failure;
use crate::cases::Load;
use crate::client;
use crate::json;
use crate::load::Messages;
use crate::servers::Running;

/// First byte of a compressed text in one frame: FIN, RSV1, and the opcode.
const COMPRESSED_TEXT: u8 = 0xc1;

/// Payload of all messages, or more: several times the largest window, so that no message is in a
/// window when it is sent again.
const VARIETY: usize = 128 << 10;

/// Payload of the messages that are checked, or more.
const CHECKED: usize = 1 << 20;

/// Longest header of a server's frame.
const MAX_HEADER: usize = 10;

/// Payload of frames that are no echoes: heart beats and control frames.
const MAX_ASIDE: u64 = 125;

/// End of an empty stored block, which is not sent (RFC 7692, section 7.2.1).
const FLUSHED: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Compressed messages.
#[derive(Debug)]
pub struct Compressed {
    terms: Terms,
    /// Each message as it is before compression.
    plain: Vec<String>,
    /// All frames, twice: so that as many as are in flight can be written at once from anywhere.
    frames: Vec<u8>,
    /// End of each frame of the first time.
    ends: Vec<usize>,
}

impl Compressed {
    pub fn new(load: &Load, terms: Terms) -> Self {
        let count = load.in_flight.max(2).max(VARIETY / load.size);
        let plain: Vec<_> = (0..count)
            .map(|number| json::message(load.size, number))
            .collect();
        let (mut frames, mut ends) = (Vec::new(), Vec::new());
        for message in &plain {
            let compressed = compress(message.as_bytes(), terms.client_window());
            frames.extend(frame(COMPRESSED_TEXT, &compressed));
            ends.push(frames.len());
        }
        Self {
            terms,
            plain,
            frames: frames.repeat(2),
            ends,
        }
    }

    /// End of the frame before that of this number, over all turns.
    fn start(&self, number: usize) -> usize {
        let (turns, number) = (number / self.ends.len(), number % self.ends.len());
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        turns * self.turn() + start
    }

    /// Sends messages one after another, and compares what comes back with what they were. Returns
    /// bytes of the echoes by those of the messages.
    pub fn check(&self, server: &Running) -> Result<f64, Failure> {
        let mut stream = self.connect(server)?;
        let mut inflate = Inflate::new(false, 15);
        let (mut sent, mut came) = (0, 0);
        for (number, plain) in self.plain.iter().enumerate() {
            if sent >= CHECKED {
                break;
            }
            stream.write_all(&self.frames[self.start(number)..self.ends[number]])?;
            let echo = read_echo(&mut stream)?;
            if !self.terms.has_takeover() {
                inflate.reset(false);
            }
            if decompress(&mut inflate, &echo, plain.len())? != plain.as_bytes() {
                return Err(format!("echo {number} differs from what was sent").into());
            }
            sent += plain.len();
            came += echo.len();
        }
        Ok(came as f64 / sent as f64)
    }

    /// Sends each message once on a connection, and waits for its echo.
    pub fn exchange(&self, stream: &mut TcpStream) -> Result<(), Failure> {
        for number in 0..self.ends.len() {
            stream.write_all(&self.frames[self.start(number)..self.ends[number]])?;
            read_echo(stream)?;
        }
        Ok(())
    }
}

impl Messages for Compressed {
    type Echoes = Echoes;

    fn connect(&self, server: &Running) -> Result<TcpStream, Failure> {
        client::connect_with(server.address, &self.terms.extensions())
    }

    fn size(&self, first: usize, count: usize) -> usize {
        self.start(first + count) - self.start(first)
    }

    fn turn(&self) -> usize {
        self.frames.len() / 2
    }

    fn frames(&self, range: Range<usize>) -> &[u8] {
        &self.frames[range]
    }

    fn read(&self, echoes: &mut Echoes, bytes: &[u8]) -> Result<usize, Failure> {
        echoes.read(bytes)
    }

    fn says_goodbye(&self) -> bool {
        true
    }
}

/// Frames as they come back on a connection.
#[derive(Debug, Default)]
pub struct Echoes {
    /// Part of a header.
    header: Vec<u8>,
    /// Payload of a frame that is still to come.
    left: u64,
    is_echo: bool,
}

impl Echoes {
    /// Takes bytes as they came, and returns the number of echoes that are now whole.
    fn read(&mut self, mut bytes: &[u8]) -> Result<usize, Failure> {
        let mut whole = 0;
        while !bytes.is_empty() {
            if self.left > 0 {
                let piece = self.left.min(bytes.len() as u64);
                bytes = &bytes[piece as usize..];
                self.left -= piece;
            } else {
                bytes = self.read_header(bytes)?;
                if !self.header.is_empty() {
                    return Ok(whole);
                }
            }
            if self.left == 0 && self.is_echo {
                whole += 1;
            }
        }
        Ok(whole)
    }

    /// Reads a header, or what there is of it, and returns what is behind it.
    fn read_header<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Failure> {
        let before = self.header.len();
        let more = bytes.len().min(MAX_HEADER - before);
        self.header.extend(&bytes[..more]);
        let Some((header, _)) = split_header(&self.header) else {
            return Ok(&bytes[more..]);
        };
        self.header.clear();
        self.left = header.length;
        self.is_echo = is_echo(header.first, header.length)?;
        Ok(&bytes[header.size - before..])
    }
}

/// Whether a frame is an echo, and nothing that the server sends by itself.
fn is_echo(first: u8, length: u64) -> Result<bool, Failure> {
    match first {
        COMPRESSED_TEXT => Ok(true),
        CLOSE => Err("the server closes the connection".into()),
        _ if length <= MAX_ASIDE => Ok(false),
        _ => Err(format!("no compressed echo is a frame that begins {first:02x}").into()),
    }
}

/// Payload of the next echo.
fn read_echo(stream: &mut TcpStream) -> Result<Vec<u8>, Failure> {
    let mut received = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        while let Some((frame, rest)) = split_frame(&received) {
            if is_echo(frame.header.first, frame.header.length)? {
                return match rest.len() {
                    0 => Ok(frame.payload.to_vec()),
                    _ => Err("something follows an echo".into()),
                };
            }
            received = rest.to_vec();
        }
        match stream.read(&mut piece)? {
            0 => return Err("the server ends the connection".into()),
            read => received.extend(&piece[..read]),
        }
    }
}

/// A message as zlib compresses it by default.
fn compress(plain: &[u8], window: u8) -> Vec<u8> {
    let mut deflate = Deflate::new_with_config(DeflateConfig {
        // A negative number stands for a raw stream.
        window_bits: -i32::from(window),
        ..DeflateConfig::default()
    });
    let mut compressed = vec![0; plain.len() + plain.len() / 8 + 64];
    let done = deflate.compress(plain, &mut compressed, DeflateFlush::SyncFlush);
    done.expect("there is room");
    compressed.truncate(deflate.total_out() as usize - FLUSHED.len());
    compressed
}

/// The message of a payload, of so many bytes.
fn decompress(inflate: &mut Inflate, payload: &[u8], size: usize) -> Result<Vec<u8>, Failure> {
    let whole = [payload, &FLUSHED].concat();
    let mut plain = vec![0; size + 1];
    let before = inflate.total_out();
    let done = inflate.decompress(&whole, &mut plain, InflateFlush::SyncFlush);
    done.map_err(|error| error.as_str())?;
    plain.truncate((inflate.total_out() - before) as usize);
    Ok(plain)
}
