//! Events of other nodes. A reader asks all nodes for them again and again, and a node that has not
//! been asked for a while sends no more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until};

use super::nodes::MAX_NODES;
use super::pending::Request;
use super::wire::{Content, Header};
use super::{Cluster, lock, millis};

/// Readers of other nodes that a node sends its events to.
const MAX_READERS: usize = 256;

/// Time for which events are sent to a reader that does not ask for more.
const LEASE: Duration = Duration::from_secs(10);

/// The longest lease that a node gives.
const LONGEST: Duration = Duration::from_secs(60);

/// Time after which a reader asks again. A node that comes later learns of it by that.
const RENEWED: Duration = Duration::from_secs(1);

/// Readers of other nodes, by the subject of their answers, and when each is to be forgotten.
#[derive(Debug, Default, Clone)]
pub(super) struct Leases(Arc<Mutex<HashMap<String, Instant>>>);

impl Leases {
    /// Notes that a reader wants events until then. Returns whether it is a new one.
    fn renew(&self, reader: &str, until: Instant) -> bool {
        let mut leases = lock(&self.0);
        if let Some(lease) = leases.get_mut(reader) {
            *lease = until;
            return false;
        }
        let has_room = leases.len() < MAX_READERS;
        if has_room {
            leases.insert(reader.to_owned(), until);
        }
        has_room
    }

    fn end_of(&self, reader: &str) -> Option<Instant> {
        lock(&self.0).get(reader).copied()
    }

    fn remove(&self, reader: &str) {
        lock(&self.0).remove(reader);
    }
}

/// A reader of the events of all other nodes.
#[derive(Debug)]
pub(crate) struct FollowReader {
    request: Request,
    sent: Sent,
    /// Task that asks again and again, until this is dropped.
    _asking: JoinSet<()>,
}

/// Number of the events that each node has sent, which are counted anew when it starts.
#[derive(Debug, Default)]
struct Sent(HashMap<String, Count>);

#[derive(Debug)]
struct Count {
    /// Number of the process.
    run: u64,
    events: u64,
}

impl Sent {
    /// Notes events of a node's process, which has sent `before` others, and returns how many of
    /// those have not come. `None`: there are too many nodes for this one to be followed.
    fn note(&mut self, node: &str, run: u64, before: u64, count: u64) -> Option<u64> {
        if self.0.len() >= MAX_NODES && !self.0.contains_key(node) {
            return None;
        }
        let events = before.saturating_add(count);
        let earlier = self.0.insert(node.to_owned(), Count { run, events });
        let earlier = earlier.filter(|earlier| earlier.run == run);
        Some(before.saturating_sub(earlier.map_or(0, |earlier| earlier.events)))
    }
}

/// Events of one node.
#[derive(Debug)]
pub(crate) struct NodeEvents {
    pub(crate) node: String,
    /// Events before these that are lost.
    pub(crate) dropped: u64,
    pub(crate) text: Bytes,
}

impl Cluster {
    /// Asks all other nodes for the events that a query chooses.
    pub(crate) fn follow(&self, query: String) -> FollowReader {
        let request = self.0.pending.begin();
        let reply = format!("{}{}", self.reply_prefix(), request.number);
        let cluster = self.clone();
        let mut asking = JoinSet::new();
        asking.spawn(async move {
            let mut tick = interval(RENEWED);
            loop {
                tick.tick().await;
                let content = Content::Follow {
                    query: query.clone(),
                    lease: millis(LEASE),
                };
                let (subject, reply) = (cluster.all(), Some(reply.clone()));
                cluster.publish(subject, reply, content, b"").await;
            }
        });
        FollowReader {
            request,
            sent: Sent::default(),
            _asking: asking,
        }
    }

    /// Notes that a reader wants events for some time, and tells whether there is one more reader.
    pub(super) fn lease(&self, reader: &str, lease: Duration) -> bool {
        let until = Instant::now() + lease.min(LONGEST);
        self.0.leases.renew(reader, until)
    }

    /// Sends events to a reader until its lease ends.
    pub(super) async fn send_events(
        self,
        reader: String,
        events: Option<BoxStream<'static, (u64, Bytes)>>,
    ) {
        if let Some(events) = events {
            self.send_while_leased(&reader, events).await;
        }
        self.0.leases.remove(&reader);
    }

    async fn send_while_leased(&self, reader: &str, mut events: BoxStream<'static, (u64, Bytes)>) {
        let mut before = 0;
        while let Some(end) = self.0.leases.end_of(reader)
            && end > Instant::now()
        {
            let (count, text) = tokio::select! {
                next = events.next() => match next {
                    Some(next) => next,
                    None => return,
                },
                () = sleep_until(end) => continue,
            };
            let content = Content::Events { before, count };
            // What is not sent is missing from the count of the next.
            self.publish(reader.to_owned(), None, content, &text).await;
            before += count;
        }
    }
}

impl FollowReader {
    /// Waits for the next events of another node.
    pub(crate) async fn next(&mut self) -> Option<NodeEvents> {
        loop {
            let reply = self.request.replies.recv().await?;
            let Content::Events { before, count } = reply.header.content else {
                continue;
            };
            let Header { node, run, .. } = reply.header;
            let Some(dropped) = self.sent.note(&node, run, before, count) else {
                continue;
            };
            return Some(NodeEvents {
                node,
                dropped,
                text: reply.payload,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_do_not_come_are_counted_by_process() {
        let mut sent = Sent::default();
        assert_eq!(sent.note("a", 1, 0, 2), Some(0));
        assert_eq!(sent.note("a", 1, 5, 1), Some(3));
        assert_eq!(sent.note("b", 1, 4, 1), Some(4));
        assert_eq!(sent.note("a", 2, 0, 1), Some(0));
        assert_eq!(sent.note("a", 2, u64::MAX, 1), Some(u64::MAX - 1));
    }

    #[test]
    fn so_many_nodes_are_followed_and_no_more() {
        let mut sent = Sent::default();
        for number in 0..2 * MAX_NODES {
            let is_followed = sent.note(&number.to_string(), 1, 0, 1).is_some();
            assert_eq!(is_followed, number < MAX_NODES);
        }
        assert_eq!(sent.note("0", 2, 0, 1), Some(0));
    }
}
