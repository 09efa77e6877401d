//! The frames that are sent, and the bytes that must come back for them.

use std::net::TcpStream;
use std::ops::Range;

use echobeat_frames::{BINARY, TEXT, frame, server_frame};

use crate::Failure;
use crate::cases::{Content, Load};
use crate::client;
use crate::echoes::Echoes;
use crate::json;
use crate::load::Messages;
use crate::servers::Running;

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    WebSocket,
    /// An upgrade, after which the frames come back as they are.
    Upgraded,
    /// Plain TCP, where the frames come back as they are.
    Tcp,
}

/// Messages that differ, sent one after another and then from the start again. There are at least
/// as many as are in flight at the same time.
#[derive(Debug)]
pub struct Traffic {
    wire: Wire,
    /// Bytes of a frame as it is sent.
    frame: usize,
    /// Bytes of its echo, of which the first `head` are the header.
    pub echo: usize,
    pub head: usize,
    messages: usize,
    /// All frames, twice: so that as many as are in flight can be written at once from anywhere.
    frames: Vec<u8>,
    /// All echoes, once.
    echoes: Vec<u8>,
}

impl Traffic {
    pub fn new(load: &Load, wire: Wire) -> Self {
        let first = match load.content {
            Content::Binary => BINARY,
            Content::Text | Content::Utf8 | Content::Json => TEXT,
        };
        let messages = load.in_flight.max(2);
        let (mut frames, mut echoes) = (Vec::new(), Vec::new());
        for number in 0..messages {
            let payload = payload(load, number);
            frames.extend(frame(first, &payload));
            echoes.extend(server_frame(first, &payload));
        }
        if wire != Wire::WebSocket {
            echoes.clone_from(&frames);
        }
        let echo = echoes.len() / messages;
        Self {
            wire,
            frame: frames.len() / messages,
            echo,
            head: match wire {
                Wire::WebSocket => echo - load.size,
                Wire::Upgraded | Wire::Tcp => 0,
            },
            messages,
            frames: frames.repeat(2),
            echoes,
        }
    }

    /// What must come back for the message of this number.
    pub fn echo_of(&self, number: usize) -> &[u8] {
        let start = number % self.messages * self.echo;
        &self.echoes[start..start + self.echo]
    }

    /// The header that every echo has.
    pub fn header(&self) -> &[u8] {
        &self.echoes[..self.head]
    }
}

impl Messages for Traffic {
    type Echoes = Echoes;

    fn connect(&self, server: &Running) -> Result<TcpStream, Failure> {
        client::connect(server.address, self.wire)
    }

    fn size(&self, _: usize, count: usize) -> usize {
        count * self.frame
    }

    fn turn(&self) -> usize {
        self.frames.len() / 2
    }

    fn frames(&self, range: Range<usize>) -> &[u8] {
        &self.frames[range]
    }

    fn read(&self, echoes: &mut Echoes, bytes: &[u8]) -> Result<usize, Failure> {
        echoes.read(self, bytes)
    }

    fn says_goodbye(&self) -> bool {
        self.wire == Wire::WebSocket
    }
}

/// A payload that is no other message's.
fn payload(load: &Load, number: usize) -> Vec<u8> {
    // Multiplying by an odd number makes neighbours differ in many bits.
    let bytes = (0..load.size).map(|i| ((i + number * 31).wrapping_mul(0x9e37_79b1) >> 9) as u8);
    match load.content {
        Content::Binary => bytes.collect(),
        Content::Text => bytes.map(|byte| b' ' + byte % 95).collect(),
        Content::Utf8 => utf8(load.size, number),
        Content::Json => json::message(load.size, number).into_bytes(),
    }
}

/// Text of exactly `size` bytes, with characters of one to four bytes.
fn utf8(size: usize, number: usize) -> Vec<u8> {
    let pangram = "Zwölf Boxkämpfer jagen Виктора — 敏捷的棕色狐狸 😀 ";
    let characters = pangram.chars().cycle().skip(number);
    let mut text = String::with_capacity(size);
    for character in characters {
        if text.len() + character.len_utf8() > size {
            break;
        }
        text.push(character);
    }
    text.extend(std::iter::repeat_n('.', size - text.len()));
    text.into_bytes()
}
