//! Counters, which the metrics show.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counter of events. All clones are the same counter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Counts one event.
    pub(crate) fn inc(&self) {
        self.inc_by(1);
    }

    /// Counts so many events.
    pub(crate) fn inc_by(&self, events: u64) {
        self.0.fetch_add(events, Ordering::Relaxed);
    }

    /// Number of events so far.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
