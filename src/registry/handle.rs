//! The side of a session: what it tells the registry, and what it takes from its mailbox.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Context;
use std::time::SystemTime;

use bytes::Bytes;

use super::Registry;
use super::connection::{Description, Link, SessionEnd, TcpEnd};
use super::mailbox::Mail;
use super::push::Push;
use super::record::{CloseContent, Direction, Kind, Message};
use super::state::Key;
use super::turn::{self, Turn};
use crate::runtime::moment::Moment;
use crate::runtime::shutdown::Drain;
use crate::scenario::Scenario;
use crate::ws::close::{End, Teardown};

/// A connection that is about to be opened.
#[derive(Debug)]
pub(crate) struct Admission {
    registry: Registry,
    description: Description,
}

impl Admission {
    pub(crate) fn new(registry: Registry, description: Description) -> Self {
        Self {
            registry,
            description,
        }
    }

    /// Name of the connection.
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.description.id
    }

    /// Adds the connection to the registry.
    pub(crate) fn open(self) -> Box<ConnectionHandle> {
        let (key, link) = self.registry.open(self.description);
        Box::new(ConnectionHandle {
            registry: self.registry,
            key,
            link,
            task: 0,
            turn: None,
            last_received: None,
            pinged_at: None,
            tcp: None,
            phase: Phase::Open,
            drain: None,
            steps: None,
        })
    }
}

/// Connection of a session. When it is dropped, the connection is closed.
pub(crate) struct ConnectionHandle {
    registry: Registry,
    key: Key,
    link: Arc<Link>,
    /// Address in the waker that the mailbox has, by which the task is known: the mailbox keeps the
    /// task, and so nothing else is at this address.
    task: usize,
    /// Small messages that are not recorded yet.
    turn: Option<Box<Turn>>,
    /// The last message received, if it was not small, until its echo is recorded.
    last_received: Option<Message>,
    /// Moment of a Ping that is not answered yet.
    pinged_at: Option<Moment>,
    /// Way in which TCP ended, once that is known.
    tcp: Option<TcpEnd>,
    phase: Phase,
    /// The drain of the server, which a session needs that is to misbehave.
    drain: Option<Drain>,
    /// Steps by which it is to misbehave from now on.
    steps: Option<Arc<Scenario>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    SessionOver,
}

impl ConnectionHandle {
    /// Takes a message or control frame that was received. A message may be recorded
    /// [later](Self::record_turn).
    pub(crate) fn received(&mut self, kind: Kind, payload: &[u8], frames: u32, compressed: bool) {
        let most = turn::SMALL.min(self.registry.0.keep_bytes);
        if kind.is_control() || frames != 1 || payload.len() > most {
            self.record_received(kind, payload, frames, compressed);
            return;
        }
        if self.turn.as_ref().is_some_and(|turn| turn.is_full()) {
            self.record_turn();
        }
        let turn = self.turn.get_or_insert_with(Turn::of_thread);
        turn.receive(kind, payload, compressed);
        self.last_received = None;
    }

    fn record_received(&mut self, kind: Kind, payload: &[u8], frames: u32, compressed: bool) {
        let content = self.content(payload);
        let message = Message {
            content,
            bytes: payload.len(),
            frames,
            is_compressed: compressed,
            kind,
            code: None,
        };
        if kind == Kind::Pong
            && let Some(pinged_at) = self.pinged_at.take()
        {
            self.note_round_trip(pinged_at);
        }
        self.last_received = (!kind.is_control()).then(|| message.clone());
        self.record(Direction::In, message);
    }

    fn note_round_trip(&self, pinged_at: Moment) {
        let round_trip = Moment::now().since(pinged_at);
        if let Some(connection) = self.registry.state().connection_mut(self.key) {
            connection.status.round_trip = Some(round_trip);
        }
    }

    /// Notes that the last message that was received is sent back.
    pub(crate) fn echoed(&mut self) {
        if let Some(message) = self.last_received.take() {
            let echo = Message {
                frames: 1,
                ..message
            };
            self.record(Direction::Out, echo);
        } else if let Some(turn) = &mut self.turn {
            turn.echo();
        }
    }

    /// Notes that the last message that was received is not sent back at once.
    pub(crate) fn forget_received(&mut self) {
        self.last_received = None;
        self.record_turn();
    }

    /// Records the messages that are not recorded yet. This is called before anything that may
    /// let the peer know of them.
    #[inline]
    pub(crate) fn record_turn(&mut self) {
        if let Some(turn) = self.turn.take() {
            self.record_taken(turn);
        }
    }

