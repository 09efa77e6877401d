//! The clock of a tunnel that may not be silent for ever.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Timer of the silence of a tunnel, with its limit.
#[derive(Debug)]
pub(super) struct Silence {
    limit: Duration,
    heard_at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Silence {
    pub(super) fn new(limit: Duration) -> Self {
        let heard_at = Instant::now();
        Self {
            limit,
            heard_at,
            timer: Box::pin(sleep_until(heard_at + limit)),
        }
    }

    /// Waits until nothing has been heard for as long as the limit.
    pub(super) fn poll_end(&mut self, is_heard: bool, cx: &mut Context<'_>) -> Poll<()> {
        if is_heard {
            self.heard_at = Instant::now();
        }
        // The timer is set anew when it fires, and not for every byte.
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let end = self.heard_at + self.limit;
            if end <= Instant::now() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(end);
        }
    }
}
