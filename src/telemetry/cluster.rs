//! Counts of a node of a cluster. The metrics show them, if there are any.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::runtime::counter::Counter;

/// Counters and levels of a node. All clones are the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClusterMetrics {
    /// 1 while NATS is connected, else 0.
    pub(crate) connected: Level,
    /// Nodes that are known, with this one.
    pub(crate) nodes: Level,
    /// Times that the connection to NATS was lost.
    pub(crate) disconnections: Counter,
    /// Requests to other nodes.
    pub(crate) sent: Counter,
    /// Requests from other nodes.
    pub(crate) received: Counter,
    /// Nodes that did not answer a request in time, added up over all requests.
    pub(crate) silent: Counter,
    /// Answers that came when nobody waited for them any more.
    pub(crate) late_answers: Counter,
    /// Requests that came so late that their sender had given them up. They were not carried out.
    pub(crate) late_requests: Counter,
    /// Messages that were none of a node.
    pub(crate) malformed: Counter,
    /// Messages of a version that is not known.
    pub(crate) other_versions: Counter,
    /// Times that messages of NATS were dropped, since they came faster than they were read.
    pub(crate) slow: Counter,
}

/// A number that goes up and down. All clones are the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Level(Arc<AtomicU64>);

impl Level {
    pub(crate) fn set(&self, level: u64) {
        self.0.store(level, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
