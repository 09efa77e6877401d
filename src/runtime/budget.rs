//! Budget of a turn: the work that a session or a connection may do before others have a turn.

use std::pin::pin;
use std::task::Context;

use tokio::task::yield_now;

/// Work of one turn: about 100 µs in a release build, whatever the work consists of.
const TURN: usize = 512 << 10;

/// Work of a read and of the write that may follow, besides the work for their bytes.
const CALL: usize = 16 << 10;

/// Work of a frame, besides the work for its payload.
const FRAME: usize = 1 << 10;

/// Work of preparing a piece of a message for sending.
const PIECE: usize = 64;

/// Work of a compressed byte that is decompressed, besides the work for what comes out.
const INFLATED: usize = 12;

/// Work of a compressed byte that is made, besides the work for what it is made from.
const DEFLATED: usize = 50;

/// Work of a compressor before it takes a message.
const COMPRESSOR: usize = 20 << 10;

/// Work of a decompressor before it takes a message.
const DECOMPRESSOR: usize = 2 << 10;

/// Work of a byte of earlier messages that a compressor is told.
const TOLD: usize = 4;

/// Work left in a turn, in bytes that are copied once: a message counts when it is read, and again
/// when it is handled.
///
/// Time is not measured: reading the clock costs as much as a short message.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self { left: TURN }
    }

    /// Counts a read or a write of this many bytes.
    pub(crate) fn call(&mut self, bytes: usize) {
        self.spend(CALL.saturating_add(bytes));
    }

    /// Counts a frame, or a fragment, with this many bytes of payload. There may be none.
    pub(crate) fn frame(&mut self, payload: usize) {
        self.spend(FRAME.saturating_add(payload));
    }

    /// Counts a piece of a message, or a fragment, that is prepared for sending.
    pub(crate) fn piece(&mut self) {
        self.spend(PIECE);
    }

    /// Counts the decompression of so many bytes into `made`.
    pub(crate) fn inflate(&mut self, taken: usize, made: usize) {
        let of_input = taken.saturating_mul(INFLATED);
        self.spend(of_input.saturating_add(made.saturating_mul(2)));
    }

    /// Counts the compression of so many bytes into `made`.
    pub(crate) fn deflate(&mut self, taken: usize, made: usize) {
        let of_output = made.saturating_mul(DEFLATED);
        self.spend(of_output.saturating_add(taken.saturating_mul(2)));
    }

    /// Counts the preparation of a decompressor, which is told so many bytes of earlier messages.
    pub(crate) fn decompressor(&mut self, history: usize) {
        self.spend(DECOMPRESSOR.saturating_add(history));
    }

    /// Counts the preparation of a compressor, which is told so many bytes of earlier messages.
    pub(crate) fn compressor(&mut self, history: usize) {
        self.spend(COMPRESSOR.saturating_add(history.saturating_mul(TOLD)));
    }

    fn spend(&mut self, work: usize) {
        self.left = self.left.saturating_sub(work);
    }

    /// Whether the budget is used up.
    pub(crate) fn is_spent(&self) -> bool {
        self.left == 0
    }
}

/// Wakes the current task after other tasks have had a turn and the sockets have been polled.
/// Waking it directly would skip both.
pub(crate) fn give_way(cx: &mut Context<'_>) {
    // A first poll is never ready.
    let _ = pin!(yield_now()).poll(cx);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of times that `work` can be done in a turn.
    fn times(work: impl Fn(&mut Budget)) -> usize {
        let mut budget = Budget::new();
        let mut times = 0;
        while !budget.is_spent() {
            work(&mut budget);
            times += 1;
        }
        times
    }

    #[test]
    fn a_turn_has_room_for_a_bounded_amount_of_work_of_any_kind() {
        assert_eq!(times(|budget| budget.frame(0)), 512);
        assert_eq!(times(|budget| budget.frame(125)), 457);
        assert_eq!(times(|budget| budget.frame(64 << 10)), 8);
        assert_eq!(times(|budget| budget.call(1)), 32);
        assert_eq!(times(|budget| budget.call(256 << 10)), 2);
        assert_eq!(times(|budget| budget.frame(usize::MAX)), 1);
        assert_eq!(times(|budget| budget.piece()), 8 << 10);
        assert_eq!(times(|budget| budget.compressor(0)), 26);
        assert_eq!(times(|budget| budget.compressor(8 << 10)), 10);
        assert_eq!(times(|budget| budget.decompressor(0)), 256);
        assert_eq!(times(|budget| budget.decompressor(32 << 10)), 16);
        // JSON, and what a bomb has.
        assert_eq!(times(|budget| budget.inflate(5 << 10, 16 << 10)), 6);
        assert_eq!(times(|budget| budget.inflate(32, 32 << 10)), 8);
        assert_eq!(times(|budget| budget.deflate(16 << 10, 5 << 10)), 2);
    }

    #[test]
    fn all_work_of_a_turn_is_added_up() {
        let mixed = |budget: &mut Budget| {
            budget.call(1000);
            for _ in 0..10 {
                budget.frame(100);
            }
        };
        assert_eq!(times(mixed), 19);
    }
}
