//! The codec: turns bytes into messages. It keeps memory only while a message is being read: an
//! idle connection has no buffer, and no buffer is left after a large message.

use std::mem;
use std::ops::Range;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncRead;
use tokio_tungstenite::tungstenite::Result;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::protocol::{Protocol, Received};
use super::read_buffer::ReadBuffer;
use super::single_frame::{SingleFrame, Start};
use super::write_buffer::WriteBuffer;
use crate::runtime::budget::Budget;
use crate::session::tracked_io::TrackedIo;
use crate::ws::frames::{self, Opcode};

/// State of reading messages.
pub(super) struct Codec {
    read_buffer: ReadBuffer,
    single_frame: SingleFrame,
    /// Range in the read buffer of the last message's payload, if it was a single-frame message.
    payload_range: Range<usize>,
    /// tungstenite's state, present while it has something left to do.
    protocol: Option<Box<Protocol>>,
    max_message_size: usize,
}

impl Codec {
    /// A codec that begins with the bytes that have been read already.
    pub(super) fn new(early: &[u8], max_message_size: usize) -> Self {
        Self {
            read_buffer: ReadBuffer::new(early),
            single_frame: SingleFrame::default(),
            payload_range: 0..0,
            protocol: None,
            max_message_size,
        }
    }

    /// Whether part of a message, or of a frame, has arrived.
    pub(super) fn is_mid_message(&self) -> bool {
        !self.read_buffer.is_empty() || self.protocol.is_some()
    }

    /// Whether more bytes than the last message may be there to read without waiting.
    pub(super) fn has_more(&self) -> bool {
        self.read_buffer.len() > self.payload_range.end || self.read_buffer.is_behind()
    }

    /// Reduces the read buffer to the memory that it needs, before a wait that may be long.
    pub(super) fn settle(&mut self) {
        self.read_buffer.settle();
    }

    /// Reads the next message or frame. The answer to a Ping or Close is added to `replies` by the
    /// call after the one that returned it.
    // Inlined, because each call saved around a system call is measurable: see benches/README.md.
    #[inline(always)]
    pub(super) fn poll_next<S>(
        &mut self,
        io: &mut TrackedIo<S>,
        replies: &mut WriteBuffer,
        budget: &mut Budget,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Received>>
    where
        S: AsyncRead + Unpin,
    {
        let had = mem::replace(&mut self.payload_range, 0..0);
        self.read_buffer.advance(had.end);
        loop {
            if let Some(protocol) = &mut self.protocol {
                match ready!(protocol.poll_next(&mut self.read_buffer, io, replies, budget, cx))? {
                    Some(received) => return Poll::Ready(Ok(received)),
                    None if protocol.is_open() => self.protocol = None,
                    None => {}
                }
            }
            let wanted = match self
                .single_frame
                .next(&mut self.read_buffer, self.max_message_size)?
            {
                Start::Message(opcode, payload) => {
                    budget.frame(payload.len());
                    self.payload_range = payload;
                    return Poll::Ready(Ok(Received::Message(opcode)));
                }
                Start::Partial(_) if budget.is_spent() && !self.read_buffer.is_empty() => {
                    return Poll::Ready(Ok(Received::Part));
                }
                Start::Partial(size) => size,
                Start::Other(header) => {
                    budget.frame(0);
                    self.protocol().begin(&header);
                    continue;
                }
            };
            match ready!(self.read_buffer.poll_fill(wanted, io, cx))? {
                0 => return Poll::Ready(Err(ProtocolError::ResetWithoutClosingHandshake.into())),
                read => budget.call(read),
            }
        }
    }

    /// The payload of what was received last. Text is UTF-8.
    pub(super) fn payload(&self) -> &[u8] {
        match &self.protocol {
            Some(protocol) => protocol.payload(),
            None => &self.read_buffer[self.payload_range.clone()],
        }
    }

    /// Makes the frame that echoes the last message, in place, if it was a single-frame message.
    /// There is room: a server's header is shorter than that of a client, which has a mask.
    pub(super) fn frame(&mut self, opcode: Opcode) -> Option<&[u8]> {
        if self.protocol.is_some() {
            return None;
        }
        let Range { start, end } = self.payload_range;
        let frame = self.frame_start();
        let mut header = &mut self.read_buffer[frame..start];
        frames::put_header(opcode, end - start, &mut header);
        Some(&self.read_buffer[frame..end])
    }

    fn frame_start(&self) -> usize {
        self.payload_range.start - frames::header_size(self.payload_range.len())
    }

    /// Takes the [frame](Self::frame), without this many bytes at its front.
    pub(super) fn take_frame(&mut self, without: usize) -> Bytes {
        let start = self.frame_start() + without;
        let mut frame = self.read_buffer.split_to(self.payload_range.end);
        self.payload_range = 0..0;
        frame.advance(start);
        frame.freeze()
    }

    /// Takes the payload of the last message, if it was not a single-frame message.
    pub(super) fn take_payload(&mut self) -> Bytes {
        self.protocol
            .as_mut()
            .map_or_else(Bytes::new, |protocol| protocol.take_payload())
    }

    fn protocol(&mut self) -> &mut Protocol {
        self.protocol
            .get_or_insert_with(|| Box::new(Protocol::new(self.max_message_size)))
    }

    /// Adds the answer to a Ping or Close to `replies`, if one is owed.
    pub(super) fn answer(&mut self, replies: &mut WriteBuffer) -> Result<()> {
        match &mut self.protocol {
            Some(protocol) => protocol.answer(replies),
            None => Ok(()),
        }
    }

    /// Adds Close to `replies`.
    pub(super) fn close(
        &mut self,
        frame: Option<CloseFrame>,
        replies: &mut WriteBuffer,
    ) -> Result<()> {
        self.protocol().close(frame, replies)
    }
}
