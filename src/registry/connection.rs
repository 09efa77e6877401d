//! One connection as the API shows it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use super::counts::Counts;
use super::history::History;
use super::mailbox::Mailbox;
use super::record::{CloseContent, Direction, Kind, Message};
use super::turn::Turn;
use crate::net::connection_info::ConnectionInfo;
use crate::net::linger::PeerEnd;

/// Description of a connection, which does not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    /// Name that its client has chosen, or a unique one.
    pub(crate) id: Arc<str>,
    pub(crate) info: ConnectionInfo,
    pub(crate) topics: BTreeSet<Arc<str>>,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    /// Header lines of the request, with secrets redacted.
    pub(crate) headers: Vec<[String; 2]>,
    pub(crate) subprotocol: Option<String>,
    pub(crate) extensions: Option<String>,
}

/// State of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// The session is over, and TCP is not.
    Closing,
    Closed,
}

/// Way in which TCP ended: the first of these that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TcpEnd {
    /// The peer ended its side in order, before or after the server did.
    Fin,
    /// This side reset the connection.
    Rst(Side),
    /// The peer did neither in time.
    Timeout,
}

/// Side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Peer,
    Server,
}

impl From<PeerEnd> for TcpEnd {
    fn from(end: PeerEnd) -> Self {
        match end {
            PeerEnd::Closed => Self::Fin,
            PeerEnd::Reset => Self::Rst(Side::Peer),
            PeerEnd::Late => Self::Timeout,
        }
    }
}

/// End of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionEnd {
    /// The log's word for it.
    pub(crate) why: &'static str,
    pub(crate) reason: String,
    /// The close code of the connection (RFC 6455, section 7.1.5).
    pub(crate) code: u16,
    /// Whether both sides sent Close.
    pub(crate) is_clean: bool,
    /// The one of a tunnel's client, upstream and proxy that ended it.
    pub(crate) by: Option<&'static str>,
    pub(crate) at: SystemTime,
}

/// Closes of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Closes {
    /// Direction of the first.
    pub(crate) first: Option<Direction>,
    pub(crate) received: Option<CloseContent>,
    pub(crate) sent: Option<CloseContent>,
}

/// All that changes about a connection, but for its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) phase: Phase,
    pub(crate) opened_at: SystemTime,
    /// Moment of the last message or control frame.
    pub(crate) active_at: SystemTime,
    pub(crate) received: Counts,
    pub(crate) sent: Counts,
    /// Pushes for which there was no room.
    pub(crate) skipped: u64,
    /// Time from the last Ping that was answered to its answer.
    pub(crate) round_trip: Option<Duration>,
    pub(crate) closes: Closes,
    pub(crate) end: Option<SessionEnd>,
    pub(crate) tcp: Option<TcpEnd>,
    pub(crate) closed_at: Option<SystemTime>,
}

impl Status {
    pub(super) fn new(opened_at: SystemTime) -> Self {
        Self {
            phase: Phase::Open,
            opened_at,
            active_at: opened_at,
            received: Counts::default(),
            sent: Counts::default(),
            skipped: 0,
            round_trip: None,
            closes: Closes::default(),
            end: None,
            tcp: None,
            closed_at: None,
        }
    }

    /// Counts the messages of a turn.
    pub(super) fn note_turn(&mut self, at: SystemTime, turn: &Turn) {
        self.active_at = at;
        self.received.add(&turn.received);
        self.sent.add(&turn.sent);
    }

    /// Counts a push of so many bytes.
    pub(super) fn note_push(&mut self, at: SystemTime, bytes: usize) {
        self.active_at = at;
        self.sent.count_small(bytes);
    }

    /// Counts a message, and notes it if it is a Close.
    pub(super) fn note(&mut self, at: SystemTime, direction: Direction, message: &Message) {
        self.active_at = at;
        let (counts, close) = match direction {
            Direction::In => (&mut self.received, &mut self.closes.received),
            Direction::Out => (&mut self.sent, &mut self.closes.sent),
        };
        counts.count(message);
        if message.kind == Kind::Close {
            let reason = message.content.as_deref().unwrap_or_default();
            let reason = String::from_utf8_lossy(reason).into_owned();
            let code = message.code;
            close.get_or_insert(CloseContent { code, reason });
            self.closes.first.get_or_insert(direction);
        }
    }
}

/// State that a session shares with those who push to it, or wait for it.
#[derive(Debug, Default)]
pub(crate) struct Link {
    pub(crate) mailbox: Mailbox,
    /// Notified of every change of the connection.
    pub(super) changed: Notify,
    /// Number of those that wait for a message.
    watchers: AtomicUsize,
}

impl Link {
    /// Has those woken who wait for a message. The state was locked after the change.
    pub(super) fn notify(&self) {
        // Who begins to wait counts itself first, and then looks under the lock.
        if self.watchers.load(Ordering::Relaxed) > 0 {
            self.changed.notify_waiters();
        }
    }

    /// Counts one that waits for a message, until the guard is dropped.
    pub(super) fn watch(&self) -> Watcher<'_> {
        self.watchers.fetch_add(1, Ordering::Relaxed);
        Watcher(self)
    }
}

/// Guard of one that waits for a message.
pub(super) struct Watcher<'a>(&'a Link);

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        self.0.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection, with all that is kept of it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) description: Arc<Description>,
    pub(super) status: Status,
    pub(super) history: History,
    pub(super) link: Arc<Link>,
}

impl Connection {
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            description: Arc::clone(&self.description),
            status: self.status.clone(),
            kept: self.history.len(),
            dropped: self.history.dropped_after(0),
        }
    }
}

/// A connection as it was at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) description: Arc<Description>,
    pub(crate) status: Status,
    /// Number of its messages that are kept.
    pub(crate) kept: usize,
    /// Number of those that are not.
    pub(crate) dropped: u64,
}
