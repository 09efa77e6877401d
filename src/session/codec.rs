//! The codec: from bytes to messages. It has memory only for what is on its way: an idle connection
//! has no buffer, and a large message leaves none behind.

use std::mem;
use std::ops::Range;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncRead;
use tokio_tungstenite::tungstenite::Result;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::input::Input;
use super::outbox::Outbox;
use super::plain::{Plain, Start};
use super::protocol::{Protocol, Received};
use crate::net::wire::Wire;
use crate::runtime::turn::Turn;
use crate::ws::frames::{self, Opcode};

/// The state of reading.
pub(super) struct Codec {
    input: Input,
    plain: Plain,
    /// Where in the input the payload of a plain message is, if that is what came last.
    place: Range<usize>,
    /// There while it has something to say.
    protocol: Option<Box<Protocol>>,
    max_message_size: usize,
}

impl Codec {
    /// Begins with the bytes that have been read already.
    pub(super) fn new(early: &[u8], max_message_size: usize) -> Self {
        Self {
            input: Input::new(early),
            plain: Plain::default(),
            place: 0..0,
            protocol: None,
            max_message_size,
        }
    }

    /// Whether part of a message, or of a frame, has arrived.
    pub(super) fn is_mid_message(&self) -> bool {
        !self.input.is_empty() || self.protocol.is_some()
    }

    /// Whether more may be at hand than what came last: it need not be waited for.
    pub(super) fn has_more(&self) -> bool {
        self.input.len() > self.place.end || self.input.is_behind()
    }

    /// Takes no more memory than it needs, before it is left alone for some time.
    pub(super) fn settle(&mut self) {
        self.input.settle();
    }

    /// What comes next. The answer to a Ping or Close is added to `replies` when the next is asked
    /// for.
    // Every call less around a system call shows: see benches/README.md.
    #[inline(always)]
    pub(super) fn poll_next<S>(
        &mut self,
        wire: &mut Wire<S>,
        replies: &mut Outbox,
        turn: &mut Turn,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Received>>
    where
        S: AsyncRead + Unpin,
    {
        let had = mem::replace(&mut self.place, 0..0);
        self.input.advance(had.end);
        loop {
            if let Some(protocol) = &mut self.protocol {
                match ready!(protocol.poll_next(&mut self.input, wire, replies, turn, cx))? {
                    Some(received) => return Poll::Ready(Ok(received)),
                    None if protocol.is_open() => self.protocol = None,
                    None => {}
                }
            }
            let wanted = match self.plain.next(&mut self.input, self.max_message_size)? {
                Start::Message(opcode, payload) => {
                    turn.frame(payload.len());
                    self.place = payload;
                    return Poll::Ready(Ok(Received::Message(opcode)));
                }
                Start::Partial(_) if turn.is_over() && !self.input.is_empty() => {
                    return Poll::Ready(Ok(Received::Part));
                }
                Start::Partial(size) => size,
                Start::Other(header) => {
                    turn.frame(0);
                    self.protocol().begin(&header);
                    continue;
                }
            };
            match ready!(self.input.poll_fill(wanted, wire, cx))? {
                0 => return Poll::Ready(Err(ProtocolError::ResetWithoutClosingHandshake.into())),
                read => turn.call(read),
            }
        }
    }

    /// The payload of what came last. Text is UTF-8.
    pub(super) fn payload(&self) -> &[u8] {
        match &self.protocol {
            Some(protocol) => protocol.payload(),
            None => &self.input[self.place.clone()],
        }
    }

    /// Makes the frame that sends a plain message back, if that is what came last, where the message
    /// lies. There is room: a server's header is shorter than that of a client, which has a mask.
    pub(super) fn frame(&mut self, opcode: Opcode) -> Option<&[u8]> {
        if self.protocol.is_some() {
            return None;
        }
        let Range { start, end } = self.place;
        let frame = self.frame_start();
        let mut header = &mut self.input[frame..start];
        frames::put_header(opcode, end - start, &mut header);
        Some(&self.input[frame..end])
    }

    fn frame_start(&self) -> usize {
        self.place.start - frames::header_size(self.place.len())
    }

    /// Takes the [frame](Self::frame), but for so many bytes at its front.
    pub(super) fn take_frame(&mut self, without: usize) -> Bytes {
        let start = self.frame_start() + without;
        let mut frame = self.input.split_to(self.place.end);
        self.place = 0..0;
        frame.advance(start);
        frame.freeze()
    }

    /// Takes the payload of what came last, if that was not a plain message.
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
    pub(super) fn answer(&mut self, replies: &mut Outbox) -> Result<()> {
        match &mut self.protocol {
            Some(protocol) => protocol.answer(replies),
            None => Ok(()),
        }
    }

    /// Adds Close to `replies`.
    pub(super) fn close(&mut self, frame: Option<CloseFrame>, replies: &mut Outbox) -> Result<()> {
        self.protocol().close(frame, replies)
    }
}
