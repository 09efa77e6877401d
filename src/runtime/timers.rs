//! Timers of sessions: those that are due at the same moment fire together, and all of them when
//! the drain begins.
//!
//! A session waits for one slot of time after another, and ten thousand others wait for the same
//! few slots. So a slot is a list of wakers, and the whole list is woken at once. A timer of tokio's
//! is a node of its own in a wheel, and takes more than 100 bytes. `benches/README.md` has what was
//! measured.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use slab::Slab;
use tokio::time::{Instant, Sleep, sleep_until};

use super::moment::Moment;
use super::shutdown::{Drain, Window};

/// Reason why a timer goes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alert {
    /// Its moment has come. This is the time, or a moment just before, but not before it was due.
    Clock(Moment),
    /// The drain has begun. This is returned only once.
    Drain(Window),
}

/// Timers that one task [fires](Self::run). All clones are the same timers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    latest: Latest,
    waiting: Mutex<Waiting>,
}

/// State that is written under the lock, and read without it, by every session at every message. It
/// has a line of memory of its own, for the lock beside it is taken by all threads.
///
/// A read that comes too early does no harm: who writes wakes the tasks that it concerns, and a
/// task that is woken sees what was written before.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Latest {
    /// The last moment at which timers fired, in nanoseconds since the start of the process's
    /// count, or 0. No slot is at or before it.
    fired_at: AtomicU64,
    is_draining: AtomicBool,
}

/// Tasks that wait.
#[derive(Debug, Default)]
struct Waiting {
    slots: BTreeMap<Moment, Slab<Waker>>,
    /// An empty slot, in the memory of one that has fired.
    spare: Slab<Waker>,
    window: Option<Window>,
    /// Waker of the task that fires the timers.
    driver: Option<Waker>,
    /// Moment at which that task wakes, at the latest. Its slot may be gone.
    wakes_at: Option<Moment>,
}

impl Timers {
    /// A timer that is due at `at`.
    pub(crate) fn timer(&self, at: Moment) -> Timer {
        Timer {
            timers: self.clone(),
            at,
            key: 0,
            task: 0,
            is_in_slot: false,
            knows_of_drain: false,
        }
    }

    /// Fires the timers for ever: each once it is due, and all of them when the drain begins.
    pub(crate) async fn run(&self, drain: Drain) -> Infallible {
        let mut begun = Some(drain.begun());
        let mut sleeps = Sleeps::new();
        poll_fn(|cx| {
            loop {
                if let Some(wait) = &mut begun
                    && let Poll::Ready(window) = pin!(wait).poll(cx)
                {
                    begun = None;
                    self.begin_drain(window);
                }
                let next = self.fire(cx.waker());
                ready!(sleeps.poll_until(next, cx));
            }
        })
        .await
    }

