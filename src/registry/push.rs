//! A message that is pushed. Its frame is made once, and shared by all that send or keep it.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::record::{Direction, Message, OVERHEAD, Record};
use crate::ws::frames::{self, Opcode};

/// A message that is pushed. All clones are the same message: a mailbox and a history hold one word
/// of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Push(Arc<Frame>);

#[derive(Debug, PartialEq, Eq)]
struct Frame {
    opcode: Opcode,
    bytes: Bytes,
    /// Bytes of the header.
    header: usize,
    to: Toward,
}

/// Side of a tunnel that a message is for. The peer of a session is its client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Toward {
    #[default]
    Client,
    Upstream,
}

impl Push {
    /// A text message, or a binary one.
    pub(crate) fn new(opcode: Opcode, payload: &[u8]) -> Self {
        let header = frames::header_size(payload.len());
        let mut bytes = Vec::with_capacity(header + payload.len());
        frames::put_header(opcode, payload.len(), &mut bytes);
        bytes.extend_from_slice(payload);
        Self(Arc::new(Frame {
            opcode,
            bytes: bytes.into(),
            header,
            to: Toward::Client,
        }))
    }

    /// The same message, for this side of a tunnel.
    pub(crate) fn to(&self, to: Toward) -> Self {
        Self(Arc::new(Frame {
            bytes: self.0.bytes.clone(),
            to,
            ..*self.0
        }))
    }

    /// Side of a tunnel that gets it.
    pub(crate) fn toward(&self) -> Toward {
        self.0.to
    }

    pub(crate) fn opcode(&self) -> Opcode {
        self.0.opcode
    }

    /// The whole frame.
    pub(crate) fn frame(&self) -> &Bytes {
        &self.0.bytes
    }

    /// The payload, which shares its memory with the frame.
    pub(crate) fn payload(&self) -> Bytes {
        self.0.bytes.slice(self.0.header..)
    }

    /// Bytes of the payload.
    pub(crate) fn len(&self) -> usize {
        self.0.bytes.len() - self.0.header
    }

    /// The message as it is recorded.
    pub(super) fn message(&self) -> Message {
        Message::plain(self.opcode().into(), self.payload())
    }
}

/// A push as it is kept in the history of a connection that got it.
#[derive(Debug, Clone)]
pub(super) struct KeptPush {
    pub(super) seq: u64,
    pub(super) at: SystemTime,
    pub(super) push: Push,
}

impl KeptPush {
    /// Bytes of content that the record keeps.
    pub(super) fn content(&self) -> usize {
        self.push.len()
    }

    /// Bytes of memory that the record counts for: as much as one that shares its content with none.
    pub(super) fn memory(&self) -> usize {
        OVERHEAD + self.content()
    }

    pub(super) fn record(&self) -> Record {
        Record {
            seq: self.seq,
            at: self.at,
            direction: Direction::Out,
            message: self.push.message(),
        }
    }
}
