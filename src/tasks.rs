//! The tasks of connections: each in stages, all counted until the last has ended.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::thread;

use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tracing::error;

/// A stage of a connection, and those behind it. Each has a box of its own, which is gone when the
/// next begins: what one needs does not stay with another.
pub(crate) struct Stage(Pin<Box<dyn Future<Output = Option<Self>> + Send>>);

impl Stage {
    /// A stage that says which is the next.
    pub(crate) fn new(stage: impl Future<Output = Option<Self>> + Send + 'static) -> Self {
        Self(Box::pin(stage))
    }

    /// A stage that is the last.
    pub(crate) fn last(stage: impl Future<Output = ()> + Send + 'static) -> Self {
        Self::new(stage.map(|()| None))
    }
}

impl Future for Stage {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(next) = ready!(self.0.as_mut().poll(cx)) {
            *self = next;
        }
        Poll::Ready(())
    }
}

/// Tasks, of which it is known when all have ended. When this is dropped, they are aborted.
///
/// A `JoinSet` does the same, in a hundred bytes for each of them.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    count: Count,
    /// Of all that run, and of some that have ended.
    handles: Vec<AbortHandle>,
}

impl Tasks {
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        if self.handles.len() == self.handles.capacity() {
            self.handles.retain(|task| !task.is_finished());
            // Room for as many again: to sweep often would cost more than to keep some that ended.
            self.handles.reserve(self.handles.len().max(64));
        }
        let running = self.count.add();
        let task = tokio::spawn(task.map(|()| drop(running)));
        self.handles.push(task.abort_handle());
    }

    /// How many there are.
    pub(crate) fn count(&self) -> Count {
        self.count.clone()
    }

    /// Aborts them all, and waits for their end.
    pub(crate) async fn shutdown(self) {
        let count = self.count();
        drop(self);
        count.reaches_zero().await;
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.handles.iter().for_each(AbortHandle::abort);
    }
}

/// How many tasks run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    running: AtomicUsize,
    ended: Notify,
}

impl Count {
    fn add(&self) -> Running {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(&self.0))
    }

    /// Waits until `done`, which is asked whenever a task has ended.
    pub(crate) async fn ends_until(&self, done: impl Fn() -> bool) {
        while !done() {
            self.0.ended.notified().await;
        }
    }

    /// Waits until there is none.
    pub(crate) async fn reaches_zero(&self) {
        self.ends_until(|| self.0.running.load(Ordering::Acquire) == 0)
            .await;
    }
}

/// Stands for a task that has not ended.
struct Running(Arc<Counted>);

impl Drop for Running {
    fn drop(&mut self) {
        if thread::panicking() {
            error!("a connection's task failed");
        }
        self.0.running.fetch_sub(1, Ordering::Release);
        self.0.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn stages_follow_one_another() {
        let last = Stage::last(ready(()));
        timeout(PATIENCE, Stage::new(ready(Some(last))))
            .await
            .expect("the last is ready");
        let stuck = Stage::new(ready(Some(Stage::last(pending()))));
        assert!(timeout(PATIENCE, stuck).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_has_ended_too() {
        let mut tasks = Tasks::default();
        tasks.spawn(ready(()));
        tasks.spawn(async { panic!("as it should") });
        let count = tasks.count();
        timeout(PATIENCE, count.reaches_zero())
            .await
            .expect("both end");
    }

    #[tokio::test(start_paused = true)]
    async fn none_is_left_after_the_shutdown_nor_after_a_drop() {
        for shut_down in [true, false] {
            let mut tasks = Tasks::default();
            let count = tasks.count();
            for _ in 0..1_000 {
                tasks.spawn(pending());
            }
            assert!(timeout(PATIENCE, count.reaches_zero()).await.is_err());
            match shut_down {
                true => tasks.shutdown().await,
                false => drop(tasks),
            }
            timeout(PATIENCE, count.reaches_zero())
                .await
                .expect("all end");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_ended_are_swept_away() {
        let mut tasks = Tasks::default();
        tasks.spawn(pending());
        for _ in 0..1_000 {
            tasks.spawn(ready(()));
            // It runs now.
            tokio::task::yield_now().await;
        }
        assert!(tasks.handles.len() < 200, "{}", tasks.handles.len());
    }
}
