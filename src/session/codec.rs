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

use super::deflate::{self, Messages, Next};
use super::protocol::{Protocol, Received};
use super::read_buffer::ReadBuffer;
use super::single_frame::{SingleFrame, Start};
use super::write_buffer::WriteBuffer;
use crate::runtime::budget::Budget;
use crate::session::tracked_io::TrackedIo;
use crate::ws::deflate::PermessageDeflate;
use crate::ws::frames::{self, Header, Opcode};

/// State of reading messages.
pub(super) struct Codec {
    read_buffer: ReadBuffer,
    single_frame: SingleFrame,
    /// Range in the read buffer of the last payload, if it was that of a single-frame message or of
    /// a Pong between messages. Otherwise it ends at 0.
    payload_range: Range<usize>,
    /// State of all other frames, present while it has something left to do.
    others: Option<Box<Others>>,
    /// Four bytes, as the next field: together they take as much as the limit alone would.
    max_message_size: u32,
    deflate: Option<PermessageDeflate>,
}

/// State of frames other than single-frame messages.
#[derive(Default)]
struct Others {
    /// tungstenite's state, present while it has something left to do.
    protocol: Option<Protocol>,
    compressed: Messages,
}

impl Codec {
    /// A codec that begins with the bytes that have been read already.
    pub(super) fn new(
        early: &[u8],
        max_message_size: usize,
        deflate: Option<PermessageDeflate>,
    ) -> Self {
        Self {
            read_buffer: ReadBuffer::new(early),
            single_frame: SingleFrame::default(),
            payload_range: 0..0,
            others: None,
            max_message_size: u32::try_from(max_message_size).unwrap_or(u32::MAX),
            deflate,
        }
    }

