//! The alarm: wakes a session for its timer and for the drain.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::time::{Instant, Sleep};

use crate::runtime::shutdown::{Begun, Drain, Window};

/// Reason why an alarm goes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alert {
    /// The timer has fired.
    Clock,
    /// The drain has begun. This is returned only once.
    Drain(Window),
}

/// Waits for a timer and for the drain.
///
/// A session polls it at every message. Polling the timer takes several atomic operations, only to
/// register the task's waker again. So while the waker is the same, which the wait for the drain
/// knows, the alarm only checks whether either has happened.
#[derive(Debug)]
pub(super) struct Alarm {
    drain_begun: Option<Begun>,
}

impl Alarm {
    /// An alarm that has no timer yet.
    pub(super) fn new(drain: &Drain) -> Self {
        Self {
            drain_begun: Some(drain.begun()),
        }
    }

    /// Sets the timer to another time.
    pub(super) fn set(&mut self, timer: Pin<&mut Sleep>, at: Instant) {
        timer.reset(at);
        // The timer must be polled again. Without the waker, the next poll polls both.
        if let Some(begun) = &mut self.drain_begun {
            begun.forget();
        }
    }

    /// Waits for either. The timer must be the same in every call, and only [`set`](Self::set) may
    /// reset it.
    pub(super) fn poll(&mut self, timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Alert> {
        let begun = self.drain_begun.as_ref();
        let are_waiting = begun.is_some_and(|begun| begun.is_waiting(cx.waker()));
        if are_waiting && !timer.is_elapsed() {
            return Poll::Pending;
        }
        if timer.poll(cx).is_ready() {
            return Poll::Ready(Alert::Clock);
        }
        self.poll_drain(cx).map(Alert::Drain)
    }

    /// Waits for the drain alone.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Window> {
        let Some(drain_begun) = &mut self.drain_begun else {
            return Poll::Pending;
        };
        let window = drain_begun.poll_unpin(cx);
        if window.is_ready() {
            self.drain_begun = None;
        }
        window
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::time::Duration;

    use futures_util::task::noop_waker;
    use tokio::time::{advance, sleep_until, timeout};

    use super::*;
    use crate::runtime::shutdown::Shutdown;

    const SECOND: Duration = Duration::from_secs(1);

    /// Time that is longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Waits until the alarm goes off, and returns the reason.
    async fn alert(alarm: &mut Alarm, mut timer: Pin<&mut Sleep>) -> Alert {
        let alert = poll_fn(|cx| alarm.poll(timer.as_mut(), cx));
        timeout(PATIENCE, alert).await.expect("it goes off")
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_goes_off_at_the_time_that_it_is_set_to() {
        let shutdown = Shutdown::new();
        let mut alarm = Alarm::new(&shutdown.subscribe());
        let start = Instant::now();
        let mut timer = pin!(sleep_until(start + SECOND));
        for second in 1..=3 {
            assert_eq!(alert(&mut alarm, timer.as_mut()).await, Alert::Clock);
            assert_eq!(start.elapsed(), SECOND * second);
            alarm.set(timer.as_mut(), start + SECOND * (second + 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_wakes_the_task_that_polled_it_last() {
        let shutdown = Shutdown::new();
        let mut alarm = Alarm::new(&shutdown.subscribe());
        let mut timer = pin!(sleep_until(Instant::now() + SECOND));
        let stranger = noop_waker();
        let mut elsewhere = Context::from_waker(&stranger);
        assert!(alarm.poll(timer.as_mut(), &mut elsewhere).is_pending());
        assert_eq!(alert(&mut alarm, timer.as_mut()).await, Alert::Clock);
    }

    #[tokio::test(start_paused = true)]
    async fn the_drain_sets_an_alarm_off_once() {
        let shutdown = Shutdown::new();
        let mut alarm = Alarm::new(&shutdown.subscribe());
        let start = Instant::now();
        let mut timer = pin!(sleep_until(start + SECOND));
        let (first, ()) = tokio::join!(alert(&mut alarm, timer.as_mut()), async {
            advance(SECOND / 2).await;
            shutdown.begin(SECOND, 1_000);
        });
        let window = Window {
            start: start + SECOND / 2,
            length: SECOND,
            spread: SECOND,
        };
        assert_eq!(first, Alert::Drain(window));
        assert_eq!(alert(&mut alarm, timer.as_mut()).await, Alert::Clock);
    }
}
