//! Records of messages and control frames, as they are kept for the API.

use std::time::SystemTime;

use bytes::Bytes;

use crate::ws::frames::Opcode;

/// Bytes that a record takes beside its content, in the reckoning of memory: its own, those of its
/// content's owner, and of its entry in the log of events.
pub(super) const OVERHEAD: usize = 160;

/// Direction of a message, as the server sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

/// Kind of a message or control frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Binary,
    Ping,
    Pong,
    Close,
}

impl Kind {
    pub(crate) fn is_control(self) -> bool {
        !matches!(self, Self::Text | Self::Binary)
    }
}

impl From<Opcode> for Kind {
    fn from(opcode: Opcode) -> Self {
        match opcode {
            Opcode::Text => Self::Text,
            Opcode::Binary => Self::Binary,
            Opcode::Ping => Self::Ping,
            Opcode::Pong => Self::Pong,
        }
    }
}

/// A message or control frame that is to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    /// Bytes of the payload, uncompressed.
    pub(crate) bytes: usize,
    /// The payload, or of a Close its reason; `None` if it is too large to be kept.
    pub(crate) content: Option<Bytes>,
    /// The code of a Close.
    pub(crate) code: Option<u16>,
    /// Number of its frames.
    pub(crate) frames: u32,
    pub(crate) is_compressed: bool,
}

impl Message {
    /// A message of one frame that is not compressed.
    pub(crate) fn plain(kind: Kind, content: Bytes) -> Self {
        Self {
            kind,
            bytes: content.len(),
            content: Some(content),
            code: None,
            frames: 1,
            is_compressed: false,
        }
    }

    /// A Close.
    pub(crate) fn close(close: &CloseContent) -> Self {
        let code = close.code;
        let bytes = code.map_or(0, |_| 2) + close.reason.len();
        let reason = Bytes::copy_from_slice(close.reason.as_bytes());
        Self {
            bytes,
            code,
            ..Self::plain(Kind::Close, reason)
        }
    }
}

/// Code and reason of a Close.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CloseContent {
    /// `None`: there was none, or one that may not be sent.
    pub(crate) code: Option<u16>,
    pub(crate) reason: String,
}

/// A message that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Number of the record: those of a connection are counted from 1.
    pub(crate) seq: u64,
    pub(crate) at: SystemTime,
    pub(crate) direction: Direction,
    pub(crate) message: Message,
}

impl Record {
    /// Bytes of content that the record keeps.
    pub(super) fn content(&self) -> usize {
        self.message.content.as_ref().map_or(0, Bytes::len)
    }

    /// Bytes of memory that the record takes.
    pub(super) fn memory(&self) -> usize {
        OVERHEAD + self.content()
    }
}
