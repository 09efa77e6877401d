//! Compressed messages as they come: their frames, and what comes out of them.

use std::io;
use std::task::{Context, Poll};

use bytes::Buf;
use tokio::io::AsyncRead;
use tokio_tungstenite::tungstenite::Result;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::Data;

use super::history::History;
use super::inflate::Inflation;
use super::output::Output;
use crate::runtime::budget::Budget;
use crate::session::protocol::max_fragments;
use crate::session::read_buffer::ReadBuffer;
use crate::session::single_frame::unmask;
use crate::session::tracked_io::TrackedIo;
use crate::ws::deflate::PermessageDeflate;
use crate::ws::frames::{
    BINARY, CONTINUATION, Endless, Header, MAX_FRAME_HEADER, Opcode, RSV, TEXT,
};

/// Bytes that are read at once, or more.
const PIECE: usize = 1 << 10;

/// A compressed message that is being received.
pub(super) struct Receiving {
    pub(super) opcode: Opcode,
    inflation: Inflation,
    frame: Frame,
    /// Number of the frames so far.
    pub(super) frames: u32,
    /// Bytes of the frames so far, headers included.
    fragments: u64,
    max_fragments: u64,
}

/// The frame that is being received.
#[derive(Default)]
struct Frame {
    mask: [u8; 4],
    is_last: bool,
    /// Bytes of its payload that have not been decompressed.
    left: u64,
    /// Number of these bytes that are unmasked. They are at the start of the read buffer.
    unmasked: usize,
}

/// Outcome of receiving.
pub(super) enum Event {
    /// The message is complete.
    Complete,
    /// The turn is over.
    Part,
    /// A control frame begins. tungstenite judges it.
    Control(Header),
}

impl Receiving {
    /// Begins the message whose first frame, with this header, is at the start of the read buffer.
    ///
    /// # Errors
    /// When the frame is illegal.
    pub(super) fn begin(
        agreed: PermessageDeflate,
        header: &Header,
        limit: usize,
        read_buffer: &mut ReadBuffer,
    ) -> Result<Self> {
        let opcode = match header.opcode() {
            TEXT => Opcode::Text,
            _ => Opcode::Binary,
        };
        let mut receiving = Self {
            opcode,
            inflation: Inflation::begin(agreed, opcode, limit),
            frame: Frame::default(),
            frames: 0,
            fragments: 0,
            max_fragments: max_fragments(limit),
        };
        receiving.begin_frame(header, read_buffer)?;
        Ok(receiving)
    }

    /// Begins the frame, with this header, that is at the start of the read buffer.
    fn begin_frame(&mut self, header: &Header, read_buffer: &mut ReadBuffer) -> Result<()> {
        let mask = header.mask.ok_or(ProtocolError::UnmaskedFrameFromClient)?;
        self.frames = self.frames.saturating_add(1);
        self.fragments = self.fragments.saturating_add(header.frame_size());
        if header.payload > self.max_fragments {
            return Err(CapacityError::MessageTooLong {
                size: usize::try_from(header.payload).unwrap_or(usize::MAX),
                max_size: self.inflation.limit(),
            }
            .into());
        }
        if self.fragments > self.max_fragments {
            return Err(io::Error::other(Endless(self.fragments)).into());
        }
        read_buffer.advance(header.size);
        self.frame = Frame {
            mask,
            is_last: header.is_final(),
            left: header.payload,
            unmasked: 0,
        };
        Ok(())
    }

    /// Receives until the message is complete, or something else comes first. The message may refer to
    /// `history`.
    pub(super) fn poll<S: AsyncRead + Unpin>(
        &mut self,
        history: &History,
        read_buffer: &mut ReadBuffer,
        io: &mut TrackedIo<S>,
        budget: &mut Budget,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Event>> {
        loop {
            if budget.is_spent() {
                return Poll::Ready(Ok(Event::Part));
            }
            let wanted = if self.inflation.is_behind() || self.has_payload(read_buffer) {
                self.inflate(history, read_buffer, budget)?;
                continue;
            } else if self.frame.left > 0 {
                PIECE
            } else if self.frame.is_last {
                return Poll::Ready(Ok(match self.inflation.finish(history, budget)? {
                    true => Event::Complete,
                    false => Event::Part,
                }));
            } else if let Some(header) = Header::parse(read_buffer) {
                budget.frame(0);
                if header.is_control() {
                    return Poll::Ready(Ok(Event::Control(header)));
                }
                check_continuation(&header)?;
                self.begin_frame(&header, read_buffer)?;
                continue;
            } else {
                MAX_FRAME_HEADER
            };
            let Poll::Ready(read) = read_buffer.poll_fill(wanted, io, cx) else {
                self.inflation.settle();
                return Poll::Pending;
            };
            match read? {
                0 => return Poll::Ready(Err(ProtocolError::ResetWithoutClosingHandshake.into())),
                read => budget.call(read),
            }
        }
    }

    /// Whether there is payload of the frame in the read buffer.
    fn has_payload(&self, read_buffer: &ReadBuffer) -> bool {
        self.frame.left > 0 && !read_buffer.is_empty()
    }

    /// Decompresses a piece of the payload that is in the read buffer.
    fn inflate(
        &mut self,
        history: &History,
        read_buffer: &mut ReadBuffer,
        budget: &mut Budget,
    ) -> Result<()> {
        let left = usize::try_from(self.frame.left).unwrap_or(usize::MAX);
        let there = left.min(read_buffer.len());
        let payload = &mut read_buffer[..there];
        unmask(&mut payload[self.frame.unmasked..], self.frame.mask);
        let taken = self.inflation.step(payload, history, budget)?;
        self.frame.pass(there, taken);
        read_buffer.advance(taken);
        Ok(())
    }

    /// The message, once it is complete. With takeover it becomes history.
    pub(super) fn into_output(self, history: &mut History) -> Output {
        self.inflation.into_output(history)
    }
}

impl Frame {
    /// Notes that the first `unmasked` bytes that are left were unmasked, and the first `taken` of
    /// them decompressed.
    fn pass(&mut self, unmasked: usize, taken: usize) {
        self.mask.rotate_left((unmasked - self.unmasked) % 4);
        self.unmasked = unmasked - taken;
        self.left -= taken as u64;
    }
}

/// Checks a frame that must continue the message.
fn check_continuation(header: &Header) -> Result<()> {
    let error = match header.opcode() {
        CONTINUATION if header.first & RSV != 0 => ProtocolError::NonZeroReservedBits,
        CONTINUATION => return Ok(()),
        TEXT => ProtocolError::ExpectedFragment(Data::Text),
        BINARY => ProtocolError::ExpectedFragment(Data::Binary),
        reserved => ProtocolError::UnknownDataFrameType(reserved),
    };
    Err(error.into())
}
