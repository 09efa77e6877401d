//! Decompression of messages, piece by piece.

use std::cell::Cell;
use std::num::NonZero;

use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::{Error, Result};
use zlib_rs::{Inflate, InflateFlush, Status};

use super::history::History;
use super::output::Output;
use crate::runtime::budget::Budget;
use crate::session::utf8::is_utf8;
use crate::ws::close::NotDeflate;
use crate::ws::deflate::{MAX_WINDOW, MIN_WINDOW, PermessageDeflate};
use crate::ws::frames::Opcode;

/// Most bytes that come out of one call of zlib.
const PIECE: usize = 32 << 10;

/// Input behind the end of a message. First come the bytes that its sender removed there, the end of
/// an empty stored block (RFC 7692, section 7.2.1). Then comes a stored block with BFINAL: zlib takes
/// it for the end, unless the message was cut off in the middle of a block.
const BEHIND: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

/// Bytes of the largest window.
const LARGEST_WINDOW: usize = 1 << MAX_WINDOW;

thread_local! {
    /// Decompressor for the next message of a thread's sessions.
    static SPARE: Cell<Option<Box<Inflate>>> = const { Cell::new(None) };
}

/// A message that is being decompressed.
pub(super) struct Inflation {
    inflate: Box<Inflate>,
    output: Output,
    limit: usize,
    is_text: bool,
    agreed: PermessageDeflate,
    position: Position,
    /// Whether zlib may have more output for the input that it has.
    is_behind: bool,
    /// Number of bytes from [`BEHIND`] that zlib has.
    behind: usize,
}

/// Place in a stream of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// At the start of a message.
    Start,
    Within,
    /// Behind a block with BFINAL.
    End,
}

impl Inflation {
    /// Begins a message of at most `limit` bytes.
    pub(super) fn begin(agreed: PermessageDeflate, opcode: Opcode, limit: usize) -> Self {
        let spare = SPARE.take();
        Self {
            inflate: spare.unwrap_or_else(|| Box::new(Inflate::new(false, MAX_WINDOW))),
            output: Output::new(),
            limit,
            is_text: opcode == Opcode::Text,
            agreed,
            position: Position::Start,
            is_behind: false,
            behind: 0,
        }
    }

    /// Largest number of bytes that may come out.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Reduces the memory, before a wait that may be long.
    pub(super) fn settle(&mut self) {
        self.output.settle();
    }

    /// Whether there may be more output without more input.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Decompresses a piece, and returns how many bytes of `input` it took. The message may refer to
    /// `history`.
    ///
    /// # Errors
    /// When the input is no compressed message, or one that is too large, or text that is not UTF-8.
    pub(super) fn step(
        &mut self,
        input: &[u8],
        history: &History,
        budget: &mut Budget,
    ) -> Result<usize> {
        if self.position != Position::Within && !input.is_empty() {
            self.begin_stream(history, budget);
        }
        let checked = self.output.len();
        // One byte beyond the limit shows that the message is too large.
        let most = PIECE.min(self.limit.saturating_add(1) - checked);
        let room = self.output.room(1, most);
        let (taken, made) = (self.inflate.total_in(), self.inflate.total_out());
        let inflated = self
            .inflate
            .decompress(input, room, InflateFlush::SyncFlush);
        let taken = (self.inflate.total_in() - taken) as usize;
        let made = (self.inflate.total_out() - made) as usize;
        self.is_behind = made == room.len();
        self.output.grow(made);
        budget.inflate(taken, made);
        match inflated.map_err(|_| NotDeflate)? {
            Status::StreamEnd => (self.position, self.is_behind) = (Position::End, false),
            _ if taken + made > 0 => self.position = Position::Within,
            _ if !input.is_empty() => return Err(NotDeflate.into()),
            _ => {}
        }
        self.check(checked)?;
        Ok(taken)
    }

    /// Begins a stream of zlib's: at the start of the message, or behind a block with BFINAL. It may
    /// refer to earlier messages, and to what came out so far.
    fn begin_stream(&mut self, history: &History, budget: &mut Budget) {
        let recent = &self.output[self.output.len().saturating_sub(LARGEST_WINDOW)..];
        self.inflate.reset(false);
        for piece in history.pieces().chain([recent]) {
            // A raw stream takes any history at its start.
            let _ = self.inflate.set_dictionary(piece);
        }
        budget.decompressor(history.len() + recent.len());
    }

    /// Checks the output, of which this many bytes are checked already.
    fn check(&self, checked: usize) -> Result<()> {
        let (size, max_size) = (self.output.len(), self.limit);
        if size > max_size {
            return Err(CapacityError::MessageTooLong { size, max_size }.into());
        }
        match self.is_text && !is_utf8(&self.output, checked, false) {
            true => Err(Error::Utf8(String::new())),
            false => Ok(()),
        }
    }

    /// Decompresses to the end of the message, behind all input. Returns whether it has come.
    ///
    /// # Errors
    /// When the message is cut off, too large, or text that is not UTF-8.
    pub(super) fn finish(&mut self, history: &History, budget: &mut Budget) -> Result<bool> {
        // Nothing was compressed, or the last block says that it is the last.
        let is_complete = self.behind == 0 && self.position != Position::Within;
        while !is_complete && (self.behind < BEHIND.len() || self.is_behind) {
            if budget.is_spent() {
                return Ok(false);
            }
            self.behind += self.step(&BEHIND[self.behind..], history, budget)?;
        }
        if !is_complete && self.position != Position::End {
            return Err(NotDeflate.into());
        }
        match self.is_text && !is_utf8(&self.output, self.output.len(), true) {
            true => Err(Error::Utf8(String::new())),
            false => Ok(true),
        }
    }

    /// The message that has come to its end. With takeover it becomes history.
    pub(super) fn into_output(self, history: &mut History) -> Output {
        if self.agreed.client_takeover {
            history.push(&self.output, 1 << window(self.agreed));
        }
        SPARE.set(Some(self.inflate));
        self.output
    }
}

/// Bits of the window of the client's compressor.
fn window(agreed: PermessageDeflate) -> u8 {
    let bits = agreed.client_window.map_or(MAX_WINDOW, NonZero::get);
    bits.clamp(MIN_WINDOW, MAX_WINDOW)
}
