//! Messages of one direction, as they are recorded for the API.

use std::cell::Cell;
use std::fmt;

use bytes::Bytes;
use zlib_rs::{Inflate, InflateFlush};

use crate::registry::record::{CloseContent, Kind, Message};
use crate::ws::deflate::MAX_WINDOW;
use crate::ws::frames::{BINARY, FIN, RSV1, TEXT};

const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// End of a flush, which senders remove from a message (RFC 7692, section 7.2.1).
const FLUSHED: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Bytes of a compressed message after which it is not decompressed further.
const MOST_INFLATED: usize = 16 << 20;

/// Bytes that come out of the decompressor at once.
const PIECE: usize = 16 << 10;

thread_local! {
    /// Decompressor for the next message of a thread's tunnels.
    static SPARE: Cell<Option<Box<Inflate>>> = const { Cell::new(None) };
}

/// Messages of one direction.
#[derive(Debug)]
pub(super) struct Tap {
    /// Bytes of the largest message whose content is kept.
    keep_bytes: usize,
    /// The message under way.
    message: Option<Recording>,
    /// The control frame under way.
    control: Option<Recording>,
    complete: Vec<Message>,
}

/// A message or control frame under way.
struct Recording {
    kind: Kind,
    frames: u32,
    bytes: usize,
    /// `None`: it is too large to be kept.
    content: Option<Vec<u8>>,
    is_compressed: bool,
    /// Decompressor of a compressed message, unless that has failed, or is too large.
    inflate: Option<Box<Inflate>>,
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Recording");
        debug.field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Tap {
    pub(super) fn new(keep_bytes: usize) -> Self {
        Self {
            keep_bytes,
            message: None,
            control: None,
            complete: Vec::new(),
        }
    }

    /// The messages that are complete.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Message> {
        self.complete.drain(..)
    }

    /// Notes the beginning of a frame, by its first byte.
    pub(super) fn begin(&mut self, first: u8) {
        let opcode = first & 0x0f;
        match kind(opcode) {
            Some(kind) if kind.is_control() => self.control = Some(Recording::new(kind, false)),
            Some(kind) if self.message.is_none() => {
                self.message = Some(Recording::new(kind, first & RSV1 != 0));
            }
            _ => {
                if let Some(message) = &mut self.message {
                    message.frames = message.frames.saturating_add(1);
                }
            }
        }
    }

    /// Takes a piece of the frame's payload.
    pub(super) fn payload(&mut self, piece: &[u8]) {
        let recording = self.control.as_mut().or(self.message.as_mut());
        if let Some(recording) = recording {
            recording.take(piece, self.keep_bytes);
        }
    }

    /// Notes the end of a frame, by its first byte.
    pub(super) fn end(&mut self, first: u8) {
        let recording = match self.control.take() {
            Some(control) => Some(control),
            None => self.message.take_if(|_| first & FIN != 0),
        };
        let complete = recording.map(|recording| recording.complete(self.keep_bytes));
        self.complete.extend(complete);
    }

    /// Takes a message or control frame that is put in.
    pub(super) fn insert(&mut self, kind: Kind, payload: &[u8]) {
        let mut recording = Recording::new(kind, false);
        recording.take(payload, self.keep_bytes);
        self.complete.push(recording.complete(self.keep_bytes));
    }
}

fn kind(opcode: u8) -> Option<Kind> {
    Some(match opcode {
        TEXT => Kind::Text,
        BINARY => Kind::Binary,
        CLOSE => Kind::Close,
        PING => Kind::Ping,
        PONG => Kind::Pong,
        _ => return None,
    })
}

impl Recording {
    fn new(kind: Kind, is_compressed: bool) -> Self {
        let inflate = is_compressed.then(|| {
            let spare = SPARE.take();
            spare.unwrap_or_else(|| Box::new(Inflate::new(false, MAX_WINDOW)))
        });
        Self {
            kind,
            frames: 1,
            bytes: 0,
            content: Some(Vec::new()),
            is_compressed,
            inflate,
        }
    }

    fn take(&mut self, piece: &[u8], keep_bytes: usize) {
        if !self.is_compressed {
            return self.keep(piece, keep_bytes);
        }
        let Some(mut inflate) = self.inflate.take() else {
            return;
        };
        if self.inflate(&mut inflate, piece, keep_bytes).is_some() {
            self.inflate = Some(inflate);
        } else {
            self.content = None;
        }
    }

