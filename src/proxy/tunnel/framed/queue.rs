//! Bytes on their way to one side, each with the moment at which they are due.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::session::faulty::Action;

/// Bytes that wait at which the source is not read any more.
const LIMIT: usize = 4 << 20;

/// Bytes and ends that wait, in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: VecDeque<Item>,
    /// Bytes in it.
    bytes: usize,
    /// Bytes of the first item that have been written.
    written: usize,
}

#[derive(Debug)]
struct Item {
    due: Instant,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Bytes(Vec<u8>),
    /// An end of the tunnel, once all before it is written.
    End(Action),
}

/// The first thing that is due.
pub(super) enum Due<'a> {
    Nothing,
    Bytes(&'a [u8]),
    End(Action),
}

impl Queue {
    /// Whether more may be put in.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < LIMIT
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes at the back, to append what is due at this moment, or with the last if that is later.
    pub(super) fn append(&mut self, due: Instant, put: impl FnOnce(&mut Vec<u8>)) {
        let due = self.items.back().map_or(due, |last| last.due.max(due));
        let mut bytes = match self.items.pop_back() {
            Some(Item {
                due: last,
                content: Content::Bytes(bytes),
            }) if last == due => bytes,
            other => {
                self.items.extend(other);
                Vec::new()
            }
        };
        let before = bytes.len();
        put(&mut bytes);
        self.bytes += bytes.len() - before;
        if !bytes.is_empty() {
            let content = Content::Bytes(bytes);
            self.items.push_back(Item { due, content });
        }
    }

    /// Puts an end of the tunnel behind all that waits.
    pub(super) fn end(&mut self, due: Instant, action: Action) {
        let due = self.items.back().map_or(due, |last| last.due.max(due));
        let content = Content::End(action);
        self.items.push_back(Item { due, content });
    }

    /// The first thing that is due by `now`. It stays until it is [written](Self::write) or
    /// [taken](Self::take_end).
    pub(super) fn due(&self, now: Instant) -> Due<'_> {
        let is_due = |item: &&Item| item.due <= now;
        match self.items.front().filter(is_due).map(|item| &item.content) {
            None => Due::Nothing,
            Some(Content::Bytes(bytes)) => Due::Bytes(&bytes[self.written..]),
            Some(Content::End(action)) => Due::End(action.clone()),
        }
    }

    /// Takes an end out that is the first thing.
    pub(super) fn take_end(&mut self) {
        let is_end = |item: &Item| matches!(item.content, Content::End(_));
        if self.items.front().is_some_and(is_end) {
            self.items.pop_front();
        }
    }

    /// Notes that so many of the first bytes are written.
    pub(super) fn write(&mut self, written: usize) {
        self.bytes -= written;
        self.written += written;
        if let Some(Item {
            content: Content::Bytes(bytes),
            ..
        }) = self.items.front()
            && self.written == bytes.len()
        {
            self.items.pop_front();
            self.written = 0;
        }
    }

    /// Moment at which the first thing is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.items.front().map(|item| item.due)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn written(queue: &mut Queue, now: Instant, most: usize) -> Vec<u8> {
        let Due::Bytes(bytes) = queue.due(now) else {
            return Vec::new();
        };
        let bytes = bytes[..most.min(bytes.len())].to_vec();
        queue.write(bytes.len());
        bytes
    }

    #[test]
    fn bytes_keep_their_order_whatever_they_are_due_at() {
        let (now, mut queue) = (Instant::now(), Queue::default());
        let later = now + Duration::from_secs(1);
        for (due, bytes) in [(later, b"one"), (now, b"two"), (later, b"six")] {
            queue.append(due, |queue| queue.extend(bytes));
        }
        queue.end(now, Action::Rst);
        assert!(matches!(queue.due(now), Due::Nothing));
        assert_eq!(queue.next(), Some(later));
        assert_eq!(written(&mut queue, later, 4), b"onet");
        assert_eq!(written(&mut queue, later, 99), b"wosix");
        assert!(matches!(queue.due(later), Due::End(Action::Rst)));
        queue.take_end();
        assert!(queue.is_empty() && queue.next().is_none());
    }

    #[test]
    fn a_queue_that_is_full_has_room_once_some_is_written() {
        let (now, mut queue) = (Instant::now(), Queue::default());
        queue.append(now, |bytes| bytes.resize(LIMIT, 0));
        assert!(!queue.has_room());
        assert_eq!(written(&mut queue, now, 1), [0]);
        assert!(queue.has_room());
    }
}