    /// Whether part of a message, or of a frame, has arrived.
    pub(super) fn is_mid_message(&self) -> bool {
        let is_mid_message =
            |others: &Others| others.protocol.is_some() || others.compressed.is_mid_message();
        !self.read_buffer.is_empty() || self.others.as_deref().is_some_and(is_mid_message)
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
            if let Some(received) = ready!(self.poll_others(io, replies, budget, cx))? {
                return Poll::Ready(Ok(received));
            }
            let limit = self.max_message_size as usize;
            let wanted = match self.single_frame.next(&mut self.read_buffer, limit)? {
                Start::Message(opcode, payload) => {
                    budget.frame(payload.len());
                    self.payload_range = payload;
                    return Poll::Ready(Ok(Received::Message(opcode)));
                }
                Start::Pong(payload) => {
                    budget.frame(payload.len());
                    self.payload_range = payload;
                    return Poll::Ready(Ok(Received::Control(Opcode::Pong)));
                }
                Start::Partial(_) if budget.is_spent() && !self.read_buffer.is_empty() => {
                    return Poll::Ready(Ok(Received::Part));
                }
                Start::Partial(size) => size,
                Start::Other(header) => {
                    budget.frame(0);
                    self.begin(&header)?;
                    continue;
                }
            };
            match ready!(self.read_buffer.poll_fill(wanted, io, cx))? {
                0 => return Poll::Ready(Err(ProtocolError::ResetWithoutClosingHandshake.into())),
                read => budget.call(read),
            }
        }
    }

    /// Begins a frame that is no single-frame message.
    fn begin(&mut self, header: &Header) -> Result<()> {
        let limit = self.max_message_size as usize;
        match self.deflate {
            Some(agreed) if deflate::is_compressed(header) => {
                let messages = &mut self.others.get_or_insert_default().compressed;
                messages.begin(agreed, header, limit, &mut self.read_buffer)
            }
            _ => {
                self.protocol().begin(header);
                Ok(())
            }
        }
    }

    /// Goes on with frames other than single-frame messages. Returns `None` if none are begun.
    #[inline(always)]
    fn poll_others<S>(
        &mut self,
        io: &mut TrackedIo<S>,
        replies: &mut WriteBuffer,
        budget: &mut Budget,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Received>>>
    where
        S: AsyncRead + Unpin,
    {
        let Some(others) = &mut self.others else {
            return Poll::Ready(Ok(None));
        };
        let limit = self.max_message_size as usize;
        let polled = others.poll(&mut self.read_buffer, io, replies, limit, budget, cx);
        let received = ready!(polled)?;
        if received.is_none() && others.is_idle() {
            self.others = None;
        }
        Poll::Ready(Ok(received))
    }

    /// The payload of what was received last. Text is UTF-8.
    pub(super) fn payload(&self) -> &[u8] {
        match (self.payload_range.end, &self.others) {
            (0, Some(others)) => others.payload(),
            _ => &self.read_buffer[self.payload_range.clone()],
        }
    }

    /// Number of the frames that the last message came in.
    pub(super) fn frames(&self) -> u32 {
        match (self.payload_range.end, &self.others) {
            (0, Some(others)) => others.frames(),
            _ => 1,
        }
    }

    /// Makes the frame that echoes the last message, in place, if it was a single-frame message.
    /// There is room: a server's header is shorter than that of a client, which has a mask.
    pub(super) fn frame(&mut self, opcode: Opcode) -> Option<&[u8]> {
        let Range { start, end } = self.payload_range;
        if end == 0 {
            return None;
        }
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
        let protocol = self
            .others
            .as_mut()
            .and_then(|others| others.protocol.as_mut());
        protocol.map_or_else(Bytes::new, Protocol::take_payload)
    }

    /// The agreed parameters of compression, if messages may be compressed.
    pub(super) fn deflate(&self) -> Option<PermessageDeflate> {
        self.deflate
    }

    /// Begins to compress the echo of the last message, which came compressed. Its end is
    /// [`Received::Echo`].
    pub(super) fn begin_echo(&mut self) {
        if let (Some(others), Some(agreed)) = (&mut self.others, self.deflate) {
            others.compressed.begin_echo(agreed);
        }
    }

    /// The compressed messages, if there are any.
    pub(super) fn compressed(&mut self) -> Option<&mut Messages> {
        self.others.as_mut().map(|others| &mut others.compressed)
    }

    fn protocol(&mut self) -> &mut Protocol {
        let limit = self.max_message_size as usize;
        self.others.get_or_insert_default().protocol(limit)
    }

    /// Adds the answer to a Ping or Close to `replies`, if one is owed.
    pub(super) fn answer(&mut self, replies: &mut WriteBuffer) -> Result<()> {
        let protocol = self
            .others
            .as_mut()
            .and_then(|others| others.protocol.as_mut());
        protocol.map_or(Ok(()), |protocol| protocol.answer(replies))
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

impl Others {
    /// Returns the message or control frame that the begun frames make, or `None` once all have been
    /// returned.
    fn poll<S>(
        &mut self,
        read_buffer: &mut ReadBuffer,
        io: &mut TrackedIo<S>,
        replies: &mut WriteBuffer,
        limit: usize,
        budget: &mut Budget,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Received>>>
    where
        S: AsyncRead + Unpin,
    {
        loop {
            if let Some(protocol) = &mut self.protocol {
                match ready!(protocol.poll_next(read_buffer, io, replies, budget, cx))? {
                    Some(received) => return Poll::Ready(Ok(Some(received))),
                    None if protocol.is_open() => self.protocol = None,
                    None => {}
                }
            }
            match ready!(self.compressed.poll(read_buffer, io, budget, cx))? {
                Next::Received(received) => return Poll::Ready(Ok(Some(received))),
                Next::Control(header) => self.protocol(limit).begin(&header),
                Next::Nothing => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// Whether nothing is left to do.
    fn is_idle(&self) -> bool {
        self.protocol.is_none() && self.compressed.is_idle()
    }

    fn payload(&self) -> &[u8] {
        match &self.protocol {
            Some(protocol) => protocol.payload(),
            None => self.compressed.payload(),
        }
    }

    fn frames(&self) -> u32 {
        match &self.protocol {
            Some(protocol) => protocol.message_frames(),
            None => self.compressed.frames(),
        }
    }

    fn protocol(&mut self, limit: usize) -> &mut Protocol {
        self.protocol.get_or_insert_with(|| Protocol::new(limit))
    }
}