    /// Decompresses a piece; `None` if the message is broken, or too large.
    fn inflate(&mut self, inflate: &mut Inflate, mut piece: &[u8], keep: usize) -> Option<()> {
        let mut out = [0; PIECE];
        loop {
            let (taken, made) = (inflate.total_in(), inflate.total_out());
            let inflated = inflate.decompress(piece, &mut out, InflateFlush::NoFlush);
            let taken = (inflate.total_in() - taken) as usize;
            let made = (inflate.total_out() - made) as usize;
            self.keep(&out[..made], keep);
            piece = &piece[taken..];
            let is_stuck = taken == 0 && made == 0;
            match inflated {
                Err(_) => return None,
                Ok(_) if self.bytes > MOST_INFLATED => return None,
                Ok(_) if is_stuck || piece.is_empty() && made < PIECE => return Some(()),
                Ok(_) => {}
            }
        }
    }

    fn keep(&mut self, piece: &[u8], keep_bytes: usize) {
        self.bytes += piece.len();
        if let Some(content) = &mut self.content
            && self.bytes <= keep_bytes
        {
            content.extend_from_slice(piece);
        } else {
            self.content = None;
        }
    }

    fn complete(mut self, keep_bytes: usize) -> Message {
        self.take_end(keep_bytes);
        let content = self.content.map(Bytes::from);
        if self.kind == Kind::Close {
            return Message::close(&close_content(&content.unwrap_or_default()));
        }
        Message {
            kind: self.kind,
            bytes: self.bytes,
            content,
            code: None,
            frames: self.frames,
            is_compressed: self.is_compressed,
        }
    }

    /// Takes the end of a compressed message that its sender has removed.
    fn take_end(&mut self, keep_bytes: usize) {
        if self.inflate.is_some() {
            self.take(&FLUSHED, keep_bytes);
        }
        if let Some(mut inflate) = self.inflate.take() {
            inflate.reset(false);
            SPARE.set(Some(inflate));
        }
    }
}

fn close_content(payload: &[u8]) -> CloseContent {
    match payload.split_first_chunk() {
        Some((code, reason)) => CloseContent {
            code: Some(u16::from_be_bytes(*code)),
            reason: String::from_utf8_lossy(reason).into_owned(),
        },
        None => CloseContent::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records frames without masks, of a payload of up to 125 bytes, byte by byte.
    fn recorded(mut frames: &[u8], keep_bytes: usize) -> Vec<Message> {
        let mut tap = Tap::new(keep_bytes);
        while let [first, length, rest @ ..] = frames {
            let (payload, rest) = rest.split_at(usize::from(*length));
            tap.begin(*first);
            payload.iter().for_each(|byte| tap.payload(&[*byte]));
            tap.end(*first);
            frames = rest;
        }
        tap.take().collect()
    }

    #[test]
    fn messages_are_whole_and_decompressed() {
        let frames = b"\x01\x02he\x89\x01!\x80\x01y\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\
            \x42\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00\xc1\x01\x00\x88\x05\x0f\xa1bye\x88\x00";
        let seen: Vec<_> = recorded(frames, 100)
            .into_iter()
            .map(|it| {
                (
                    it.kind,
                    it.content.unwrap().to_vec(),
                    it.frames,
                    it.is_compressed,
                )
            })
            .collect();
        let expected = [
            (Kind::Ping, b"!".to_vec(), 1, false),
            (Kind::Text, b"hey".to_vec(), 2, false),
            (Kind::Text, b"Hello".to_vec(), 1, true),
            (Kind::Binary, b"Hello".to_vec(), 2, true),
            (Kind::Text, b"".to_vec(), 1, true),
            (Kind::Close, b"bye".to_vec(), 1, false),
            (Kind::Close, b"".to_vec(), 1, false),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_is_too_large_or_broken_is_counted_and_not_kept() {
        for (frames, bytes) in [
            (&b"\x81\x05hello"[..], 5),
            (b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00", 5),
            (b"\xc1\x03\xff\xff\xff", 0),
        ] {
            let messages = recorded(frames, 4);
            let [message] = &messages[..] else {
                panic!("{messages:?}");
            };
            assert_eq!((message.bytes, &message.content), (bytes, &None));
        }
    }
}
