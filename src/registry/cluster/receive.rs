//! Messages of other nodes: requests are carried out, and answers go to the requests of this node
//! that wait for them.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, warn};

use super::ask::{find, push_of};
use super::nodes::ANNOUNCED;
use super::pending::Reply;
use super::wire::{self, Content, DecodeError, Header, Why};
use super::{Call, Cluster, Inbound, Local, lock};
use crate::registry::Registry;
use crate::registry::state::Receivers;
use crate::runtime::limit::Limit;

/// Requests of other nodes that are answered at the same time.
const MAX_CALLS: usize = 512;

/// The longest time for the answer to a request of another node, which may wait for something.
const LONGEST: Duration = Duration::from_secs(30);

/// Carries out the requests of other nodes.
struct Receiver {
    cluster: Cluster,
    registry: Registry,
    local: Arc<dyn Local>,
    calls: Limit,
    tasks: JoinSet<()>,
}

impl Cluster {
    /// Takes part in the cluster, until it is dropped.
    pub(crate) async fn run(self, registry: Registry, local: Arc<dyn Local>) {
        let Some(inbound) = lock(&self.0.inbound).take() else {
            return;
        };
        let Inbound {
            mut all,
            mut own,
            mut replies,
        } = inbound;
        let mut receiver = Receiver {
            cluster: self.clone(),
            registry,
            local,
            calls: Limit::new(MAX_CALLS),
            tasks: JoinSet::new(),
        };
        let requests = async {
            loop {
                let message = tokio::select! {
                    Some(message) = all.next() => message,
                    Some(message) = own.next() => message,
                    else => break,
                };
                receiver.take(message).await;
                while receiver.tasks.try_join_next().is_some() {}
            }
        };
        let answers = async {
            while let Some(message) = replies.next().await {
                self.take_reply(&message);
            }
        };
        tokio::join!(requests, answers, self.keep_announcing());
    }

    /// Announces this node again and again, and asks who is there whenever NATS is back.
    async fn keep_announcing(&self) {
        let mut tick = interval(ANNOUNCED);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut status = self.status();
        let mut before = status.borrow_and_update().clone();
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                _ = status.changed() => {}
            }
            let now = status.borrow_and_update().clone();
            let asks = now.connects != before.connects;
            // At once, so that those count that are heard of as soon as NATS is back.
            if before.is_connected && (asks || !now.is_connected) {
                self.nodes().doubt(Instant::now());
            }
            before = now;
            self.count_nodes();
            let here = Content::Here { asks };
            self.publish(self.all(), None, here, b"").await;
        }
    }

    /// Forgets nodes that have been silent for long, unless NATS is away, and counts the others.
    fn count_nodes(&self) {
        let mut nodes = self.nodes();
        if self.is_connected() {
            nodes.expire(Instant::now());
        }
        self.0.metrics.nodes.set(1 + nodes.len() as u64);
    }

    fn take_reply(&self, message: &Message) {
        let number = message.subject.rsplit('.').next();
        let number = number.and_then(|number| number.parse().ok());
        let decoded = self.decode(message);
        let (Some(number), Ok((header, payload))) = (number, decoded) else {
            return;
        };
        let is_event = matches!(header.content, Content::Events { .. });
        let is_taken = self.0.pending.take(number, Reply { header, payload });
        if !is_taken && !is_event {
            self.0.metrics.late_answers.inc();
        }
    }

    /// Reads a message. One that cannot be read is counted.
    fn decode(&self, message: &Message) -> Result<(Header, Bytes), DecodeError> {
        let decoded = wire::decode(&message.payload);
        match &decoded {
            Ok(_) => {}
            Err(DecodeError::Malformed) => {
                self.0.metrics.malformed.inc();
                debug!(subject = %message.subject, "a message of NATS is none of a node");
            }
            Err(DecodeError::Version { node, version }) => {
                self.0.metrics.other_versions.inc();
                self.nodes().note_incompatible(node, Instant::now());
                if self.is_news(format!("version {version} of {node}")) {
                    let own = wire::VERSION;
                    warn!(
                        "the node {node:?} speaks version {version} between nodes, this one {own}"
                    );
                }
            }
        }
        decoded
    }
}

impl Receiver {
    /// Takes a message of another node, and carries it out unless it is late.
    async fn take(&mut self, message: Message) {
        let reply = message.reply.as_ref().map(ToString::to_string);
        let reply = reply.filter(|reply| self.is_reply(reply));
        let (header, payload) = match self.cluster.decode(&message) {
            Ok(read) => read,
            Err(DecodeError::Malformed) => return,
            Err(DecodeError::Version { .. }) => {
                let refused = Content::Refused { why: Why::Version };
                return self.answer(reply, refused, b"").await;
            }
        };
        if self.is_own(&header) {
            return;
        }
        let late = self.note(&header).await;
        if header.content.within().is_some_and(|within| late > within) {
            self.cluster.0.metrics.late_requests.inc();
            return;
        }
        self.carry_out(header.content, payload, reply).await;
    }

