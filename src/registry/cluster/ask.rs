//! Requests to other nodes, and the answers that came in time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};

use super::pending::{Reply, Request};
use super::wire::{Connection, Content, Why};
use super::{Call, CallAnswer, Cluster, NodeState, millis};
use crate::registry::Registry;
use crate::registry::connection::Phase;
use crate::registry::push::Push;
use crate::registry::state::{Delivery, Found, Receivers};
use crate::ws::frames::Opcode;

/// The largest answer of a node, in bytes: a thousand messages of a connection.
const MAX_ANSWER: usize = 64 << 20;

/// Nodes that were asked, and did not answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unanswered {
    /// Those that did not answer in time.
    pub(crate) silent: Vec<String>,
    /// Those that speak another version.
    pub(crate) incompatible: Vec<String>,
    /// Whether NATS was away, so that nobody was asked.
    pub(crate) is_disconnected: bool,
}

impl Unanswered {
    /// Whether every node that is known has answered.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Outcome of a push to the sessions of all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spread {
    pub(crate) total: Delivery,
    /// Sessions that will send it, by their node.
    pub(crate) nodes: BTreeMap<String, usize>,
    pub(crate) unanswered: Unanswered,
}

/// Error of a request to a node that did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreachable {
    #[error("The node {0:?} did not answer in time.")]
    Silent(String),
    #[error("The node {0:?} speaks another version.")]
    Incompatible(String),
    #[error("The node {0:?} has all the requests of other nodes that it may have.")]
    Busy(String),
    #[error("The node {0:?} cannot be asked: NATS is disconnected.")]
    Disconnected(String),
}

/// Node that has a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This one, or none.
    Here,
    Node(String),
    /// None that has answered, and these have not.
    Unknown(Unanswered),
}

/// A request to all nodes whose answers are collected.
struct Asking {
    request: Request,
    /// Nodes that were known when it was sent.
    known: Vec<(String, NodeState)>,
    is_sent: bool,
}

impl Cluster {
    /// Sends a request to all other nodes.
    async fn ask_all(&self, content: Content, payload: &[u8]) -> Asking {
        let request = self.0.pending.begin();
        let known = self.known();
        let reply = format!("{}{}", self.reply_prefix(), request.number);
        let is_sent = self
            .publish(self.all(), Some(reply), content, payload)
            .await;
        if is_sent {
            self.0.metrics.sent.inc();
        }
        Asking {
            request,
            known,
            is_sent,
        }
    }

    /// Waits for the answers of all nodes, each of which `take` looks at.
    async fn collect(&self, mut asking: Asking, mut take: impl FnMut(Reply)) -> Unanswered {
        let deadline = Instant::now() + self.0.timeout;
        let known = asking.known.iter();
        let waited = known.filter(|(_, state)| state.is_waited_for());
        let mut waited: BTreeSet<String> = waited.map(|(name, _)| name.clone()).collect();
        let (mut answered, mut incompatible) = (BTreeSet::new(), BTreeSet::new());
        while asking.is_sent && !waited.is_empty() {
            let next = timeout_at(deadline, asking.request.replies.recv()).await;
            let Ok(Some(reply)) = next else {
                break;
            };
            let node = reply.header.node.clone();
            waited.remove(&node);
            match reply.header.content {
                Content::Refused { why: Why::Version } => {
                    incompatible.insert(node);
                }
                Content::Refused { why: Why::Busy } => {}
                _ if answered.insert(node) => take(reply),
                _ => {}
            }
        }
        let rest = asking.known.into_iter();
        let (others, silent): (Vec<_>, Vec<_>) = rest
            .filter(|(name, _)| !answered.contains(name) && !incompatible.contains(name))
            .partition(|(_, state)| *state == NodeState::Incompatible);
        incompatible.extend(others.into_iter().map(|(name, _)| name));
        self.0.metrics.silent.inc_by(silent.len() as u64);
        Unanswered {
            silent: silent.into_iter().map(|(name, _)| name).collect(),
            incompatible: incompatible.into_iter().collect(),
            is_disconnected: !asking.is_sent,
        }
    }

    /// Pushes a message to a topic, or to all: here first, and then on the other nodes.
    pub(crate) async fn push(
        &self,
        registry: &Registry,
        receivers: &Receivers,
        push: &Push,
    ) -> Spread {
        let topic = match receivers {
            Receivers::Topic(topic) => Some(topic.clone()),
            Receivers::All | Receivers::Id(_) => None,
        };
        let content = Content::Push {
            topic,
            binary: push.opcode() == Opcode::Binary,
            within: self.within(),
        };
        let order = self.0.order.lock().await;
        let mut total = registry.post(receivers, push);
        let asking = self.ask_all(content, &push.payload()).await;
        drop(order);
        let mut nodes = BTreeMap::from([(self.0.node.clone(), total.delivered)]);
        let take = |reply: Reply| {
            if let Content::Delivered { delivered, skipped } = reply.header.content {
                total.delivered = total.delivered.saturating_add(delivered);
                total.skipped = total.skipped.saturating_add(skipped);
                nodes.insert(reply.header.node, delivered);
            }
        };
        let unanswered = self.collect(asking, take).await;
        Spread {
            total,
            nodes,
            unanswered,
        }
    }

