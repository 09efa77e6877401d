//! The other nodes of a cluster, which NATS reaches.
//!
//! Every node has three subscriptions, however many topics and connections it has. `echobeat` stands
//! for the prefix:
//!
//! | subject | messages |
//! |---|---|
//! | `echobeat.all` | to all nodes: announcements, pushes to a topic or to all, and who has a connection |
//! | `echobeat.node.NAME` | to one node: requests of the API about its connections |
//! | `echobeat.reply.NAME.RUN.N` | the answers to request N of a node's process, whose number is RUN |
//!
//! A push to a topic goes to all nodes, those without subscribers among them: so every node answers,
//! a sum is never wrong, and pushes to different topics keep their order. A subject for each topic
//! would spare some nodes the payload, and nobody would know of the others whether they are silent or
//! have no subscribers.
//!
//! A message is delivered at most once. It says when it was sent, and one that comes when its sender
//! does not wait for the answer any more is counted, and not carried out.
//!
//! | room | purpose |
//! |---|---|
//! | [`wire`] | messages between nodes |
//! | [`nodes`] | the other nodes, as their messages show them |
//! | [`link`] | the connection to NATS |
//! | [`pending`] | requests that are under way |
//! | [`ask`] | requests to other nodes |
//! | [`receive`] | messages of other nodes |
//! | [`follow`] | events of other nodes |

mod ask;
mod follow;
mod link;
mod nodes;
mod pending;
mod receive;
mod wire;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::time::{Instant, sleep, timeout};

use crate::config::ClusterConfig;
use crate::telemetry::cluster::ClusterMetrics;
pub(crate) use ask::{Owner, Spread, Unanswered, Unreachable};
use follow::Leases;
pub(crate) use follow::{FollowReader, NodeEvents};
use link::{Link, Status};
pub(crate) use nodes::NodeState;
use nodes::Nodes;
use pending::Pending;
use wire::{Content, Header, VERSION};

/// Bytes that are left for headers in the largest message that NATS takes.
const HEADERS: usize = 4 << 10;

/// Largest payload of NATS by default, as long as no server has said another.
const MAX_PAYLOAD: usize = 1 << 20;

/// Time in which the other nodes answer the first announcement, so that all are known from the start.
const INTRODUCED: Duration = Duration::from_millis(100);

/// A request of the API to another node.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Whether the body is a binary message.
    pub(crate) is_binary: bool,
    pub(crate) body: Bytes,
}

/// The answer to a [`Call`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallAnswer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// The API of this node, as other nodes ask it.
pub(crate) trait Local: Send + Sync + 'static {
    /// Answers a request about this node alone.
    fn call(self: Arc<Self>, call: Call) -> BoxFuture<'static, CallAnswer>;

    /// The events that a query chooses: their number, and their text.
    fn events(&self, query: &str) -> Option<BoxStream<'static, (u64, Bytes)>>;
}

/// This node of a cluster. All clones are the same node.
#[derive(Debug, Clone)]
pub(crate) struct Cluster(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    prefix: String,
    node: String,
    /// Random number of this process.
    run: u64,
    began: Instant,
    timeout: Duration,
    link: Arc<Link>,
    nodes: Mutex<Nodes>,
    pending: Pending,
    leases: Leases,
    /// Nodes that something was logged about: it is said once.
    noted: Mutex<BTreeSet<String>>,
    /// Held from the delivery of a push on this node to its publication, so that pushes have the same
    /// order everywhere.
    order: tokio::sync::Mutex<()>,
    /// Subscriptions, until the node runs.
    inbound: Mutex<Option<Inbound>>,
    metrics: ClusterMetrics,
}

/// Subscriptions of a node.
#[derive(Debug)]
struct Inbound {
    all: Subscriber,
    own: Subscriber,
    replies: Subscriber,
}

impl Cluster {
    /// Connects to NATS and subscribes. Where NATS is not required, it may be away, and is connected
    /// once it is there.
    ///
    /// # Errors
    /// A sentence, if the file of credentials cannot be read, or NATS is required and away.
    pub(crate) async fn connect(config: &ClusterConfig) -> Result<Self, String> {
        let metrics = ClusterMetrics::default();
        metrics.nodes.set(1);
        let link = Link::new(config, metrics.clone());
        let options = link::options(config, &link).await;
        let options = options.map_err(|error| error.to_string())?;
        let addresses = link::addresses(config).map_err(|error| error.to_string())?;
        let client = options.connect(addresses).await;
        let client = client.map_err(|error| error.to_string())?;
        let cluster = Self(Arc::new(Shared {
            client,
            prefix: config.prefix.as_str().to_owned(),
            node: config.node.as_str().to_owned(),
            run: rand::random::<u64>() >> 11,
            began: Instant::now(),
            timeout: config.timeout,
            link: Arc::clone(&link),
            nodes: Mutex::default(),
            pending: Pending::default(),
            leases: Leases::default(),
            noted: Mutex::default(),
            order: tokio::sync::Mutex::default(),
            inbound: Mutex::default(),
            metrics,
        }));
        cluster.subscribe().await?;
        match link.first(config.is_required).await {
            Ok(()) => {
                cluster.announce(Content::Here { asks: true }).await;
                sleep(INTRODUCED).await;
            }
            Err(error) if config.is_required => return Err(error),
            Err(error) => {
                tracing::warn!("NATS is away ({error}): this node works alone until it is there");
            }
        }
        Ok(cluster)
    }

