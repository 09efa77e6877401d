//! The tasks of connections: each runs in stages, and they are counted until the last has ended.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::thread;

use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tracing::error;

/// A stage of a connection, and the stages that follow it. Each has a box of its own, which is
/// dropped when the next stage begins: no stage keeps the memory of an earlier one.
pub(crate) struct Stage(Pin<Box<dyn Future<Output = Option<Self>> + Send>>);

impl Stage {
    /// A stage that returns the next one, if there is one.
    pub(crate) fn new(stage: impl Future<Output = Option<Self>> + Send + 'static) -> Self {
        Self(Box::pin(stage))
    }

    /// The last stage.
    pub(crate) fn last<T: 'static>(stage: impl Future<Output = T> + Send + 'static) -> Self {
        Self::new(stage.map(|_| None))
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

/// Tasks that are counted, so that the end of all can be waited for. Dropping this aborts them.
///
/// A `JoinSet` does the same, but takes a hundred bytes for each task.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    count: Count,
    /// Handles of all tasks that run, and of some that have ended.
    handles: Vec<AbortHandle>,
}

impl Tasks {
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        if self.handles.len() == self.handles.capacity() {
            self.handles.retain(|task| !task.is_finished());
            // Room for as many again: sweeping often would cost more than keeping some ended ones.
            self.handles.reserve(self.handles.len().max(64));
        }
        let running = self.count.add();
        let task = tokio::spawn(task.map(|()| drop(running)));
        self.handles.push(task.abort_handle());
    }

    /// Counter of the tasks that run.
    pub(crate) fn count(&self) -> Count {
        self.count.clone()
    }

    /// Aborts all tasks, and waits for their end.
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

/// Count of the tasks that run.
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

    /// Waits until `done` returns true. It is called at first, and whenever a task has ended.
    pub(crate) async fn ends_until(&self, done: impl Fn() -> bool) {
        while !done() {
            self.0.ended.notified().await;
        }
    }

    /// Waits until no task runs.
    pub(crate) async fn reaches_zero(&self) {
        self.ends_until(|| self.0.running.load(Ordering::Acquire) == 0)
            .await;
    }
}

/// Guard of a task that has not ended.
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

    /// Time that is longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn stages_follow_one_another() {
        let last = Stage::last(ready(()));
        timeout(PATIENCE, Stage::new(ready(Some(last))))
            .await
            .expect("the last is ready");
        let stuck = Stage::new(ready(Some(Stage::last(pending::<()>()))));
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
    async fn no_task_is_left_after_a_shutdown_or_a_drop() {
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
    async fn tasks_that_ended_are_swept_away() {
        let mut tasks = Tasks::default();
        tasks.spawn(pending());
        for _ in 0..1_000 {
            tasks.spawn(ready(()));
            // The new task runs now.
            tokio::task::yield_now().await;
        }
        assert!(tasks.handles.len() < 200, "{}", tasks.handles.len());
    }
}