    /// Looks for the node that has a connection: the one where it is open, or was opened last.
    pub(crate) async fn owner(&self, registry: &Registry, id: &str) -> Owner {
        let here = find(registry, id);
        if matches!(here, Connection::Open { .. }) {
            return Owner::Here;
        }
        if let Some((_, node)) = id.rsplit_once('@') {
            if node == self.0.node {
                return Owner::Here;
            }
            if self.nodes().has(node) {
                return Owner::Node(node.to_owned());
            }
        }
        let content = Content::Find {
            id: id.to_owned(),
            within: self.within(),
        };
        let asking = self.ask_all(content, b"").await;
        let mut best = (here, Owner::Here);
        let take = |reply: Reply| {
            if let Content::Found { connection } = reply.header.content
                && connection > best.0
            {
                best = (connection, Owner::Node(reply.header.node));
            }
        };
        let unanswered = self.collect(asking, take).await;
        let is_found = match best.0 {
            Connection::Open { .. } => true,
            // Without NATS, this node goes on with what it has.
            Connection::Closed { .. } => unanswered.silent.is_empty() || unanswered.is_disconnected,
            Connection::Forgotten | Connection::Unknown => false,
        };
        match is_found || unanswered.is_none() {
            true => best.1,
            false => Owner::Unknown(unanswered),
        }
    }

    /// Asks one node for an answer of its API, which may take so long beyond the usual time.
    pub(crate) async fn call(
        &self,
        node: &str,
        call: &Call,
        longer: Duration,
    ) -> Result<CallAnswer, Unreachable> {
        let mut request = self.0.pending.begin();
        let reply = format!("{}{}", self.reply_prefix(), request.number);
        let content = Content::Call {
            method: call.method.clone(),
            target: call.target.clone(),
            binary: call.is_binary,
            within: self.within(),
        };
        let deadline = Instant::now() + self.0.timeout + longer;
        let subject = self.subject_of(node);
        if !self
            .publish(subject, Some(reply), content, &call.body)
            .await
        {
            return Err(Unreachable::Disconnected(node.to_owned()));
        }
        self.0.metrics.sent.inc();
        let answer = timeout_at(deadline, whole(node, &mut request)).await;
        let answer = answer.unwrap_or_else(|_late| Err(Unreachable::Silent(node.to_owned())));
        if answer.is_err() {
            self.0.metrics.silent.inc();
        }
        answer
    }
}

/// Puts an answer together from its parts.
async fn whole(node: &str, request: &mut Request) -> Result<CallAnswer, Unreachable> {
    let silent = || Unreachable::Silent(node.to_owned());
    let mut body = BytesMut::new();
    for next in 0.. {
        let reply = request.replies.recv().await.ok_or_else(silent)?;
        match reply.header.content {
            Content::Answer { status, part, more } => {
                // Without one of its parts, an answer is none.
                if part != next || body.len() + reply.payload.len() > MAX_ANSWER {
                    return Err(silent());
                }
                body.extend_from_slice(&reply.payload);
                if !more {
                    let body = body.freeze();
                    return Ok(CallAnswer { status, body });
                }
            }
            Content::Refused { why: Why::Version } => {
                return Err(Unreachable::Incompatible(node.to_owned()));
            }
            Content::Refused { why: Why::Busy } => return Err(Unreachable::Busy(node.to_owned())),
            _ => return Err(silent()),
        }
    }
    Err(silent())
}

/// The connection of this name on this node.
pub(super) fn find(registry: &Registry, id: &str) -> Connection {
    let key = match registry.find(id) {
        Found::Here(key) => key,
        Found::Forgotten => return Connection::Forgotten,
        Found::Unknown => return Connection::Unknown,
    };
    let Some(snapshot) = registry.snapshot(key) else {
        return Connection::Forgotten;
    };
    let opened = snapshot.status.opened_at.duration_since(UNIX_EPOCH);
    let opened = millis(opened.unwrap_or_default());
    match snapshot.status.phase {
        Phase::Open => Connection::Open { opened },
        Phase::Closing | Phase::Closed => Connection::Closed { opened },
    }
}

/// A message as a push.
pub(super) fn push_of(is_binary: bool, payload: &Bytes) -> Option<Push> {
    match is_binary {
        true => Some(Push::new(Opcode::Binary, payload)),
        false => {
            let is_text = simdutf8::basic::from_utf8(payload).is_ok();
            is_text.then(|| Push::new(Opcode::Text, payload))
        }
    }
}
