//! The send_queue: what is to be sent and is not yet, in its order. Here echoes are delayed, and messages
//! cut into fragments.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::scenario::Burst;
use crate::ws::frames::{self, FIN, Opcode};

/// Echoes that may wait.
const MAX_WAITING: usize = 64;

/// Bytes of a payload that are put out at once.
const PIECE: u64 = 16 << 10;

/// First byte of a frame that goes on with a message.
const CONTINUATION: u8 = 0x0;

#[derive(Debug)]
pub(super) struct SendQueue {
    /// By how much each echo is late: the least, and the most.
    delay: (Duration, Duration),
    /// Bytes of payload that a frame has at most.
    fragment: u64,
    /// Bytes of echoes that wait, at which no more are read.
    limit: usize,
    echoes: VecDeque<Echo>,
    /// Bytes of payload in `echoes`.
    waiting: usize,
    /// What is not an echo goes before those that wait.
    others: VecDeque<Other>,
    under_way: Option<UnderWay>,
    /// Messages whose echo is out, or is not to be.
    answered: u64,
}

/// What [`SendQueue::put`] has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// Nothing: nothing is due.
    Nothing,
    /// It put a piece out, or a frame.
    Piece,
    /// It put the last piece of a message out, whose payload has so many bytes.
    Message(Opcode, usize),
}

#[derive(Debug)]
struct Echo {
    due: Instant,
    opcode: Opcode,
    payload: Bytes,
}

#[derive(Debug)]
enum Other {
    Text(Bytes),
    /// A burst, whose next message has this number.
    Burst(Burst, u64),
    /// A frame as it is.
    Frame(Vec<u8>),
}

/// A message of which a part may be out.
#[derive(Debug)]
struct UnderWay {
    opcode: Opcode,
    payload: Payload,
    /// Bytes of payload that are out.
    out: u64,
    /// Bytes of the frame at hand that are not.
    left: Option<u64>,
    is_echo: bool,
}

#[derive(Debug)]
enum Payload {
    Bytes(Bytes),
    /// Zeros, so many in all, behind this number.
    Numbered(u64, u64),
}

