//! Drain: the one signal that tells every connection to end, each at a time of its own.

use std::future::pending;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The time over which the closes of a drain are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: Instant,
    pub(crate) length: Duration,
}

impl Window {
    /// The moment that lies `share` of the way through, with `share` from 0 to 1.
    pub(crate) fn at(&self, share: f64) -> Instant {
        self.start + self.length.mul_f64(share)
    }
}

/// The server's side: begins the drain.
#[derive(Debug)]
pub(crate) struct Shutdown(watch::Sender<Option<Window>>);

impl Shutdown {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// A connection's side.
    pub(crate) fn subscribe(&self) -> Drain {
        Drain(self.0.subscribe())
    }

    /// Begins the drain, which sessions are to leave within `window` from now.
    pub(crate) fn begin(&self, window: Duration) {
        self.0.send_replace(Some(Window {
            start: Instant::now(),
            length: window,
        }));
    }
}

/// A connection's side: learns that the drain has begun.
#[derive(Debug, Clone)]
pub(crate) struct Drain(watch::Receiver<Option<Window>>);

impl Drain {
    pub(crate) fn has_begun(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits for the drain to begin.
    pub(crate) async fn begun(&mut self) -> Window {
        let begun = match self.0.wait_for(Option::is_some).await {
            Ok(window) => *window,
            // The server is gone without a drain, and drops its connections itself.
            Err(_) => None,
        };
        match begun {
            Some(window) => window,
            None => pending().await,
        }
    }
}
