//! Metrics of the API, which are exposed if there is one.

use hyper::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters and gauges of the API. All clones are the same ones.
#[derive(Debug, Clone)]
pub(crate) struct ApiMetrics {
    pushes: Family<Outcome, Counter>,
    delivered: Counter,
    skipped: Counter,
    /// Times that a mailbox had no room for a push, after it had taken the one before.
    pub(crate) mailboxes_full: Counter,
    /// Records of messages that are not kept any more.
    pub(crate) dropped: Counter,
    requests: Family<Request, Counter>,
    readers: Gauge,
}

/// Labels of a request that was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    /// The pattern of its path.
    route: &'static str,
    status: u16,
}

/// Label of the outcome of a push to one session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Default for ApiMetrics {
    fn default() -> Self {
        let pushes = Family::default();
        let outcome = |outcome| pushes.get_or_create_owned(&Outcome { outcome });
        Self {
            delivered: outcome("delivered"),
            skipped: outcome("skipped"),
            pushes,
            mailboxes_full: Counter::default(),
            dropped: Counter::default(),
            requests: Family::default(),
            readers: Gauge::default(),
        }
    }
}

impl ApiMetrics {
    /// Counts a push by the sessions that took it, and those that had no room for it.
    pub(crate) fn count_push(&self, delivered: usize, skipped: usize) {
        self.delivered.inc_by(delivered as u64);
        if skipped > 0 {
            self.skipped.inc_by(skipped as u64);
        }
    }

    /// Counts a request that was answered, by the pattern of its path.
    pub(crate) fn count_request(&self, route: &'static str, status: StatusCode) {
        let status = status.as_u16();
        let labels = Request { route, status };
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts a reader of events, until the guard is dropped.
    pub(crate) fn reader(&self) -> ReaderGuard {
        self.readers.inc();
        ReaderGuard(self.readers.clone())
    }

    /// Exposes all of these in `ours`.
    pub(super) fn register(&self, ours: &mut Registry) {
        let ours = ours.sub_registry_with_prefix("api");
        let help = "Pushes to sessions: into a mailbox, or skipped since it was full";
        ours.register("pushes", help, self.pushes.clone());
        let help = "Times that a mailbox became full: a push was skipped, and not the one before";
        ours.register("mailboxes_full", help, self.mailboxes_full.clone());
        let help = "Messages that are not kept any more";
        ours.register("records_dropped", help, self.dropped.clone());
        let help = "Requests that were answered, by the pattern of their path";
        ours.register("requests", help, self.requests.clone());
        let help = "Readers of events";
        ours.register("event_readers", help, self.readers.clone());
    }
}

/// Guard of a reader of events: dropping it counts one reader less.
#[derive(Debug)]
pub(crate) struct ReaderGuard(Gauge);

impl Drop for ReaderGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
