//! The send queue: messages and frames that are to be sent, in order. Echoes are delayed here, and
//! messages are cut into fragments.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::registry::record::Message;
use crate::runtime::budget::Budget;
use crate::scenario::{Burst, Fate, Fates, REORDERED_WITHIN};
use crate::session::deflate::{Compressor, Deflation};
use crate::ws::deflate::PermessageDeflate;
use crate::ws::frames::{self, CONTINUATION, FIN, Opcode, RSV1};

/// Maximum number of echoes that wait.
const MAX_WAITING: usize = 64;

/// Maximum bytes of a payload in one piece.
const PIECE: u64 = 16 << 10;

#[derive(Debug)]
pub(super) struct SendQueue {
    /// Least and most delay of each echo.
    delay: (Duration, Duration),
    fates: Fates,
    /// Maximum bytes of payload in a frame.
    fragment: u64,
    /// Bytes of waiting echoes at which reading stops.
    limit: usize,
    echoes: VecDeque<Echo>,
    /// Echo that is to come after the next one, or when it is due.
    held: Option<Echo>,
    /// Bytes of payload in `echoes` and `held`.
    waiting: usize,
    /// Messages and frames other than echoes: they are sent before waiting echoes.
    others: VecDeque<Other>,
    compressor: Compressor,
    under_way: Option<UnderWay>,
    /// Number of messages whose echo was sent, or that get none.
    answered: u64,
    /// Whether messages are recorded when they are put.
    is_recorded: bool,
    /// The last message that was put, if it is to be recorded.
    sent: Option<Message>,
}

/// Outcome of [`SendQueue::put`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// Nothing was due.
    Nothing,
    /// A piece of a message was put, or a frame.
    Piece,
    /// The last piece of a message was put. Its payload has this many bytes in all.
    Message(Opcode, usize),
}

#[derive(Debug, Clone)]
struct Echo {
    due: Instant,
    opcode: Opcode,
    payload: Bytes,
    deflate: Option<PermessageDeflate>,
    /// Whether it is the first of two that are the same.
    is_copy: bool,
}

#[derive(Debug)]
enum Other {
    Text(Bytes),
    /// A message that is pushed.
    Push(Opcode, Bytes),
    /// A burst, and the number of its next message.
    Burst(Burst, u64),
    /// A frame as it is.
    Frame(Vec<u8>),
}

/// A message of which a part may have been put.
#[derive(Debug)]
struct UnderWay {
    opcode: Opcode,
    payload: Payload,
    /// Bytes of the message, before it is compressed.
    size: u64,
    compression: Compression,
    /// Bytes of payload that have been put.
    out: u64,
    /// Bytes of the current frame's payload that have not.
    left: Option<u64>,
    is_echo: bool,
    /// Whether its message is echoed once more.
    is_copy: bool,
    /// Number of its frames so far.
    frames: u32,
    /// The payload before it is compressed, if it is to be recorded.
    plain: Option<Bytes>,
}

#[derive(Debug)]
enum Compression {
    None,
    /// It is under way, and no piece of the message can be put yet.
    Begun(Deflation),
    /// The payload is compressed.
    Complete,
}

#[derive(Debug)]
enum Payload {
    Bytes(Bytes),
    /// A number, followed by zeros up to this size in all.
    Numbered(u64, u64),
}

impl SendQueue {
    /// An empty queue. Reading stops while `limit` bytes of echoes wait.
    pub(super) fn new(limit: usize, is_recorded: bool) -> Self {
        Self {
            delay: (Duration::ZERO, Duration::ZERO),
            fates: Fates::default(),
            fragment: u64::MAX,
            limit,
            echoes: VecDeque::new(),
            held: None,
            waiting: 0,
            others: VecDeque::new(),
            compressor: Compressor::default(),
            under_way: None,
            answered: 0,
            is_recorded,
            sent: None,
        }
    }

    pub(super) fn delay(&mut self, least: Duration, most: Duration) {
        self.delay = (least, most);
    }

