//! State of the registry: plain data, which one lock guards.
//!
//! | room | purpose |
//! |---|---|
//! | [`topics`] | topics, and who is subscribed to them |
//! | [`post`] | pushes into the mailboxes of their receivers |
//! | [`list`] | pages of a list of connections |
//! | [`watch`] | numbers of connections that somebody waits for |
//! | [`log`] | the log of events |
//! | [`events`] | events as a reader gets them |

pub(crate) mod events;
pub(crate) mod list;
mod log;
mod post;
mod topics;
mod watch;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::SystemTime;

use super::connection::{
    Connection, Description, Link, Phase, SessionEnd, Snapshot, Status, TcpEnd,
};
use super::filter::MessageFilter;
use super::follow::Opened;
use super::forgotten::Forgotten;
use super::history::{History, HistoryLimits, Pushed};
use super::push::Push;
use super::record::{Direction, Message, Record};
use super::turn::{KeptTurn, Turn};
use crate::config::ApiConfig;
use crate::telemetry::api::ApiMetrics;
use log::{EntryKind, EventLog};
pub(crate) use post::{Delivery, Receivers};
use topics::Topic;
pub(crate) use topics::{TopicSnapshot, Topics};
pub(super) use watch::WatchKey;
use watch::{Change, Watches};

/// Number of a connection in the registry: in the order in which they were opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u64);

/// Entries of the log of events that may be stale, whatever the number of those that are not.
const MAX_STALE: usize = 1024;

/// All connections, open and closed, and their messages.
#[derive(Debug)]
pub(super) struct State {
    config: ApiConfig,
    /// In boxes, so that a search reads few lines of memory.
    connections: BTreeMap<Key, Box<Connection>>,
    last: u64,
    /// The latest connection of each name.
    names: HashMap<Arc<str>, Key>,
    topics: BTreeMap<Arc<str>, Topic>,
    /// Closed connections, in the order in which they were closed.
    closed: VecDeque<Key>,
    forgotten: Forgotten,
    /// Events of all connections, in their order. Some of what they stand for may be gone.
    log: EventLog,
    /// Number of the records that are kept.
    records: usize,
    /// Bytes of memory that they take.
    memory: usize,
    metrics: ApiMetrics,
    watches: Watches,
}

/// Outcome of a search for a connection by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Here(Key),
    /// It has been, and is not kept any more.
    Forgotten,
    Unknown,
}

/// Messages of a connection that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) records: Vec<Record>,
    /// Number of the last message that was looked at.
    pub(crate) next: u64,
    /// Number of the messages that were to be looked at, and are not kept any more.
    pub(crate) dropped: u64,
}

/// Connections that are not kept any more. They are dropped, and those who wait for them notified,
/// once the lock is released.
#[must_use]
pub(super) struct Removed(pub(super) Vec<Connection>);

impl State {
    pub(super) fn new(config: ApiConfig, metrics: ApiMetrics) -> Self {
        Self {
            config,
            connections: BTreeMap::new(),
            last: 0,
            names: HashMap::new(),
            topics: BTreeMap::new(),
            closed: VecDeque::new(),
            forgotten: Forgotten::default(),
            log: EventLog::default(),
            records: 0,
            memory: 0,
            metrics,
            watches: Watches::default(),
        }
    }

    /// Adds a connection. Its name is that of an earlier one no more.
    pub(super) fn open(
        &mut self,
        description: Description,
        link: Arc<Link>,
        at: SystemTime,
    ) -> Key {
        self.last += 1;
        let key = Key(self.last);
        self.names.insert(Arc::clone(&description.id), key);
        for name in &description.topics {
            let topic = self.topics.entry(Arc::clone(name)).or_default();
            topic.subscribers.insert(key, Arc::clone(&link));
        }
        let opened = Change {
            before: None,
            after: Some(Phase::Open),
        };
        self.watches.note(key, &description, opened);
        self.connections.insert(
            key,
            Box::new(Connection {
                description: Arc::new(description),
                status: Status::new(at),
                history: History::default(),
                link,
            }),
        );
        self.log.push(key, EntryKind::Opened);
        self.compact();
        key
    }

    pub(super) fn connection_mut(&mut self, key: Key) -> Option<&mut Connection> {
        self.connections
            .get_mut(&key)
            .map(|connection| &mut **connection)
    }

    /// Records a message of a connection.
    pub(super) fn record(
        &mut self,
        key: Key,
        at: SystemTime,
        direction: Direction,
        message: Message,
    ) {
        let limits = self.limits();
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        connection.status.note(at, direction, &message);
        let pushed = connection.history.push(at, direction, message, limits);
        self.note_pushed(key, &pushed);
    }

    /// Records a push that is sent to a connection.
    pub(super) fn record_push(&mut self, key: Key, at: SystemTime, push: &Push) {
        let limits = self.limits();
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        connection.status.note_push(at, push.len());
        let pushed = connection.history.push_shared(at, push, limits);
        self.note_pushed(key, &pushed);
    }

    /// Records the messages of a turn of a connection, which are kept as `kept`.
    pub(super) fn record_turn(&mut self, key: Key, at: SystemTime, turn: &Turn, kept: KeptTurn) {
        let limits = self.limits();
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        connection.status.note_turn(at, turn);
        let pushed = connection.history.push_turn(turn, kept, limits);
        self.note_pushed(key, &pushed);
    }

    fn limits(&self) -> HistoryLimits {
        HistoryLimits {
            messages: self.config.keep_messages,
            bytes: self.config.keep_bytes,
        }
    }

