//! Reads what a server sends back, in whatever pieces it comes, and checks it.

use echobeat_frames::{CLOSE, PING, PONG, TEXT};

use crate::Failure;
use crate::traffic::Traffic;

/// Of so many echoes, one is compared byte for byte; of the others only the header, for the
/// generator must be cheaper than the server. A prime, so that every message has its turn.
const SAMPLE: usize = 61;

/// The longest payload of a small frame.
const SMALL: usize = 125;

/// What has come back on a connection.
#[derive(Debug, Default)]
pub struct Echoes {
    /// Whole echoes.
    whole: usize,
    /// Bytes of the next one.
    position: usize,
    aside: SmallFrame,
}

impl Echoes {
    /// Takes bytes as they came, and returns the number of echoes that are now whole.
    pub fn read(&mut self, traffic: &Traffic, mut bytes: &[u8]) -> Result<usize, Failure> {
        let before = self.whole;
        while !bytes.is_empty() {
            bytes = if self.position == 0 && self.begins_with_echo(traffic, bytes) {
                self.read_echo(traffic, bytes)?
            } else {
                self.read_piece(traffic, bytes)?
            };
        }
        Ok(self.whole - before)
    }

    fn begins_with_echo(&self, traffic: &Traffic, bytes: &[u8]) -> bool {
        bytes.len() >= traffic.echo && self.aside.is_empty() && bytes.starts_with(traffic.header())
    }

    /// The fast path.
    fn read_echo<'b>(&mut self, traffic: &Traffic, bytes: &'b [u8]) -> Result<&'b [u8], Failure> {
        let (echo, rest) = bytes.split_at(traffic.echo);
        if self.whole.is_multiple_of(SAMPLE) && echo != traffic.echo_of(self.whole) {
            return Err(self.differs());
        }
        self.whole += 1;
        Ok(rest)
    }

    fn read_piece<'b>(&mut self, traffic: &Traffic, bytes: &'b [u8]) -> Result<&'b [u8], Failure> {
        if self.position > 0 || traffic.head == 0 {
            return self.read_rest(traffic, bytes);
        }
        self.aside.push(bytes[0]);
        if self.aside.bytes == traffic.header()[..2] {
            self.position = 2;
            self.aside.clear();
        } else if self.aside.take()? == Some(Aside::Close) {
            return Err("the server closes the connection".into());
        }
        Ok(&bytes[1..])
    }

    /// Reads on in an echo that has begun.
    fn read_rest<'b>(&mut self, traffic: &Traffic, bytes: &'b [u8]) -> Result<&'b [u8], Failure> {
        let end = traffic.echo.min(self.position + bytes.len());
        let (piece, rest) = bytes.split_at(end - self.position);
        let checked = match self.whole % SAMPLE {
            0 => end,
            _ => end.min(traffic.head).max(self.position),
        };
        let expected = &traffic.echo_of(self.whole)[self.position..checked];
        if !piece.starts_with(expected) {
            return Err(self.differs());
        }
        self.position = end;
        if end == traffic.echo {
            self.position = 0;
            self.whole += 1;
        }
        Ok(rest)
    }

    fn differs(&self) -> Failure {
        format!(
            "echo {} of a connection differs from what was sent",
            self.whole
        )
        .into()
    }
}

/// What a server sends between the echoes.
#[derive(Debug, PartialEq, Eq)]
pub enum Aside {
    HeartBeat,
    Ping(Vec<u8>),
    Pong,
    Close,
}

/// A frame of at most 125 bytes that is no echo, as far as it has come.
#[derive(Debug, Default)]
pub struct SmallFrame {
    bytes: Vec<u8>,
}

impl SmallFrame {
    pub fn push(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn clear(&mut self) {
        self.bytes.clear();
    }

    /// What the frame is, once it is whole.
    pub fn take(&mut self) -> Result<Option<Aside>, Failure> {
        let [first, length, payload @ ..] = &self.bytes[..] else {
            return Ok(None);
        };
        let length = usize::from(*length);
        if length <= SMALL && payload.len() < length {
            return Ok(None);
        }
        let aside = match (*first, payload) {
            (TEXT, b"heart beat") => Aside::HeartBeat,
            (CLOSE, _) => Aside::Close,
            (PING, data) => Aside::Ping(data.to_vec()),
            (PONG, _) => Aside::Pong,
            _ => {
                return Err(
                    format!("no echo is a frame that begins {first:02x} {length:02x}").into(),
                );
            }
        };
        self.clear();
        Ok(Some(aside))
    }
}
