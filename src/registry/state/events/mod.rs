//! Events as a reader gets them: some at a time, from the number of the last one that it has.

use std::mem;
use std::sync::Arc;

use super::State;
use super::log::EntryKind;
use crate::registry::connection::{Connection, Description, Snapshot, Status};
use crate::registry::filter::EventFilter;
use crate::registry::record::Record;

/// Events that a reader gets at a time.
const MAX_EVENTS: usize = 100;

/// Bytes of memory of the events that a reader gets at a time, if there are several: a reader that
/// does not read keeps them until it is given up.
const MAX_BYTES: usize = 64 << 10;

/// Entries of the log that are looked at for it.
const MAX_LOOKS: usize = 1000;

/// Bytes that a connection counts for in [`MAX_BYTES`].
const CONNECTION: usize = 1 << 10;

/// An event with its number, by which a reader goes on.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) number: u64,
    pub(crate) content: EventContent,
}

#[derive(Debug, Clone)]
pub(crate) enum EventContent {
    /// A connection opened: as it was then.
    Opened(Snapshot),
    Message(Arc<Description>, Record),
    /// A connection and its TCP are over.
    Closed(Snapshot),
    /// So many events before this number are lost.
    Dropped(u64),
}

/// Events that were found in one look at the log.
#[derive(Debug)]
pub(crate) struct EventBatch {
    pub(crate) events: Vec<Event>,
    /// Number of the last event that was looked at.
    pub(crate) last: u64,
    /// Whether there are others behind it.
    pub(crate) has_more: bool,
    /// Events that are lost since the last one in `events`.
    dropped: u64,
    bytes: usize,
}

impl State {
    /// The number from which a reader goes on that has this event, or begins with the next. A number
    /// that has not been reached is of a server before this one, so that all events here are new.
    pub(in crate::registry) fn events_from(&self, has: Option<u64>) -> u64 {
        let last = self.log.last();
        match has {
            Some(number) if number > last => 0,
            Some(number) => number,
            None => last,
        }
    }

    /// The next events after this number, of connections that match. If there are none, the reader
    /// is noted as one that waits.
    pub(in crate::registry) fn read_events(
        &mut self,
        after: u64,
        filter: &EventFilter,
    ) -> EventBatch {
        let batch = self.events(after, filter);
        if batch.events.is_empty() && !batch.has_more {
            self.log.wait();
        }
        batch
    }

    /// Whether readers that wait are to be woken for what was changed.
    pub(in crate::registry) fn take_waiting(&mut self) -> bool {
        self.log.take_waiting()
    }

    fn events(&self, after: u64, filter: &EventFilter) -> EventBatch {
        let mut batch = EventBatch::new(after);
        let mut entries = self.log.after(after);
        for _ in 0..MAX_LOOKS {
            if batch.is_full() {
                break;
            }
            let Some(entry) = entries.next() else {
                batch.pass(self.log.last() + 1);
                batch.last = self.log.last();
                batch.has_more = false;
                break;
            };
            let connection = self.connections.get(&entry.key).map(Box::as_ref);
            let is_other = |connection: &Connection| {
                let Connection {
                    description,
                    status,
                    ..
                } = connection;
                !filter.connections.matches(description, status.phase)
            };
            let is_message = matches!(entry.kind(), EntryKind::Message(_));
            let is_left_out = filter.without_messages && is_message;
            batch.pass(entry.number);
            if !is_left_out && !connection.is_some_and(is_other) {
                let content = connection.and_then(|connection| connection.event(entry.kind()));
                batch.add(entry.number, content);
            }
            batch.last = entry.number;
        }
        batch.note_dropped(batch.last);
        batch
    }
}

impl Connection {
    /// The event that an entry of the log stands for, if it is still kept.
    fn event(&self, kind: EntryKind) -> Option<EventContent> {
        Some(match kind {
            EntryKind::Opened => EventContent::Opened(self.opening()),
            EntryKind::Closed => EventContent::Closed(self.snapshot()),
            EntryKind::Message(seq) => {
                let record = self.history.get(seq)?;
                EventContent::Message(Arc::clone(&self.description), record)
            }
        })
    }

    /// The connection as it was when it opened.
    fn opening(&self) -> Snapshot {
        Snapshot {
            description: Arc::clone(&self.description),
            status: Status::new(self.status.opened_at),
            kept: 0,
            dropped: 0,
        }
    }
}

impl EventBatch {
    fn new(after: u64) -> Self {
        Self {
            events: Vec::new(),
            last: after,
            has_more: true,
            dropped: 0,
            bytes: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.events.len() >= MAX_EVENTS || self.bytes >= MAX_BYTES
    }

    /// Counts the events before this number that are missing.
    fn pass(&mut self, number: u64) {
        self.dropped += number.saturating_sub(self.last + 1);
    }

    /// Adds an event, or counts it if it is gone.
    fn add(&mut self, number: u64, content: Option<EventContent>) {
        let Some(content) = content else {
            self.dropped += 1;
            return;
        };
        self.note_dropped(number - 1);
        self.bytes += content.memory();
        self.events.push(Event { number, content });
    }

    /// Adds how many events up to this number are lost, if there are any.
    fn note_dropped(&mut self, number: u64) {
        let dropped = mem::take(&mut self.dropped);
        if dropped > 0 {
            let content = EventContent::Dropped(dropped);
            self.events.push(Event { number, content });
        }
    }
}

impl EventContent {
    fn memory(&self) -> usize {
        match self {
            Self::Opened(_) | Self::Closed(_) => CONNECTION,
            Self::Message(_, record) => record.memory(),
            Self::Dropped(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests;
