//! The registry of connections: what the API shows of them, and the way of a push to them. There is
//! one only if the server has an API, or serves a test.
//!
//! A session holds a [handle](ConnectionHandle), tells it what it receives and sends, and takes
//! pushes from its mailbox. The registry knows nothing of sessions.
//!
//! Everything here is bounded: closed connections, records of messages, mailboxes. What falls out is
//! counted.
//!
//! | room | purpose |
//! |---|---|
//! | [`name`] | names of connections and topics |
//! | [`connection`] | one connection: its description, its status, its end |
//! | [`counts`] | counts of messages and frames |
//! | [`record`] | messages as they are recorded |
//! | [`turn`] | messages that are recorded together |
//! | [`history`] | the records of one connection |
//! | [`filter`] | which connections and messages are asked for |
//! | [`forgotten`] | names of connections that are not kept any more |
//! | [`push`] | a message that is pushed |
//! | [`mailbox`] | pushes on their way to a session |
//! | [`state`] | all of these together, as plain data, and the log of events |
//! | [`events`] | readers of events |
//! | [`follow`] | following connections one by one |
//! | [`handle`] | the side of a session |
//! | [`cluster`] | other nodes, which NATS reaches, and what they are asked |
//!
//! Nobody is woken, and no connection dropped, while the state is locked: a task that ends with its
//! last waker may end a session, which wants the lock.

#[cfg_attr(not(feature = "nats"), path = "cluster/no_nats.rs")]
pub(crate) mod cluster;
pub(crate) mod connection;
pub(crate) mod counts;
pub(crate) mod events;
pub(crate) mod filter;
pub(crate) mod follow;
mod forgotten;
pub(crate) mod handle;
mod history;
pub(crate) mod mailbox;
pub(crate) mod name;
pub(crate) mod push;
pub(crate) mod record;
pub(crate) mod state;
mod turn;

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::SystemTime;

use tokio::sync::Notify;
use tokio::task::yield_now;

use crate::config::ApiConfig;
use crate::scenario::Scenario;
use crate::telemetry::api::ApiMetrics;
use connection::{Description, Link, Phase, SessionEnd, Snapshot, TcpEnd};
use filter::{ConnectionFilter, MessageFilter};
pub(crate) use handle::{Admission, ConnectionHandle};
use mailbox::{Ending, Posted};
use push::Push;
use record::{Direction, Message};
use state::list::Page;
use state::{Batch, Delivery, Found, Key, Receivers, State, TopicSnapshot, Topics, WatchKey};
use turn::Turn;

/// Characters of an id that is made here: no letter or digit looks like another.
const ID_CHARACTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Length of such an id. Of a hundred thousand, two are the same once in 200,000 times.
const ID_LENGTH: usize = 10;

/// Registry of the connections of a server. All clones are the same registry.
#[derive(Debug, Clone)]
pub(crate) struct Registry(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Notified when a connection opens, and when its session or its TCP ends.
    changed: Notify,
    /// Notified of an event, if any reader waits for one.
    logged: Notify,
    metrics: ApiMetrics,
    /// The largest message whose content is kept.
    keep_bytes: usize,
}

/// Error of a request for a connection that is not open, or not kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

impl Registry {
    pub(crate) fn new(config: ApiConfig) -> Self {
        let metrics = ApiMetrics::default();
        Self(Arc::new(Shared {
            keep_bytes: config.keep_bytes,
            state: Mutex::new(State::new(config, metrics.clone())),
            changed: Notify::new(),
            logged: Notify::new(),
            metrics,
        }))
    }

    /// An id for a connection whose client has chosen none.
    pub(crate) fn unique_id() -> String {
        let random: u64 = rand::random();
        let character = |n: usize| {
            let index = (random >> (5 * n)) as usize % ID_CHARACTERS.len();
            char::from(ID_CHARACTERS[index])
        };
        (0..ID_LENGTH).map(character).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts of pushes, records and requests.
    pub(crate) fn metrics(&self) -> &ApiMetrics {
        &self.0.metrics
    }

    /// Changes the state, and wakes the readers of events that wait for a change, and those whose
    /// number of connections is reached by it.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        let (has_waiting, met) = (state.take_waiting(), state.take_met());
        drop(state);
        if has_waiting {
            self.0.logged.notify_waiters();
        }
        met.iter().for_each(|met| met.notify_one());
        changed
    }

    fn open(&self, description: Description) -> (Key, Arc<Link>) {
        let link = Arc::new(Link::default());
        let at = SystemTime::now();
        let key = self.change(|state| state.open(description, Arc::clone(&link), at));
        self.0.changed.notify_waiters();
        (key, link)
    }

    fn record(&self, key: Key, link: &Link, direction: Direction, message: Message) {
        let at = SystemTime::now();
        self.change(|state| state.record(key, at, direction, message));
        link.notify();
    }

    fn record_push(&self, key: Key, link: &Link, push: &Push) {
        let at = SystemTime::now();
        self.change(|state| state.record_push(key, at, push));
        link.notify();
    }

    fn record_turn(&self, key: Key, link: &Link, turn: &Turn) {
        let at = SystemTime::now();
        let kept = turn.kept(at);
        self.change(|state| state.record_turn(key, at, turn, kept));
        link.notify();
    }

