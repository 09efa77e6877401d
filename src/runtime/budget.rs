//! Occurrences: the work that a session, or a connection, may do before others have theirs.

use std::pin::pin;
use std::task::Context;

use tokio::task::yield_now;

/// Work of a turn: some 100 µs in a release build, whatever it is made of.
const TURN: usize = 512 << 10;

/// Work of a read, and of the write that may follow, beside that for their bytes.
const CALL: usize = 16 << 10;

/// Work of a frame, beside that for its payload.
const FRAME: usize = 1 << 10;

/// Work of a piece of a message that is made ready to be sent.
const PIECE: usize = 64;

/// Rest of a turn. Work is counted in bytes that are copied once: a message counts when it is read,
/// and again when it is handled.
///
/// Work is counted, and not time: to ask for the time costs as much as a short message.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self { left: TURN }
    }

    /// Counts a read or a write of so many bytes.
    pub(crate) fn call(&mut self, bytes: usize) {
        self.spend(CALL.saturating_add(bytes));
    }

    /// Counts a frame with so many bytes of payload, which may be empty, or a fragment.
    pub(crate) fn frame(&mut self, payload: usize) {
        self.spend(FRAME.saturating_add(payload));
    }

    /// Counts a piece of a message, or a fragment, that is made ready to be sent.
    pub(crate) fn piece(&mut self) {
        self.spend(PIECE);
    }

    fn spend(&mut self, work: usize) {
        self.left = self.left.saturating_sub(work);
    }

    /// Whether the budget is used up.
    pub(crate) fn is_spent(&self) -> bool {
        self.left == 0
    }
}

/// Wakes the current task after others have had their turn and the sockets have been polled: waking
/// it directly would skip both.
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
