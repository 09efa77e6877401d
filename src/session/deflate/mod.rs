//! permessage-deflate (RFC 7692): compressed messages, in both directions.
//!
//! Compressors, decompressors and their memory belong to the thread, and a session borrows them for a
//! message. With context takeover the session keeps the ends of what it has received and sent, which
//! the next message may refer to.
//!
//! | room | purpose |
//! |---|---|
//! | [`receive`] | the frames of a compressed message |
//! | [`inflate`] | decompression |
//! | [`compress`] | compression |
//! | [`history`] | what the next message may refer to |
//! | [`output`] | memory for what comes out of zlib |

mod compress;
mod history;
mod inflate;
mod output;
mod receive;

use std::mem;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncRead;
use tokio_tungstenite::tungstenite::Result;

use super::protocol::Received;
use super::read_buffer::ReadBuffer;
use crate::runtime::budget::Budget;
use crate::session::tracked_io::TrackedIo;
use crate::ws::deflate::PermessageDeflate;
use crate::ws::frames::{BINARY, FIN, Header, Opcode, RSV1, TEXT};
pub(super) use compress::{Compressor, Deflation};
use history::History;
pub(super) use output::Output;
use receive::{Event, Receiving};

/// A session's compressed messages, one at a time.
#[derive(Default)]
pub(super) struct Messages {
    state: State,
    /// End of what came out of the decompressor, with takeover.
    history: History,
    /// Compressor of the session, with the end of what went into it.
    compressor: Compressor,
    /// Number of the frames of the last message that is complete.
    frames: u32,
}

/// State of a message.
#[derive(Default)]
enum State {
    /// There is none.
    #[default]
    None,
    Receiving(Receiving),
    /// It is complete.
    Received(Opcode, Output),
    /// Its echo is being compressed.
    Deflating(Opcode, Output, Deflation),
    /// Its echo is compressed.
    Deflated(Opcode, Output),
}

/// Whether a frame begins a compressed message. If another reserved bit is set, it is illegal.
pub(super) fn is_compressed(header: &Header) -> bool {
    matches!(header.first & !FIN, first if first == RSV1 | TEXT || first == RSV1 | BINARY)
}

/// Outcome of a poll.
pub(super) enum Next {
    Received(Received),
    /// A control frame begins in the midst of a message.
    Control(Header),
    /// There is no compressed message.
    Nothing,
}

impl Messages {
    /// Whether it takes memory for nothing.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::None) && self.history.is_empty() && self.compressor.is_idle()
    }

    /// Whether part of a message has come.
    pub(super) fn is_mid_message(&self) -> bool {
        matches!(self.state, State::Receiving(_))
    }

    /// Whether an echo is being compressed.
    pub(super) fn owes_echo(&self) -> bool {
        matches!(self.state, State::Deflating(..))
    }

    /// Begins the message whose first frame is at the start of the read buffer.
    pub(super) fn begin(
        &mut self,
        agreed: PermessageDeflate,
        header: &Header,
        limit: usize,
        read_buffer: &mut ReadBuffer,
    ) -> Result<()> {
        let receiving = Receiving::begin(agreed, header, limit, read_buffer)?;
        self.state = State::Receiving(receiving);
        Ok(())
    }

    /// Goes on with the message: receives it, or compresses its echo.
    pub(super) fn poll<S: AsyncRead + Unpin>(
        &mut self,
        read_buffer: &mut ReadBuffer,
        io: &mut TrackedIo<S>,
        budget: &mut Budget,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Next>> {
        if let State::Receiving(receiving) = &mut self.state {
            return Poll::Ready(Ok(
                match ready!(receiving.poll(&self.history, read_buffer, io, budget, cx))? {
                    Event::Complete => self.complete(),
                    Event::Part => Next::Received(Received::Part),
                    Event::Control(header) => Next::Control(header),
                },
            ));
        }
        Poll::Ready(self.deflate(budget))
    }

    fn complete(&mut self) -> Next {
        let State::Receiving(receiving) = mem::take(&mut self.state) else {
            return Next::Nothing;
        };
        let opcode = receiving.opcode;
        self.frames = receiving.frames;
        let output = receiving.into_output(&mut self.history);
        self.state = State::Received(opcode, output);
        Next::Received(Received::Compressed(opcode))
    }

    /// Compresses the echo as far as the turn allows. A message that gets none is dropped.
    pub(super) fn deflate(&mut self, budget: &mut Budget) -> Result<Next> {
        while let State::Deflating(_, message, deflation) = &mut self.state {
            if budget.is_spent() {
                return Ok(Next::Received(Received::Part));
            }
            if deflation.step(message, budget)? {
                return Ok(self.complete_echo());
            }
        }
        if let State::Received(_, output) | State::Deflated(_, output) = mem::take(&mut self.state)
        {
            output.give_back();
        }
        Ok(Next::Nothing)
    }

    fn complete_echo(&mut self) -> Next {
        let State::Deflating(opcode, message, deflation) = mem::take(&mut self.state) else {
            return Next::Nothing;
        };
        let output = self.compressor.end(deflation, &message);
        message.give_back();
        self.state = State::Deflated(opcode, output);
        Next::Received(Received::Echo)
    }

    /// Begins to compress the echo of the message that is complete.
    pub(super) fn begin_echo(&mut self, agreed: PermessageDeflate) {
        self.state = match mem::take(&mut self.state) {
            State::Received(opcode, message) => {
                let deflation = self.compressor.begin(agreed);
                State::Deflating(opcode, message, deflation)
            }
            other => other,
        };
    }

    /// Number of the frames of the last message that is complete.
    pub(super) fn frames(&self) -> u32 {
        self.frames
    }

    /// The message that is complete.
    pub(super) fn payload(&self) -> &[u8] {
        match &self.state {
            State::Received(_, message) => message,
            _ => &[],
        }
    }

    /// The frame of the echo that is compressed.
    pub(super) fn frame(&mut self) -> &[u8] {
        match &mut self.state {
            State::Deflated(opcode, output) => output.frame(*opcode),
            _ => &[],
        }
    }

    /// Takes the [frame](Self::frame), without this many bytes at its front.
    pub(super) fn take_frame(&mut self, without: usize) -> Bytes {
        match mem::take(&mut self.state) {
            State::Deflated(_, output) => output.into_frame(without),
            other => {
                self.state = other;
                Bytes::new()
            }
        }
    }
}
