//! Progress of a connection's requests, by which its deadlines are judged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Progress of a connection's requests, shared by its deadline and its stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Steps>);

#[derive(Debug, Default)]
struct Steps {
    steps: AtomicU64,
    under_way: AtomicU64,
}

impl Progress {
    /// Notes that a request is under way, which has deadlines of its own.
    pub(super) fn begin(&self) {
        self.0.under_way.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a request has been answered.
    fn end(&self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.steps.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn steps(&self) -> u64 {
        self.0.steps.load(Ordering::Relaxed)
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.0.under_way.load(Ordering::Relaxed) > 0
    }

    /// Whether no request has come yet.
    pub(super) fn is_new(&self) -> bool {
        self.steps() == 0 && !self.is_under_way()
    }
}

/// A request that is under way until this is dropped.
pub(super) struct UnderWay(pub(super) Progress);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.end();
    }
}