    pub(super) fn fates(&mut self, fates: Fates) {
        self.fates = fates;
    }

    pub(super) fn fragment(&mut self, bytes: usize) {
        self.fragment = bytes as u64;
    }

    /// Number of messages whose echo was sent, or that get none.
    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    /// Whether one more echo may be put in.
    pub(super) fn has_room(&self) -> bool {
        self.echoes.len() < MAX_WAITING && self.waiting < self.limit
    }

    /// Moment at which the next echo is due, if one waits.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let first = self.echoes.front().into_iter().chain(&self.held);
        first.map(|echo| echo.due).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.next_due().is_none() && self.others.is_empty() && self.under_way.is_none()
    }

    /// Whether the bytes put so far end in the middle of a frame.
    pub(super) fn is_mid_frame(&self) -> bool {
        let left = self.under_way.as_ref().and_then(|message| message.left);
        left.is_some()
    }

    /// Takes an echo, which is due after all earlier ones. It is compressed as `deflate` says.
    pub(super) fn echo(
        &mut self,
        now: Instant,
        opcode: Opcode,
        payload: &[u8],
        deflate: Option<PermessageDeflate>,
    ) {
        let fate = self.fates.draw();
        if fate == Fate::Drop {
            return self.no_echo();
        }
        let (least, most) = self.delay;
        let late = rand::random_range(least..=most);
        let mut echo = Echo {
            due: now + late,
            opcode,
            // Copied, because it may wait for long, and would keep the whole buffer alive.
            payload: Bytes::copy_from_slice(payload),
            deflate,
            is_copy: false,
        };
        if fate == Fate::Reorder && self.held.is_none() {
            echo.due += REORDERED_WITHIN;
            self.waiting += payload.len();
            self.held = Some(echo);
            return;
        }
        if fate == Fate::Duplicate {
            self.push_echo(Echo {
                is_copy: true,
                ..echo.clone()
            });
        }
        let due = echo.due;
        self.push_echo(echo);
        if let Some(held) = &mut self.held {
            held.due = due;
            self.release_held(due);
        }
    }

    /// Takes an echo, which is due after all earlier ones.
    fn push_echo(&mut self, mut echo: Echo) {
        self.waiting += echo.payload.len();
        if let Some(earlier) = self.echoes.back() {
            echo.due = echo.due.max(earlier.due);
        }
        self.echoes.push_back(echo);
    }

    /// Has the echo that was held go out after those before it, if it is due by `now`.
    fn release_held(&mut self, now: Instant) {
        if let Some(held) = self.held.take_if(|held| held.due <= now) {
            self.waiting -= held.payload.len();
            self.push_echo(held);
        }
    }

    /// Notes a message that gets no echo.
    pub(super) fn no_echo(&mut self) {
        self.answered += 1;
    }

    pub(super) fn text(&mut self, text: &str) {
        let text = Bytes::copy_from_slice(text.as_bytes());
        self.others.push_back(Other::Text(text));
    }

    /// Takes a message that is pushed.
    pub(super) fn push(&mut self, opcode: Opcode, payload: Bytes) {
        self.others.push_back(Other::Push(opcode, payload));
    }

    /// Whether a message other than an echo waits, or is under way.
    pub(super) fn has_other(&self) -> bool {
        !self.others.is_empty() || self.under_way.as_ref().is_some_and(|m| !m.is_echo)
    }

    /// Takes the last message that was put, if it is to be recorded.
    pub(super) fn take_sent(&mut self) -> Option<Message> {
        self.sent.take()
    }

    pub(super) fn burst(&mut self, burst: Burst) {
        self.others.push_back(Other::Burst(burst, 0));
    }

    /// Takes a frame that is sent as it is, between messages.
    pub(super) fn frame(&mut self, frame: Vec<u8>) {
        self.others.push_back(Other::Frame(frame));
    }

    /// Drops everything of which no piece has been put.
    pub(super) fn clear(&mut self) {
        self.echoes.clear();
        self.held = None;
        self.others.clear();
    }

    /// Appends the next piece that is due to `bytes`, if there is one.
    ///
    /// # Errors
    /// When a message cannot be compressed.
    pub(super) fn put(
        &mut self,
        now: Instant,
        bytes: &mut Vec<u8>,
        budget: &mut Budget,
    ) -> io::Result<Put> {
        if self.under_way.is_none() {
            if let Some(Other::Frame(frame)) = self.others.front() {
                bytes.extend_from_slice(frame);
                self.others.pop_front();
                return Ok(Put::Piece);
            }
            self.release_held(now);
            self.under_way = self.next_other().or_else(|| self.next_echo(now));
            if let Some(message) = &mut self.under_way
                && self.is_recorded
            {
                message.keep_plain();
            }
        }
        let Some(message) = &mut self.under_way else {
            return Ok(Put::Nothing);
        };
        let is_compressing = !message.deflate(&mut self.compressor, budget)?;
        if is_compressing || !message.put(self.fragment, bytes) {
            return Ok(Put::Piece);
        }
        let put = Put::Message(message.opcode, message.size as usize);
        self.answered += u64::from(message.is_echo && !message.is_copy);
        self.sent = self.is_recorded.then(|| message.record());
        self.under_way = None;
        Ok(put)
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
            Other::Push(opcode, payload) => UnderWay::new(*opcode, Payload::Bytes(payload.clone())),
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
            is_copy: echo.is_copy,
            compression: match echo.deflate {
                Some(agreed) => Compression::Begun(self.compressor.begin(agreed)),
                None => Compression::None,
            },
            ..UnderWay::new(echo.opcode, Payload::Bytes(echo.payload))
        })
    }
}

