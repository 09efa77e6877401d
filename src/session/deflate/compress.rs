//! Compression of messages, piece by piece.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use super::history::History;
use super::output::Output;
use crate::runtime::budget::Budget;
use crate::ws::deflate::{MAX_WINDOW, MIN_WINDOW, PermessageDeflate};

/// The fastest level.
const LEVEL: i32 = 1;

/// Level of memory for what waits to be written. At the fastest level more makes the output no
/// smaller, and a compressor is slower to reset.
const MEMORY_LEVEL: i32 = 5;

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

/// Most bytes that a session keeps for its compressor. A compressor that is restored looks back no
/// further: with 32 KiB that takes longer than to compress a message of 16 KiB.
const MOST_HISTORY: usize = 8 << 10;

/// Compressors of sessions with takeover that a thread keeps.
const MOST_RECENT: usize = 8;

thread_local! {
    /// Compressors for the next messages of a thread's sessions, by their windows.
    static SPARE: [Cell<Option<Box<Deflate>>>; WINDOWS] =
        const { [const { Cell::new(None) }; WINDOWS] };

    /// Compressors that the last sessions with takeover have left here, the oldest first.
    static RECENT: RefCell<VecDeque<Recent>> = const { RefCell::new(VecDeque::new()) };
}

/// A compressor that has its session's messages in its window.
struct Recent {
    stamp: Stamp,
    deflate: Box<Deflate>,
    agreed: PermessageDeflate,
}

/// Mark of a compressor after a message. No two are the same, so that a session which has compressed
/// on another thread since then does not find it.
type Stamp = NonZero<u64>;

/// A session's compressor. A session with takeover keeps only the end of what went into it, and goes on
/// with one of the thread's compressors.
#[derive(Default)]
pub(in crate::session) struct Compressor {
    history: History,
    /// Mark of the compressor that the session left to a thread.
    recent: Option<Stamp>,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Compressor {
    /// Whether the session keeps nothing.
    pub(super) fn is_idle(&self) -> bool {
        self.history.is_empty()
    }

    /// Begins to compress a message.
    pub(in crate::session) fn begin(&mut self, agreed: PermessageDeflate) -> Deflation {
        let (deflate, told) = match self.recent.take().and_then(take_recent) {
            Some(recent) => (recent, 0),
            None => (self.restore(agreed), self.history.len()),
        };
        Deflation {
            deflate,
            told,
            output: Output::new(),
            taken: 0,
            agreed,
        }
    }

    /// A compressor that has the session's messages in its window, if there were any.
    fn restore(&self, agreed: PermessageDeflate) -> Box<Deflate> {
        let spare = SPARE.with(|spare| spare[index(agreed)].take());
        let mut deflate = spare.unwrap_or_else(|| Box::new(compressor(agreed)));
        for piece in self.history.pieces() {
            // A raw stream takes any history at its start.
            let _ = deflate.set_dictionary(piece);
        }
        deflate
    }

    /// The compressed form of this message, which has been compressed.
    pub(in crate::session) fn end(&mut self, deflation: Deflation, message: &[u8]) -> Output {
        let Deflation {
            deflate,
            output,
            agreed,
            ..
        } = deflation;
        match agreed.server_takeover {
            true => {
                let window = 1 << window(agreed);
                self.history.push(message, MOST_HISTORY.min(window));
                self.recent = Some(leave_recent(deflate, agreed));
            }
            false => give_back(deflate, agreed),
        }
        output
    }
}

/// The compressor with this mark, if the thread still has it.
fn take_recent(stamp: Stamp) -> Option<Box<Deflate>> {
    RECENT.with_borrow_mut(|recent| {
        let index = recent.iter().rposition(|recent| recent.stamp == stamp)?;
        Some(recent.remove(index)?.deflate)
    })
}

/// Leaves a compressor to the thread, in place of the oldest, and returns the mark to find it by.
fn leave_recent(deflate: Box<Deflate>, agreed: PermessageDeflate) -> Stamp {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let stamp = Stamp::MIN.saturating_add(NEXT.fetch_add(1, Ordering::Relaxed));
    let oldest = RECENT.with_borrow_mut(|recent| {
        recent.push_back(Recent {
            stamp,
            deflate,
            agreed,
        });
        match recent.len() > MOST_RECENT {
            true => recent.pop_front(),
            false => None,
        }
    });
    if let Some(oldest) = oldest {
        give_back(oldest.deflate, oldest.agreed);
    }
    stamp
}

/// Gives a compressor back to the thread, for the next message of any session.
fn give_back(mut deflate: Box<Deflate>, agreed: PermessageDeflate) {
    deflate.reset();
    SPARE.with(|spare| spare[index(agreed)].set(Some(deflate)));
}

/// A message that is being compressed. If it is dropped before its end, its compressor is dropped
/// too: reset in the midst of a block, zlib has been seen to make garbage of the next message.
pub(in crate::session) struct Deflation {
    deflate: Box<Deflate>,
    /// Bytes of earlier messages that the compressor was told for this one.
    told: usize,
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
        if self.taken == 0 {
            budget.compressor(self.told);
        }
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
        mem_level: MEMORY_LEVEL,
        ..DeflateConfig::default()
    })
}