    fn note_pushed(&mut self, key: Key, pushed: &Pushed) {
        for seq in pushed.records.clone() {
            self.log.push(key, EntryKind::Message(seq));
        }
        self.records += pushed.count();
        self.records -= pushed.dropped;
        self.metrics.dropped.inc_by(pushed.dropped as u64);
        self.memory += pushed.added;
        self.memory -= pushed.freed;
        self.make_room();
    }

    /// Drops the oldest records of all until the others have room.
    fn make_room(&mut self) {
        while self.memory > self.config.memory
            && let Some(entry) = self.log.pop()
        {
            let connection = self.connections.get_mut(&entry.key);
            let freed = connection.and_then(|connection| match entry.kind() {
                EntryKind::Message(seq) => connection.history.take(seq),
                EntryKind::Opened | EntryKind::Closed => None,
            });
            if let Some(freed) = freed {
                self.records -= 1;
                self.memory -= freed;
                self.metrics.dropped.inc();
            }
        }
        self.compact();
    }

    /// Drops the entries of events that are gone, once they are more than those that are not.
    fn compact(&mut self) {
        // A connection has two events beside its records.
        let kept = self.records + 2 * self.connections.len();
        if self.log.len() <= 2 * kept + MAX_STALE {
            return;
        }
        let Self {
            log, connections, ..
        } = self;
        log.retain(|entry| {
            let connection = connections.get(&entry.key);
            connection.is_some_and(|connection| match entry.kind() {
                EntryKind::Message(seq) => connection.history.has(seq),
                EntryKind::Opened | EntryKind::Closed => true,
            })
        });
    }

    /// Notes the end of a session: it is pushed to no more.
    pub(super) fn end_session(&mut self, key: Key, end: SessionEnd) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        if connection.status.phase == Phase::Open {
            connection.status.end = Some(end);
            self.leave(key, Phase::Closing);
        }
    }

    /// Notes that a connection is not open any more.
    fn leave(&mut self, key: Key, phase: Phase) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        let left = Change {
            before: Some(connection.status.phase),
            after: Some(phase),
        };
        connection.status.phase = phase;
        let description = Arc::clone(&connection.description);
        self.watches.note(key, &description, left);
        self.unsubscribe(key, &description);
    }

    /// Notes the end of a connection. The oldest of those that are closed may be forgotten for it.
    pub(super) fn close(&mut self, key: Key, tcp: Option<TcpEnd>, at: SystemTime) -> Removed {
        if let Some(connection) = self.connections.get_mut(&key)
            && connection.status.phase != Phase::Closed
        {
            connection.status.tcp = tcp;
            connection.status.closed_at = Some(at);
            self.leave(key, Phase::Closed);
            self.closed.push_back(key);
            self.log.push(key, EntryKind::Closed);
        }
        let mut removed = Vec::new();
        while self.closed.len() > self.config.keep_closed
            && let Some(key) = self.closed.pop_front()
        {
            removed.extend(self.forget(key));
        }
        self.compact();
        Removed(removed)
    }

    fn forget(&mut self, key: Key) -> Option<Connection> {
        let connection = *self.connections.remove(&key)?;
        self.records -= connection.history.len();
        self.memory -= connection.history.memory();
        self.metrics.dropped.inc_by(connection.history.len() as u64);
        let forgotten = Change {
            before: Some(connection.status.phase),
            after: None,
        };
        self.watches.note(key, &connection.description, forgotten);
        let id = &connection.description.id;
        if self.names.get(id) == Some(&key) {
            self.names.remove(id);
            self.forgotten.insert(id);
        }
        Some(connection)
    }

    /// The latest connection of this name.
    pub(super) fn find(&self, id: &str) -> Found {
        match self.names.get(id) {
            Some(key) => Found::Here(*key),
            None if self.forgotten.has(id) => Found::Forgotten,
            None => Found::Unknown,
        }
    }

    /// The connections that were opened after this one, in their order.
    pub(super) fn opened_after(&self, key: Option<Key>) -> impl Iterator<Item = Opened> {
        let after = key.map_or(Unbounded, Excluded);
        let opened = self.connections.range((after, Unbounded));
        opened.map(|(key, connection)| Opened {
            key: *key,
            description: Arc::clone(&connection.description),
        })
    }

    pub(super) fn link(&self, key: Key) -> Option<Arc<Link>> {
        let connection = self.connections.get(&key)?;
        Some(Arc::clone(&connection.link))
    }

    pub(super) fn snapshot(&self, key: Key) -> Option<Snapshot> {
        self.connections
            .get(&key)
            .map(|connection| connection.snapshot())
    }

    pub(super) fn phase(&self, key: Key) -> Option<Phase> {
        let connection = self.connections.get(&key)?;
        Some(connection.status.phase)
    }

    /// The messages of a connection that match, up to a number.
    pub(super) fn messages(&self, key: Key, filter: &MessageFilter, limit: usize) -> Option<Batch> {
        let history = &self.connections.get(&key)?.history;
        let mut matching = history
            .after(filter.after)
            .filter(|record| filter.matches(record));
        let records: Vec<_> = matching.by_ref().take(limit).collect();
        let next = match (matching.next(), records.last()) {
            (Some(_), Some(last)) => last.seq,
            _ => history.last().max(filter.after),
        };
        Some(Batch {
            records,
            next,
            dropped: history.dropped_after(filter.after),
        })
    }
}

#[cfg(test)]
mod tests;
