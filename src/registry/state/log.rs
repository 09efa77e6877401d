//! The log of events: that connections opened and closed, and their messages, in order. It has
//! numbers alone; what they stand for is elsewhere, and may be gone.

use std::collections::VecDeque;
use std::mem;

use super::Key;

/// An entry of the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Number of the event: the events of a registry are counted from 1.
    pub(super) number: u64,
    pub(super) key: Key,
    /// Number of a message, [`OPENED`] or [`CLOSED`]: an enum would take a third more memory.
    code: u64,
}

/// Code of an opening. Messages are counted from 1.
const OPENED: u64 = 0;

/// Code of an end.
const CLOSED: u64 = u64::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    Opened,
    /// A message, by its number in the history of its connection.
    Message(u64),
    Closed,
}

impl Entry {
    pub(super) fn kind(&self) -> EntryKind {
        match self.code {
            OPENED => EntryKind::Opened,
            CLOSED => EntryKind::Closed,
            seq => EntryKind::Message(seq),
        }
    }
}

/// Events in their order. Some of their numbers may be missing.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    entries: VecDeque<Entry>,
    last: u64,
    /// Whether a reader waits for the next event.
    has_waiting: bool,
}

impl EventLog {
    pub(super) fn push(&mut self, key: Key, kind: EntryKind) {
        let code = match kind {
            EntryKind::Opened => OPENED,
            EntryKind::Closed => CLOSED,
            EntryKind::Message(seq) => seq,
        };
        self.last += 1;
        self.entries.push_back(Entry {
            number: self.last,
            key,
            code,
        });
    }

    /// Takes the oldest entry out.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        self.entries.pop_front()
    }

    pub(super) fn retain(&mut self, is_kept: impl FnMut(&Entry) -> bool) {
        self.entries.retain(is_kept);
    }

    /// Number of the entries that are kept.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Number of the last event, kept or not.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The entries after this number, in order.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = &Entry> {
        let first = self.entries.partition_point(|entry| entry.number <= number);
        self.entries.range(first..)
    }

    /// Notes that a reader waits for the next event.
    pub(super) fn wait(&mut self) {
        self.has_waiting = true;
    }

    /// Whether readers are to be woken, which is so once for each time that any has begun to wait.
    pub(super) fn take_waiting(&mut self) -> bool {
        mem::take(&mut self.has_waiting)
    }
}
