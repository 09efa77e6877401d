//! Drain: the one signal that tells every connection to end, each at a time of its own.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
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
pub(crate) struct Shutdown(Arc<Signal>);

/// A connection's side: learns that the drain has begun.
#[derive(Debug, Clone)]
pub(crate) struct Drain {
    signal: Arc<Signal>,
    /// Which of the signal's lists it waits in.
    list: usize,
}

/// What a `watch` channel does, in half of its memory for each that waits.
#[derive(Debug, Default)]
struct Signal {
    window: OnceLock<Window>,
    /// Lists of those that wait. A session takes the lock of its list whenever it is polled: with
    /// several, threads seldom want the same one.
    begun: [Notify; 8],
}

impl Shutdown {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// A connection's side.
    pub(crate) fn subscribe(&self) -> Drain {
        Drain {
            signal: Arc::clone(&self.0),
            list: rand::random_range(..self.0.begun.len()),
        }
    }

    /// Begins the drain, which sessions are to leave within `window` from now.
    pub(crate) fn begin(&self, window: Duration) {
        self.0.window.get_or_init(|| Window {
            start: Instant::now(),
            length: window,
        });
        self.0.begun.iter().for_each(Notify::notify_waiters);
    }
}

impl Drain {
    pub(crate) fn has_begun(&self) -> bool {
        self.signal.window.get().is_some()
    }

    /// Waits for the drain to begin.
    #[expect(clippy::manual_async_fn, reason = "its future would hold self twice")]
    pub(crate) fn begun(&mut self) -> impl Future<Output = Window> {
        async move {
            loop {
                // Before the look at the window, for then nothing is missed in between.
                let begun = self.signal.begun[self.list].notified();
                match self.signal.window.get() {
                    Some(window) => return *window,
                    None => begun.await,
                }
            }
        }
    }
}