    fn end_session(&self, key: Key, link: &Link, end: SessionEnd) {
        self.change(|state| state.end_session(key, end));
        link.mailbox.close();
        self.notify(link);
    }

    fn close(&self, key: Key, link: &Link, tcp: Option<TcpEnd>) {
        let removed = self.change(|state| state.close(key, tcp, SystemTime::now()));
        link.mailbox.close();
        for connection in removed.0 {
            connection.link.changed.notify_waiters();
        }
        self.notify(link);
    }

    fn notify(&self, link: &Link) {
        link.changed.notify_waiters();
        self.0.changed.notify_waiters();
    }

    /// The latest connection of this name.
    pub(crate) fn find(&self, id: &str) -> Found {
        self.state().find(id)
    }

    /// A connection, if it is still kept.
    pub(crate) fn snapshot(&self, key: Key) -> Option<Snapshot> {
        self.state().snapshot(key)
    }

    /// Fills a page with the connections that match.
    pub(crate) async fn list(&self, filter: &ConnectionFilter, mut page: Page) -> Page {
        while self.state().fill(&mut page, filter) {
            yield_now().await;
        }
        page
    }

    /// Waits until at least so many connections match.
    pub(crate) async fn until_count(&self, filter: &ConnectionFilter, count: usize) {
        let watching = Watching::begin(self, filter, count);
        while self.change(|state| state.count_more(watching.key)) {
            yield_now().await;
        }
        watching.met.notified().await;
    }

    /// A page of the topics that have subscribers.
    pub(crate) fn topics(&self, after: &str, limit: usize) -> Topics {
        self.state().topics(after, limit)
    }

    /// A topic, if anybody is subscribed to it.
    pub(crate) fn topic(&self, name: &str) -> Option<TopicSnapshot> {
        self.state().topic(name)
    }

    /// The messages of a connection that match, up to a number, if it is still kept.
    pub(crate) fn messages(&self, key: Key, filter: &MessageFilter, limit: usize) -> Option<Batch> {
        self.state().messages(key, filter, limit)
    }

    /// Waits until a message of a connection matches, or none will come any more because the session
    /// is over. Returns `None` if the connection is not kept any more.
    pub(crate) async fn until_message(
        &self,
        key: Key,
        filter: &MessageFilter,
        limit: usize,
    ) -> Option<Batch> {
        let link = self.state().link(key)?;
        let _watcher = link.watch();
        let mut unseen = filter.clone();
        let mut dropped = 0;
        until(&link.changed, || {
            let state = self.state();
            let Some(mut batch) = state.messages(key, &unseen, limit) else {
                return Some(None);
            };
            // What was looked at in vain is not looked at again.
            unseen.after = batch.next;
            dropped += batch.dropped;
            batch.dropped = dropped;
            let is_over = state.phase(key) != Some(Phase::Open);
            (is_over || !batch.records.is_empty()).then_some(Some(batch))
        })
        .await
    }

    /// Pushes a message to its receivers, in the order of the calls.
    pub(crate) fn post(&self, receivers: &Receivers, push: &Push) -> Delivery {
        let (delivery, wakers) = self.state().post(receivers, push);
        wakers.into_iter().for_each(Waker::wake);
        delivery
    }

    /// Pushes a message as soon as anybody can receive it.
    pub(crate) async fn post_to_first(&self, receivers: &Receivers, push: &Push) -> Delivery {
        let post = || {
            let delivery = self.post(receivers, push);
            (delivery != Delivery::default()).then_some(delivery)
        };
        until(&self.0.changed, post).await
    }

    /// Has the session of a connection misbehave by these steps, in place of those before.
    pub(crate) fn change_steps(&self, key: Key, steps: Arc<Scenario>) -> Result<(), Gone> {
        let link = self.state().link(key).ok_or(Gone)?;
        let (posted, waker) = link.mailbox.change(steps);
        waker.into_iter().for_each(Waker::wake);
        match posted {
            Posted::Taken => Ok(()),
            Posted::Skipped { .. } | Posted::Gone => Err(Gone),
        }
    }

    /// Has the session of a connection end.
    pub(crate) fn end(&self, key: Key, ending: Ending) -> Result<(), Gone> {
        let link = self.state().link(key).ok_or(Gone)?;
        let (posted, waker) = link.mailbox.end(ending);
        waker.into_iter().for_each(Waker::wake);
        match posted {
            Posted::Taken => Ok(()),
            Posted::Skipped { .. } | Posted::Gone => Err(Gone),
        }
    }
}

/// A wait for a number of connections, for as long as somebody waits.
struct Watching {
    registry: Registry,
    key: WatchKey,
    /// Notified once there are enough.
    met: Arc<Notify>,
}

impl Watching {
    fn begin(registry: &Registry, filter: &ConnectionFilter, count: usize) -> Self {
        let registry = registry.clone();
        let (key, met) = registry.change(|state| state.watch(filter.clone(), count));
        Self { registry, key, met }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.registry.state().unwatch(self.key);
    }
}

/// Waits until `look` finds something. It looks at once, and again whenever there is a change.
async fn until<T>(changed: &Notify, mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        let mut change = pin!(changed.notified());
        // Before the look, so that no change is missed in between.
        change.as_mut().enable();
        if let Some(found) = look() {
            return found;
        }
        change.await;
    }
}

#[cfg(test)]
mod tests;