impl SendQueue {
    /// `limit` is how many bytes of delayed echoes may wait before nothing more is read.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            delay: (Duration::ZERO, Duration::ZERO),
            fragment: u64::MAX,
            limit,
            echoes: VecDeque::new(),
            waiting: 0,
            others: VecDeque::new(),
            under_way: None,
            answered: 0,
        }
    }

    pub(super) fn delay(&mut self, least: Duration, most: Duration) {
        self.delay = (least, most);
    }

    pub(super) fn fragment(&mut self, bytes: usize) {
        self.fragment = bytes as u64;
    }

    /// Messages whose echo is out, or is not to be.
    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    /// Whether one more echo may be put in.
    pub(super) fn has_room(&self) -> bool {
        self.echoes.len() < MAX_WAITING && self.waiting < self.limit
    }

    /// When the next echo is due, if one waits.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.echoes.front().map(|echo| echo.due)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.echoes.is_empty() && self.others.is_empty() && self.under_way.is_none()
    }

    /// Whether what is out ends in the middle of a frame.
    pub(super) fn is_mid_frame(&self) -> bool {
        let left = self.under_way.as_ref().and_then(|message| message.left);
        left.is_some()
    }

    /// Takes an echo, which is due behind all earlier ones.
    pub(super) fn echo(&mut self, now: Instant, opcode: Opcode, payload: &[u8]) {
        let (least, most) = self.delay;
        let late = rand::random_range(least..=most);
        let earlier = self.echoes.back().map_or(now, |echo| echo.due);
        self.waiting += payload.len();
        self.echoes.push_back(Echo {
            due: earlier.max(now + late),
            opcode,
            // Copied, for it may wait long, and would keep the whole buffer alive.
            payload: Bytes::copy_from_slice(payload),
        });
    }

    /// Notes a message that gets no echo.
    pub(super) fn no_echo(&mut self) {
        self.answered += 1;
    }

    pub(super) fn text(&mut self, text: &str) {
        let text = Bytes::copy_from_slice(text.as_bytes());
        self.others.push_back(Other::Text(text));
    }

    pub(super) fn burst(&mut self, burst: Burst) {
        self.others.push_back(Other::Burst(burst, 0));
    }

    /// Takes a frame that goes out as it is, between messages.
    pub(super) fn frame(&mut self, frame: Vec<u8>) {
        self.others.push_back(Other::Frame(frame));
    }

    /// Drops all of which nothing is out.
    pub(super) fn clear(&mut self) {
        self.echoes.clear();
        self.others.clear();
    }

    /// Adds the next piece of what is due to `bytes`, if there is one.
    pub(super) fn put(&mut self, now: Instant, bytes: &mut Vec<u8>) -> Put {
        if self.under_way.is_none() {
            if let Some(Other::Frame(frame)) = self.others.front() {
                bytes.extend_from_slice(frame);
                self.others.pop_front();
                return Put::Piece;
            }
            self.under_way = self.next_other().or_else(|| self.next_echo(now));
        }
        let Some(message) = &mut self.under_way else {
            return Put::Nothing;
        };
        if !message.put(self.fragment, bytes) {
            return Put::Piece;
        }
        let put = Put::Message(message.opcode, message.payload.len() as usize);
        self.answered += u64::from(message.is_echo);
        self.under_way = None;
        put
    }

    fn next_other(&mut self) -> Option<UnderWay> {
        let message = match self.others.front_mut()? {
            Other::Burst(burst, number) if *number + 1 < burst.messages => {
                let payload = Payload::Numbered(*number, burst.size);
                *number += 1;
                return Some(UnderWay::new(Opcode::Binary, payload));
            }
            Other::Burst(burst, number) => {
                UnderWay::new(Opcode::Binary, Payload::Numbered(*number, burst.size))
            }
            Other::Text(text) => UnderWay::new(Opcode::Text, Payload::Bytes(text.clone())),
            Other::Frame(_) => return None,
        };
        self.others.pop_front();
        Some(message)
    }

    fn next_echo(&mut self, now: Instant) -> Option<UnderWay> {
        if self.next_due()? > now {
            return None;
        }
        let echo = self.echoes.pop_front()?;
        self.waiting -= echo.payload.len();
        Some(UnderWay {
            is_echo: true,
            ..UnderWay::new(echo.opcode, Payload::Bytes(echo.payload))
        })
    }
}

impl UnderWay {
    fn new(opcode: Opcode, payload: Payload) -> Self {
        Self {
            opcode,
            payload,
            out: 0,
            left: None,
            is_echo: false,
        }
    }

    /// Adds a piece to `bytes`, and says whether it was the last.
    fn put(&mut self, fragment: u64, bytes: &mut Vec<u8>) -> bool {
        let rest = self.payload.len() - self.out;
        let left = self.left.unwrap_or_else(|| {
            let size = rest.min(fragment);
            let opcode = match self.out {
                0 => self.opcode as u8,
                _ => CONTINUATION,
            };
            let fin = if size == rest { FIN } else { 0 };
            frames::put_header_of(opcode | fin, size as usize, bytes);
            size
        });
        let piece = left.min(PIECE);
        self.payload.put(self.out, piece, bytes);
        self.out += piece;
        self.left = Some(left - piece).filter(|left| *left > 0);
        piece == rest
    }
}

impl Payload {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(payload) => payload.len() as u64,
            Self::Numbered(_, size) => *size,
        }
    }

    /// Adds `length` bytes from `start` on to `bytes`.
    fn put(&self, start: u64, length: u64, bytes: &mut Vec<u8>) {
        let end = start + length;
        match self {
            Self::Bytes(payload) => {
                bytes.extend_from_slice(&payload[start as usize..end as usize]);
            }
            Self::Numbered(number, _) => {
                let number = number.to_be_bytes();
                let of_number = |at: u64| at.min(number.len() as u64) as usize;
                let (from, to) = (of_number(start), of_number(end));
                bytes.extend_from_slice(&number[from..to]);
                bytes.resize(bytes.len() + length as usize - (to - from), 0);
            }
        }
    }
}

#[cfg(test)]
mod tests;