    #[inline(never)]
    fn record_taken(&self, turn: Box<Turn>) {
        self.registry.record_turn(self.key, &self.link, &turn);
        turn.give_back();
    }

    /// Records a message or control frame that is sent, and that has one frame.
    pub(crate) fn sent(&mut self, kind: Kind, payload: &[u8]) {
        let content = self.content(payload);
        self.record(
            Direction::Out,
            Message {
                bytes: payload.len(),
                content,
                ..Message::plain(kind, Bytes::new())
            },
        );
    }

    /// Records a push that is sent.
    pub(crate) fn sent_push(&mut self, push: &Push) {
        self.record_turn();
        self.registry.record_push(self.key, &self.link, push);
    }

    /// Records a message that was received.
    pub(crate) fn received_message(&mut self, message: Message) {
        self.record(Direction::In, message);
    }

    /// Records a message that is sent.
    pub(crate) fn sent_message(&mut self, message: Message) {
        self.record(Direction::Out, message);
    }

    /// Records a Ping that is sent.
    pub(crate) fn pinged(&mut self) {
        self.pinged_at = Some(Moment::now());
        self.sent(Kind::Ping, b"");
    }

    /// Records a Close.
    pub(crate) fn closed(&mut self, direction: Direction, close: &CloseContent) {
        self.record(direction, Message::close(close));
    }

    fn record(&mut self, direction: Direction, message: Message) {
        self.record_turn();
        self.registry
            .record(self.key, &self.link, direction, message);
    }

    /// A copy of a payload, unless it is too large to be kept.
    fn content(&self, payload: &[u8]) -> Option<Bytes> {
        let is_kept = payload.len() <= self.registry.0.keep_bytes;
        is_kept.then(|| Bytes::copy_from_slice(payload))
    }

    /// Takes the next piece of mail, or of the endings alone if the session `is_busy` with a push.
    /// Without any, the task is woken when there is.
    #[inline]
    pub(crate) fn next_mail(&mut self, cx: &mut Context<'_>, is_busy: bool) -> Option<Mail> {
        let task = cx.waker().data().addr();
        if self.link.mailbox.is_empty() && self.task == task {
            return None;
        }
        self.task = task;
        self.link.mailbox.take(cx.waker(), is_busy)
    }

    /// Keeps the drain, for the time when the session is to misbehave.
    pub(crate) fn keep_drain(&mut self, drain: Drain) {
        self.drain = Some(drain);
    }

    /// Keeps the steps by which the session is to misbehave.
    pub(crate) fn keep_steps(&mut self, steps: Arc<Scenario>) {
        self.steps = Some(steps);
    }

    /// Takes these steps, and the drain.
    pub(crate) fn take_steps(&mut self) -> Option<(Arc<Scenario>, Drain)> {
        self.steps.take().zip(self.drain.clone())
    }

    /// Waits for the wish that the session is cut.
    pub(crate) fn cut(&self) -> impl Future<Output = Teardown> + use<> {
        let link = Arc::clone(&self.link);
        poll_fn(move |cx| link.mailbox.poll_cut(cx))
    }

    /// Notes the end of the session.
    pub(crate) fn session_ended(&mut self, end: &End, is_clean: bool) {
        if self.phase != Phase::Open {
            return;
        }
        self.phase = Phase::SessionOver;
        self.last_received = None;
        self.record_turn();
        self.tcp = end.peer_end().map(TcpEnd::from);
        let end = SessionEnd {
            why: end.word(),
            reason: end.to_string(),
            code: end.code(),
            is_clean,
            by: None,
            at: SystemTime::now(),
        };
        self.registry.end_session(self.key, &self.link, end);
    }

    /// Notes the end of a tunnel.
    pub(crate) fn tunnel_ended(&mut self, end: SessionEnd) {
        self.phase = Phase::SessionOver;
        self.record_turn();
        self.registry.end_session(self.key, &self.link, end);
    }

    /// Notes the way in which TCP ended, unless it is known already.
    pub(crate) fn tcp_ended(&mut self, tcp: TcpEnd) {
        self.tcp.get_or_insert(tcp);
    }
}

impl Drop for ConnectionHandle {
    fn drop(&mut self) {
        self.registry.close(self.key, &self.link, self.tcp);
    }
}

impl fmt::Debug for ConnectionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConnectionHandle").field(&self.key).finish()
    }
}