    async fn carry_out(&mut self, content: Content, payload: Bytes, reply: Option<String>) {
        match content {
            Content::Push { topic, binary, .. } => {
                self.push(topic, binary, &payload, reply).await;
            }
            Content::Find { id, .. } => {
                self.count();
                let connection = find(&self.registry, &id);
                self.answer(reply, Content::Found { connection }, b"").await;
            }
            Content::Call {
                method,
                target,
                binary: is_binary,
                ..
            } => {
                let call = Call {
                    method,
                    target,
                    is_binary,
                    body: payload,
                };
                self.call(call, reply).await;
            }
            Content::Follow { query, lease } => {
                let lease = Duration::from_millis(lease);
                self.follow(&query, lease, reply);
            }
            _ => {}
        }
    }

    /// Whether a subject is one of answers to a node of this cluster.
    fn is_reply(&self, subject: &str) -> bool {
        let prefix = &self.cluster.0.prefix;
        let rest = subject.strip_prefix(prefix.as_str());
        rest.is_some_and(|rest| rest.starts_with(".reply."))
    }

    /// Whether a message is of this node itself, or of another that has its name.
    fn is_own(&self, header: &Header) -> bool {
        let own = &self.cluster.0;
        if header.node != own.node {
            return false;
        }
        if header.run != own.run && self.cluster.is_news("another of this name".to_owned()) {
            let name = &own.node;
            warn!("another node has the name {name:?} too: this one does not hear it. Use --node");
        }
        true
    }

    /// Notes that a node is there, and returns by how many milliseconds its message is late.
    async fn note(&self, header: &Header) -> u64 {
        let (now, here) = (Instant::now(), self.cluster.now());
        let Header {
            node,
            run,
            at,
            content,
            ..
        } = header;
        let late = {
            let mut nodes = self.cluster.nodes();
            let late = nodes.note(node, *run, *at, here, now);
            match content {
                Content::Leaving => nodes.leave(node),
                Content::Gone => nodes.remove(node),
                _ => {}
            }
            late
        };
        if matches!(content, Content::Here { asks: true }) {
            let (subject, here) = (self.cluster.all(), Content::Here { asks: false });
            self.cluster.publish(subject, None, here, b"").await;
        }
        self.cluster.count_nodes();
        late
    }

    /// Counts a request that is carried out.
    fn count(&self) {
        self.cluster.0.metrics.received.inc();
    }

    async fn answer(&self, reply: Option<String>, content: Content, payload: &[u8]) {
        if let Some(subject) = reply {
            self.cluster.publish(subject, None, content, payload).await;
        }
    }

    async fn push(
        &self,
        topic: Option<String>,
        is_binary: bool,
        payload: &Bytes,
        reply: Option<String>,
    ) {
        let Some(push) = push_of(is_binary, payload) else {
            return self.cluster.0.metrics.malformed.inc();
        };
        self.count();
        let receivers = topic.map_or(Receivers::All, Receivers::Topic);
        let delivery = self.registry.post(&receivers, &push);
        let delivered = Content::Delivered {
            delivered: delivery.delivered,
            skipped: delivery.skipped,
        };
        self.answer(reply, delivered, b"").await;
    }

    /// Answers a request of the API, in a task.
    async fn call(&mut self, call: Call, reply: Option<String>) {
        self.count();
        let Some(reply) = reply else {
            return;
        };
        let Some(permit) = self.calls.take() else {
            let busy = Content::Refused { why: Why::Busy };
            return self.answer(Some(reply), busy, b"").await;
        };
        let (cluster, local) = (self.cluster.clone(), Arc::clone(&self.local));
        self.tasks.spawn(async move {
            let answer = tokio::time::timeout(LONGEST, local.call(call)).await;
            if let Ok(answer) = answer {
                cluster.send_answer(&reply, answer).await;
            }
            drop(permit);
        });
    }

    /// Begins to send events, or goes on with it.
    fn follow(&mut self, query: &str, lease: Duration, reply: Option<String>) {
        let Some(reply) = reply else {
            return;
        };
        if self.cluster.lease(&reply, lease) {
            let events = self.local.events(query);
            self.tasks
                .spawn(self.cluster.clone().send_events(reply, events));
        }
    }
}

impl Cluster {
    /// Sends an answer, in as many parts as NATS wants.
    async fn send_answer(&self, reply: &str, answer: super::CallAnswer) {
        let super::CallAnswer { status, mut body } = answer;
        let most = self.max_payload().max(1);
        let mut part = 0;
        loop {
            let piece = body.split_to(body.len().min(most));
            let more = !body.is_empty();
            let content = Content::Answer { status, part, more };
            let is_sent = self.publish(reply.to_owned(), None, content, &piece).await;
            if !more || !is_sent {
                return;
            }
            part += 1;
        }
    }
}
