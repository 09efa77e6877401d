//! Compression of messages, piece by piece.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::num::NonZero;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use super::output::Output;
use crate::runtime::budget::Budget;
use crate::ws::deflate::{MAX_WINDOW, MIN_WINDOW, PermessageDeflate};

/// The fastest level.
const LEVEL: i32 = 1;

/// Most bytes that go into one call of zlib.
const PIECE: usize = 16 << 10;

/// Least room for the output of one call: with less, zlib may flush twice.
const LEAST_ROOM: usize = 64;

/// End of an empty stored block, with which zlib flushes. It is removed (RFC 7692, section 7.2.1).
const FLUSHED: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// An empty message: the start of an empty stored block.
const EMPTY: u8 = 0x00;

/// Number of windows, from the smallest to the largest.
const WINDOWS: usize = (MAX_WINDOW - MIN_WINDOW + 1) as usize;

thread_local! {
    /// Compressors for the next messages of a thread's sessions, by their windows.
    static SPARE: [Cell<Option<Box<Deflate>>>; WINDOWS] =
        const { [const { Cell::new(None) }; WINDOWS] };
}

/// A session's compressor: one that it keeps, or else those of the thread.
#[derive(Default)]
pub(in crate::session) struct Compressor(Option<Box<Deflate>>);

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Compressor {
    /// Whether the session keeps none.
    pub(super) fn is_idle(&self) -> bool {
        self.0.is_none()
    }

    /// Begins to compress a message.
    pub(in crate::session) fn begin(&mut self, agreed: PermessageDeflate) -> Deflation {
        let earlier = match agreed.server_takeover {
            true => self.0.take(),
            false => SPARE.with(|spare| spare[index(agreed)].take()),
        };
        Deflation {
            deflate: earlier.unwrap_or_else(|| Box::new(compressor(agreed))),
            output: Output::new(),
            taken: 0,
            agreed,
        }
    }

    /// The message that has been compressed.
    pub(in crate::session) fn end(&mut self, deflation: Deflation) -> Output {
        let Deflation {
            mut deflate,
            output,
            agreed,
            ..
        } = deflation;
        match agreed.server_takeover {
            true => self.0 = Some(deflate),
            false => {
                deflate.reset();
                SPARE.with(|spare| spare[index(agreed)].set(Some(deflate)));
            }
        }
        output
    }
}

/// A message that is being compressed. If it is dropped before its end, its compressor is dropped
/// too: reset in the midst of a block, zlib has been seen to make garbage of the next message.
pub(in crate::session) struct Deflation {
    deflate: Box<Deflate>,
    output: Output,
    /// Number of bytes that have gone in.
    taken: usize,
    agreed: PermessageDeflate,
}

impl fmt::Debug for Deflation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Deflation");
        debug.field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl Deflation {
    /// Compresses a piece of the message, and returns whether it was the last one.
    ///
    /// # Errors
    /// Never, unless zlib has an error of its own.
    pub(in crate::session) fn step(
        &mut self,
        message: &[u8],
        budget: &mut Budget,
    ) -> io::Result<bool> {
        if message.is_empty() {
            self.output.push(EMPTY);
            return Ok(true);
        }
        let rest = &message[self.taken..];
        let (piece, flush) = match rest.get(..PIECE) {
            Some(piece) if piece.len() < rest.len() => (piece, DeflateFlush::NoFlush),
            _ => (rest, DeflateFlush::SyncFlush),
        };
        let room = self.output.room(LEAST_ROOM, 2 * PIECE);
        let (before, made) = (self.deflate.total_in(), self.deflate.total_out());
        let deflated = self.deflate.compress(piece, room, flush);
        let taken = (self.deflate.total_in() - before) as usize;
        let made = (self.deflate.total_out() - made) as usize;
        let is_behind = made == room.len();
        self.output.grow(made);
        self.taken += taken;
        budget.deflate(taken, made);
        deflated.map_err(|error| io::Error::other(error.as_str()))?;
        if self.taken < message.len() || is_behind {
            return Ok(false);
        }
        match self.output.strip(&FLUSHED) {
            true => Ok(true),
            false => Err(io::Error::other("the compressor did not flush")),
        }
    }
}

/// Bits of the compressor's window.
fn window(agreed: PermessageDeflate) -> u8 {
    let bits = agreed.server_window.map_or(MAX_WINDOW, NonZero::get);
    bits.clamp(MIN_WINDOW, MAX_WINDOW)
}

fn index(agreed: PermessageDeflate) -> usize {
    usize::from(window(agreed) - MIN_WINDOW)
}

fn compressor(agreed: PermessageDeflate) -> Deflate {
    Deflate::new_with_config(DeflateConfig {
        level: LEVEL,
        // A negative number stands for a raw stream.
        window_bits: -i32::from(window(agreed)),
        ..DeflateConfig::default()
    })
}