impl UnderWay {
    fn new(opcode: Opcode, payload: Payload) -> Self {
        Self {
            opcode,
            size: payload.len(),
            payload,
            compression: Compression::None,
            out: 0,
            left: None,
            is_echo: false,
            is_copy: false,
            frames: 0,
            plain: None,
        }
    }

    /// Keeps the payload as it is before it is compressed.
    fn keep_plain(&mut self) {
        if let Payload::Bytes(payload) = &self.payload {
            self.plain = Some(payload.clone());
        }
    }

    /// The message as it is recorded. That of a burst has no content.
    fn record(&mut self) -> Message {
        Message {
            kind: self.opcode.into(),
            bytes: self.size as usize,
            content: self.plain.take(),
            code: None,
            frames: self.frames,
            is_compressed: matches!(self.compression, Compression::Complete),
        }
    }

    /// Compresses a piece of the payload if there is need to, and returns whether it is complete.
    fn deflate(&mut self, compressor: &mut Compressor, budget: &mut Budget) -> io::Result<bool> {
        let (Compression::Begun(deflation), Payload::Bytes(payload)) =
            (&mut self.compression, &self.payload)
        else {
            return Ok(true);
        };
        if !deflation.step(payload, budget)? {
            return Ok(false);
        }
        let compression = mem::replace(&mut self.compression, Compression::Complete);
        if let Compression::Begun(deflation) = compression {
            let compressed = compressor.end(deflation, payload).into_bytes();
            self.payload = Payload::Bytes(compressed);
        }
        Ok(true)
    }

    /// Appends a piece to `bytes`, and returns whether it was the last one.
    fn put(&mut self, fragment: u64, bytes: &mut Vec<u8>) -> bool {
        let rest = self.payload.len() - self.out;
        let left = self.left.unwrap_or_else(|| {
            let size = rest.min(fragment);
            let opcode = match self.out {
                0 if matches!(self.compression, Compression::Complete) => RSV1 | self.opcode as u8,
                0 => self.opcode as u8,
                _ => CONTINUATION,
            };
            let fin = if size == rest { FIN } else { 0 };
            self.frames = self.frames.saturating_add(1);
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

    /// Appends to `bytes` the `length` bytes of the payload that begin at `start`.
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
