//! The bytes that a compressed message may refer to.

use std::collections::VecDeque;

/// End of all messages of one direction: all that zlib needs to go on with the next one.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<u8>);

impl History {
    /// Whether it takes no memory.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Appends a message, and forgets what is out of a window of this many bytes.
    pub(super) fn push(&mut self, message: &[u8], window: usize) {
        let message = &message[message.len().saturating_sub(window)..];
        let size = self.0.len() + message.len();
        self.0.drain(..size.saturating_sub(window));
        let size = self.0.len() + message.len();
        if size > self.0.capacity() {
            let capacity = size.max(2 * self.0.capacity()).min(window);
            self.0.reserve_exact(capacity - self.0.len());
        }
        self.0.extend(message);
    }

    /// The bytes in their order, in one piece or two.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let (front, back) = self.0.as_slices();
        [front, back].into_iter().filter(|piece| !piece.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_all_messages_is_kept_and_no_more_memory_than_the_window_has() {
        const WINDOW: usize = 512;
        let mut history = History::default();
        let mut all = Vec::new();
        for (number, size) in [0, 3, 200, 300, 8, 1, 511, 512, 513, 2_000, 7, 100]
            .into_iter()
            .enumerate()
        {
            let message: Vec<u8> = (0..size).map(|i| (i * 7 + number) as u8).collect();
            history.push(&message, WINDOW);
            all.extend(message);
            let kept: Vec<u8> = history.pieces().flatten().copied().collect();
            assert_eq!(kept, all[all.len().saturating_sub(WINDOW)..]);
            assert!(history.0.capacity() <= WINDOW, "{}", history.0.capacity());
        }
    }
}