    /// The last moment at which timers fired.
    fn fired_at(&self) -> Option<Moment> {
        Moment::from_nanos(self.0.latest.fired_at.load(Ordering::Relaxed))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the tasks whose timers are due, and returns the moments of the next two slots.
    fn fire(&self, driver: &Waker) -> [Option<Moment>; 2] {
        let now = Moment::now();
        let mut due = Vec::new();
        let mut waiting = self.waiting();
        while let Some(slot) = waiting.slots.first_entry()
            && *slot.key() <= now
        {
            due.push(slot.remove());
        }
        if !due.is_empty() {
            let fired_at = &self.0.latest.fired_at;
            fired_at.store(now.as_nanos(), Ordering::Relaxed);
        }
        let mut slots = waiting.slots.keys().copied();
        let next = [slots.next(), slots.next()];
        waiting.wakes_at = next[0];
        let earlier = waiting.driver.replace(driver.clone());
        // The lock is released first: a task that wakes, or is dropped with its waker, may want to
        // take it.
        drop(waiting);
        drop(earlier);
        for mut slot in due {
            slot.drain().for_each(Waker::wake);
            self.waiting().spare = slot;
        }
        next
    }

    /// Wakes all tasks.
    fn begin_drain(&self, window: Window) {
        let mut waiting = self.waiting();
        waiting.window = Some(window);
        let copy = &self.0.latest.is_draining;
        copy.store(true, Ordering::Relaxed);
        let wakers = waiting.slots.values().flatten();
        let wakers: Vec<_> = wakers.map(|(_, waker)| waker.clone()).collect();
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Timers of tokio's for the next slot, and already for the one behind it. When one is set while no
/// other waits, tokio wakes the thread that waits for it: the thread writes to itself, and looks for
/// events once more than it has to.
struct Sleeps([Pin<Box<Sleep>>; 2]);

impl Sleeps {
    fn new() -> Self {
        let now = Instant::now();
        Self([Box::pin(sleep_until(now)), Box::pin(sleep_until(now))])
    }

    /// Waits until the first of these moments. Without one it waits for ever.
    fn poll_until(&mut self, next: [Option<Moment>; 2], cx: &mut Context<'_>) -> Poll<()> {
        let Self(sleeps) = self;
        let [first, second] = next.map(|moment| moment.map(Instant::from));
        if first == Some(sleeps[1].deadline()) {
            sleeps.swap(0, 1);
        }
        for (sleep, at) in sleeps.iter_mut().zip([first, second]) {
            if let Some(at) = at.filter(|at| *at != sleep.deadline()) {
                sleep.as_mut().reset(at);
            }
        }
        if second.is_some() {
            // It is polled again when the first is over.
            let _ = sleeps[1].as_mut().poll(cx);
        }
        match first {
            Some(_) => sleeps[0].as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl Waiting {
    /// Lets a task wait for the slot at `at`, and returns its key there. The driver's waker is
    /// returned if the driver has to look at the clock earlier now.
    fn insert(&mut self, at: Moment, waker: Waker) -> (u32, Option<Waker>) {
        let is_early = self.wakes_at.is_none_or(|wakes_at| at < wakes_at);
        if is_early {
            self.wakes_at = Some(at);
        }
        let slot = self.slots.entry(at);
        let key = slot
            .or_insert_with(|| mem::take(&mut self.spare))
            .insert(waker);
        let key = u32::try_from(key).expect("fewer tasks wait than memory holds");
        (key, is_early.then(|| self.driver.clone()).flatten())
    }

    /// Takes a task out of a slot, if the slot has not fired.
    fn remove(&mut self, at: Moment, key: u32) -> Option<Waker> {
        let slot = self.slots.get_mut(&at)?;
        let waker = slot.try_remove(key as usize);
        if slot.is_empty() {
            self.slots.remove(&at);
        }
        waker
    }
}

/// A timer of one task. It goes off when it is due, and once when the drain begins.
///
/// A session polls it at every message. While the same task waits already, a poll only compares a
/// few numbers.
#[derive(Debug)]
pub(crate) struct Timer {
    timers: Timers,
    at: Moment,
    /// Key of its waker in its slot.
    key: u32,
    /// Address in that waker, by which the task is known: the slot keeps the task, and so nothing
    /// else is at this address.
    task: usize,
    is_in_slot: bool,
    knows_of_drain: bool,
}

impl Timer {
    /// Sets the timer to another moment.
    pub(crate) fn set(&mut self, at: Moment) {
        if at != self.at {
            self.leave_slot();
            self.at = at;
        }
    }

    /// Stops waiting.
    pub(crate) fn cancel(&mut self) {
        self.leave_slot();
    }

    /// Waits for the timer or the drain.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Alert> {
        match self.is_waiting(cx.waker()) {
            true => Poll::Pending,
            false => self.poll_slot(cx.waker()),
        }
    }

    /// Whether a task with this waker needs no further poll before it is woken.
    fn is_waiting(&self, waker: &Waker) -> bool {
        self.is_in_slot
            && self.task == waker.data().addr()
            && self.due().is_none()
            && !self.has_to_drain()
    }

    /// The last moment at which timers fired, if this one is due by then.
    fn due(&self) -> Option<Moment> {
        self.timers.fired_at().filter(|now| *now >= self.at)
    }

    /// Whether the drain has begun, and the task does not know it.
    fn has_to_drain(&self) -> bool {
        let is_draining = &self.timers.0.latest.is_draining;
        !self.knows_of_drain && is_draining.load(Ordering::Relaxed)
    }

    fn poll_slot(&mut self, waker: &Waker) -> Poll<Alert> {
        // Its slot has fired just now: neither the lock nor the clock is needed.
        if let Some(now) = self.due()
            && self.is_in_slot
            && !self.has_to_drain()
        {
            self.is_in_slot = false;
            return Poll::Ready(Alert::Clock(now));
        }
        self.leave_slot();
        let mut waiting = self.timers.waiting();
        if let Some(window) = waiting.window
            && !mem::replace(&mut self.knows_of_drain, true)
        {
            return Poll::Ready(Alert::Drain(window));
        }
        if self.due().is_some() {
            return Poll::Ready(Alert::Clock(Moment::now()));
        }
        let (key, driver) = waiting.insert(self.at, waker.clone());
        drop(waiting);
        (self.key, self.task, self.is_in_slot) = (key, waker.data().addr(), true);
        if let Some(driver) = driver {
            driver.wake();
        }
        Poll::Pending
    }

    fn leave_slot(&mut self) {
        if mem::take(&mut self.is_in_slot) {
            // Dropped after the lock is released: it may be the last thing that keeps its task.
            let _waker = self.timers.waiting().remove(self.at, self.key);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.leave_slot();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::task::noop_waker;
    use tokio::task::{JoinHandle, yield_now};
    use tokio::time::{advance, timeout};

    use super::*;
    use crate::runtime::shutdown::Shutdown;

    const SECOND: Duration = Duration::from_secs(1);

    /// Time that is longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Timers that a task fires, and the signal of the drain.
    fn start() -> (Timers, Shutdown, JoinHandle<Infallible>) {
        let (timers, shutdown) = (Timers::default(), Shutdown::new());
        let drain = shutdown.subscribe();
        let driver = {
            let timers = timers.clone();
            tokio::spawn(async move { timers.run(drain).await })
        };
        (timers, shutdown, driver)
    }

    /// Waits until the timer goes off, and returns the reason.
    async fn alert(timer: &mut Timer) -> Alert {
        let alert = poll_fn(|cx| timer.poll(cx));
        timeout(PATIENCE, alert).await.expect("it goes off")
    }

    /// The time of a timer that goes off because it is due.
    async fn goes_off_at(timer: &mut Timer) -> Moment {
        match alert(timer).await {
            Alert::Clock(now) => now,
            Alert::Drain(_) => panic!("there is no drain"),
        }
    }

    fn slots(timers: &Timers) -> usize {
        timers.waiting().slots.len()
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_goes_off_at_the_moment_that_it_is_set_to() {
        let (timers, _shutdown, _driver) = start();
        let begin = Moment::now();
        let mut timer = timers.timer(begin + SECOND);
        for second in 1..=3 {
            assert_eq!(goes_off_at(&mut timer).await, begin + SECOND * second);
            timer.set(begin + SECOND * (second + 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_driver_wakes_for_the_earliest_timer_whenever_that_is_set() {
        let (timers, _shutdown, _driver) = start();
        let begin = Moment::now();
        let mut late = timers.timer(begin + SECOND * 10);
        let mut early = timers.timer(begin + SECOND * 2);
        let (at_last, at_first) = tokio::join!(goes_off_at(&mut late), async {
            yield_now().await;
            goes_off_at(&mut early).await
        });
        assert_eq!(at_first, begin + SECOND * 2);
        assert_eq!(at_last, begin + SECOND * 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_for_a_moment_that_is_past_goes_off_at_once() {
        let (timers, _shutdown, _driver) = start();
        let begin = Moment::now();
        goes_off_at(&mut timers.timer(begin + SECOND)).await;
        advance(SECOND).await;
        let now = Moment::now();
        assert_eq!(goes_off_at(&mut timers.timer(begin)).await, now);
        let mut unseen = timers.timer(begin + SECOND * 3 / 2);
        assert!(goes_off_at(&mut unseen).await >= now);
    }

    #[tokio::test(start_paused = true)]
    async fn timers_of_one_moment_share_a_slot_and_leave_none_behind() {
        let (timers, _shutdown, _driver) = start();
        let at = Moment::now() + SECOND;
        let waits: Vec<_> = (0..100)
            .map(|_| {
                let mut timer = timers.timer(at);
                tokio::spawn(async move { goes_off_at(&mut timer).await })
            })
            .collect();
        yield_now().await;
        assert_eq!(slots(&timers), 1);
        for wait in waits {
            assert_eq!(wait.await.expect("no panic"), at);
        }
        assert_eq!(slots(&timers), 0);

        let mut timer = timers.timer(at + SECOND);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(timer.poll(&mut cx).is_pending());
        timer.set(at + SECOND * 2);
        assert_eq!(slots(&timers), 0);
        assert!(timer.poll(&mut cx).is_pending());
        drop(timer);
        assert_eq!(slots(&timers), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_wakes_the_task_that_polled_it_last() {
        let (timers, _shutdown, _driver) = start();
        let at = Moment::now() + SECOND;
        let mut timer = timers.timer(at);
        let stranger = noop_waker();
        let mut elsewhere = Context::from_waker(&stranger);
        assert!(timer.poll(&mut elsewhere).is_pending());
        assert_eq!(goes_off_at(&mut timer).await, at);
    }

    #[tokio::test(start_paused = true)]
    async fn the_drain_sets_a_timer_off_once() {
        let (timers, shutdown, _driver) = start();
        let begin = Moment::now();
        let mut timer = timers.timer(begin + SECOND);
        let (first, ()) = tokio::join!(alert(&mut timer), async {
            advance(SECOND / 2).await;
            shutdown.begin(SECOND, 1_000);
        });
        let window = Window {
            start: (begin + SECOND / 2).into(),
            length: SECOND,
            spread: SECOND,
        };
        assert_eq!(first, Alert::Drain(window));
        assert_eq!(goes_off_at(&mut timer).await, begin + SECOND);
        let mut later = timers.timer(begin + SECOND);
        assert_eq!(alert(&mut later).await, Alert::Drain(window));
        assert_eq!(goes_off_at(&mut later).await, begin + SECOND);
    }
}
