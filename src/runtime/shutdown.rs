//! Shutdown: one signal tells every connection to end, each at a time of its own.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

/// Average time between two closes, if the window is long enough: many sessions are closed slowly,
/// so that their clients do not all reconnect together.
const PAUSE: Duration = Duration::from_millis(1);

/// Time over which the closes of a drain are spread. A session goes on until its own close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: Instant,
    pub(crate) length: Duration,
    /// The part of `length` that the closes take.
    pub(crate) spread: Duration,
}

impl Window {
    /// A window that begins now, for this many sessions.
    fn new(length: Duration, sessions: usize) -> Self {
        let sessions = u32::try_from(sessions).unwrap_or(u32::MAX);
        Self {
            start: Instant::now(),
            length,
            spread: PAUSE.saturating_mul(sessions).min(length),
        }
    }

    /// The moment at `share` of the time that the closes take, with `share` from 0 to 1.
    pub(crate) fn at(&self, share: f64) -> Instant {
        self.start + self.spread.mul_f64(share)
    }

    /// Moment at which the window ends.
    pub(crate) fn end(&self) -> Instant {
        self.start + self.length
    }
}

/// The server's side: begins the drain.
#[derive(Debug)]
pub(crate) struct Shutdown(Arc<Signal>);

/// A connection's side: learns that the drain has begun.
#[derive(Debug, Clone)]
pub(crate) struct Drain(Arc<Signal>);

/// Signal that does the same as a `Notify`, with less than half the memory for each waiter.
#[derive(Debug, Default)]
struct Signal {
    window: OnceLock<Window>,
    /// Wakers of the tasks that wait for it.
    waiting: Mutex<Slab<Waker>>,
}

impl Signal {
    fn waiting(&self) -> MutexGuard<'_, Slab<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wakers(&self) -> Vec<Waker> {
        let waiting = self.waiting();
        waiting.iter().map(|(_, waker)| waker.clone()).collect()
    }
}

impl Shutdown {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Creates a connection's side of the signal.
    pub(crate) fn subscribe(&self) -> Drain {
        Drain(Arc::clone(&self.0))
    }

    /// Begins the drain of this many `sessions`, which are to close within `window` from now.
    pub(crate) fn begin(&self, window: Duration, sessions: usize) {
        let signal = &self.0;
        signal.window.get_or_init(|| Window::new(window, sessions));
        // The lock is released first: a task that wakes may want to take it.
        for waker in self.0.wakers() {
            waker.wake();
        }
    }
}

impl Drain {
    pub(crate) fn has_begun(&self) -> bool {
        self.0.window.get().is_some()
    }

    /// Waits for the drain to begin.
    pub(crate) fn begun(&self) -> Begun {
        let nobody = Waker::noop();
        Begun {
            drain: self.clone(),
            key: self.0.waiting().insert(nobody.clone()),
            waker: nobody.clone(),
        }
    }
}

/// A wait for the drain to begin. Only its first poll costs more than next to nothing.
#[derive(Debug)]
pub(crate) struct Begun {
    drain: Drain,
    /// Key of its waker in the signal's slab.
    key: usize,
    /// A copy of that waker.
    waker: Waker,
}

impl Begun {
    /// Whether a task with this waker needs no further poll before it is woken.
    fn is_waiting(&self, waker: &Waker) -> bool {
        self.waker.will_wake(waker) && !self.drain.has_begun()
    }

    fn wait(&mut self, waker: &Waker) -> Poll<Window> {
        self.waker.clone_from(waker);
        let Drain(signal) = &self.drain;
        let mut waiting = signal.waiting();
        // Checked while the lock is held, so that no signal falls between the check and the wait.
        match signal.window.get() {
            Some(window) => Poll::Ready(*window),
            None => {
                waiting[self.key].clone_from(waker);
                Poll::Pending
            }
        }
    }
}

impl Future for Begun {
    type Output = Window;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Window> {
        match self.is_waiting(cx.waker()) {
            true => Poll::Pending,
            false => self.wait(cx.waker()),
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let Drain(signal) = &self.drain;
        signal.waiting().remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::Wake;
    use std::thread;

    use futures_util::FutureExt;
    use futures_util::task::noop_waker;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Time that is longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn all_tasks_that_wait_for_the_drain_are_woken() {
        let shutdown = Shutdown::new();
        let waits: Vec<_> = (0..100)
            .map(|_| tokio::spawn(timeout(PATIENCE, shutdown.subscribe().begun())))
            .collect();
        yield_now().await;
        shutdown.begin(SECOND, 100);
        let window = Window::new(SECOND, 100);
        for wait in waits {
            assert_eq!(wait.await.expect("no panic"), Ok(window));
        }
        assert_eq!(shutdown.subscribe().begun().now_or_never(), Some(window));
    }

    #[tokio::test(start_paused = true)]
    async fn few_closes_are_spread_over_less_than_the_window() {
        for (sessions, milliseconds) in [(0, 0), (1, 1), (50, 50), (1_000, 1_000), (5_000, 1_000)] {
            let window = Window::new(SECOND, sessions);
            let spread = Duration::from_millis(milliseconds);
            assert_eq!(window.at(0.0), window.start);
            assert_eq!(window.at(1.0), window.start + spread, "{sessions}");
            assert_eq!(window.end(), window.start + SECOND);
        }
        assert_eq!(
            Window::new(Duration::MAX, usize::MAX).spread,
            PAUSE * u32::MAX
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_that_polled_last_is_woken() {
        let shutdown = Shutdown::new();
        let mut begun = shutdown.subscribe().begun();
        let stranger = noop_waker();
        let mut elsewhere = Context::from_waker(&stranger);
        assert!(begun.poll_unpin(&mut elsewhere).is_pending());
        let (begun, ()) = tokio::join!(timeout(PATIENCE, begun), async {
            shutdown.begin(SECOND, 1);
        });
        assert!(begun.is_ok());
    }

    #[test]
    fn a_task_may_be_dropped_by_the_call_that_wakes_it() {
        /// A task that is dropped when it is woken.
        struct Task(Mutex<Option<Begun>>);

        impl Wake for Task {
            fn wake(self: Arc<Self>) {
                drop(self.0.lock().expect("no panic").take());
            }
        }

        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            let shutdown = Shutdown::new();
            let task = Arc::new(Task(Mutex::default()));
            let waker = Waker::from(Arc::clone(&task));
            let mut begun = shutdown.subscribe().begun();
            let wait = begun.poll_unpin(&mut Context::from_waker(&waker));
            assert!(wait.is_pending());
            *task.0.lock().expect("no panic") = Some(begun);
            shutdown.begin(SECOND, 1);
            done.send(shutdown.0.waiting().len())
        });
        assert_eq!(is_done.recv_timeout(PATIENCE), Ok(0));
    }

    #[test]
    fn a_task_that_waits_no_more_leaves_nothing_behind() {
        let shutdown = Shutdown::new();
        let drain = shutdown.subscribe();
        for _ in 0..100 {
            assert_eq!(drain.begun().now_or_never(), None);
        }
        assert!(shutdown.0.waiting().capacity() < 10);
    }
}