    async fn subscribe(&self) -> Result<(), String> {
        let subscribe = async |subject: String| {
            let subscriber = self.0.client.subscribe(subject).await;
            subscriber.map_err(|error| error.to_string())
        };
        let inbound = Inbound {
            all: subscribe(self.all()).await?,
            own: subscribe(self.subject_of(&self.0.node)).await?,
            replies: subscribe(format!("{}*", self.reply_prefix())).await?,
        };
        *lock(&self.0.inbound) = Some(inbound);
        Ok(())
    }

    /// Name of this node.
    pub(crate) fn node(&self) -> &str {
        &self.0.node
    }

    pub(crate) fn metrics(&self) -> &ClusterMetrics {
        &self.0.metrics
    }

    /// Whether NATS is connected.
    pub(crate) fn is_connected(&self) -> bool {
        self.0.client.connection_state() == State::Connected
    }

    /// The other nodes that are known, by their names.
    pub(crate) fn known(&self) -> Vec<(String, NodeState)> {
        self.nodes().known(Instant::now())
    }

    /// Bytes that the payload of a message may have.
    pub(crate) fn max_payload(&self) -> usize {
        let server = self.0.client.try_server_info();
        let max = server.map_or(MAX_PAYLOAD, |info| info.max_payload);
        max.saturating_sub(HEADERS)
    }

    /// Says that this node shuts down.
    pub(crate) async fn begin_to_leave(&self) {
        self.announce(Content::Leaving).await;
    }

    /// Says that this node has shut down.
    pub(crate) async fn leave(&self) {
        self.announce(Content::Gone).await;
    }

    /// Publishes an announcement, and waits until NATS has it.
    async fn announce(&self, content: Content) {
        let sent = async {
            self.publish(self.all(), None, content, b"").await;
            self.0.client.flush().await
        };
        if self.is_connected() {
            // Without it, the others will see that this node is silent.
            let _ = timeout(self.0.timeout, sent).await;
        }
    }

    /// Publishes a message, and tells whether NATS can have it.
    async fn publish(
        &self,
        subject: String,
        reply: Option<String>,
        content: Content,
        payload: &[u8],
    ) -> bool {
        if !self.is_connected() {
            return false;
        }
        let message = wire::encode(&self.header(content), payload);
        let published = async {
            match reply {
                None => self.0.client.publish(subject, message).await,
                Some(reply) => {
                    let client = &self.0.client;
                    client.publish_with_reply(subject, reply, message).await
                }
            }
        };
        matches!(timeout(self.0.timeout, published).await, Ok(Ok(())))
    }

    fn header(&self, content: Content) -> Header {
        Header {
            v: VERSION,
            node: self.0.node.clone(),
            run: self.0.run,
            at: self.now(),
            content,
        }
    }

    /// Milliseconds since this node began.
    fn now(&self) -> u64 {
        millis(self.0.began.elapsed())
    }

    /// Milliseconds within which a request must come to be carried out. The rest of the time is for
    /// the answer, and for clocks and measurements that are not exact.
    fn within(&self) -> u64 {
        millis(self.0.timeout / 4 * 3)
    }

    fn all(&self) -> String {
        format!("{}.all", self.0.prefix)
    }

    fn subject_of(&self, node: &str) -> String {
        format!("{}.node.{node}", self.0.prefix)
    }

    /// The start of the subjects of answers to this node.
    fn reply_prefix(&self) -> String {
        let Shared {
            prefix, node, run, ..
        } = &*self.0;
        format!("{prefix}.reply.{node}.{run:x}.")
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        lock(&self.0.nodes)
    }

    /// Whether this is the first time that something is noted under this name.
    fn is_news(&self, about: String) -> bool {
        let mut noted = lock(&self.0.noted);
        noted.len() < 1000 && noted.insert(about)
    }

    fn status(&self) -> tokio::sync::watch::Receiver<Status> {
        self.0.link.watch()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
