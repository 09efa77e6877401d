//! Progress of a connection's requests, by which its deadlines are judged.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// Progress of a connection's requests, shared by its deadline and its stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Steps>);

#[derive(Debug, Default)]
struct Steps {
    steps: AtomicU64,
    under_way: AtomicU64,
    /// Whether the client has ended its side.
    has_ended: AtomicBool,
    /// Notified once it has.
    ended: Notify,
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

    /// Notes that the client has ended its side.
    pub(super) fn client_ended(&self) {
        self.0.has_ended.store(true, Ordering::Release);
        self.0.ended.notify_waiters();
    }

    /// Whether no request has come yet.
    pub(super) fn is_new(&self) -> bool {
        self.steps() == 0 && !self.is_under_way()
    }
}

/// The end of a client's side: an answer that does not end learns of it, because the client may be
/// gone, which only a write would show.
#[derive(Debug, Clone)]
pub(crate) struct ClientEnd(pub(super) Progress);

impl ClientEnd {
    /// Waits until the client has ended its side.
    pub(crate) async fn come(&self) {
        let mut ended = pin!(self.0.0.ended.notified());
        // Before the look, so that no end is missed in between.
        ended.as_mut().enable();
        if !self.0.0.has_ended.load(Ordering::Acquire) {
            ended.await;
        }
    }
}

/// A request that is under way until this is dropped.
pub(super) struct UnderWay(pub(super) Progress);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.end();
    }
}
