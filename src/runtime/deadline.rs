//! Deadlines of peers, which do not pass while this process is stopped.
//!
//! A process, or its machine, may be stopped and go on much later. A deadline may then have passed
//! although the data that it waits for is in the socket, unread. So each deadline has a grace
//! period, in which the sockets are read.

use std::pin::pin;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{self, Instant};

/// Time by which a deadline takes effect later than the clock says: enough for thousands of
/// sessions to read the bytes in their sockets.
pub(crate) const GRACE: Duration = Duration::from_millis(250);

/// Waits for `future` until [`GRACE`] after `deadline`.
pub(crate) async fn timeout_at<F>(deadline: Instant, future: F) -> Result<F::Output, Elapsed>
where
    F: Future,
{
    let mut future = pin!(future);
    match time::timeout_at(deadline, future.as_mut()).await {
        Ok(output) => Ok(output),
        Err(_) => time::timeout(GRACE, future).await,
    }
}

/// Waits for `future` for at most `limit` and [`GRACE`] together.
pub(crate) async fn timeout<F>(limit: Duration, future: F) -> Result<F::Output, Elapsed>
where
    F: Future,
{
    timeout_at(Instant::now() + limit, future).await
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::oneshot;
    use tokio::time::{advance, sleep};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_future_that_is_not_ready_in_time_is_given_up() {
        assert_eq!(timeout(SECOND, async { 1 }).await, Ok(1));
        let begun = Instant::now();
        assert!(timeout(SECOND, pending::<()>()).await.is_err());
        assert_eq!(begun.elapsed(), SECOND + GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_that_came_while_nothing_ran_is_not_late() {
        let (answer, answered) = oneshot::channel();
        let waiting = tokio::spawn(timeout(SECOND, answered));
        sleep(SECOND / 2).await;
        // As if the process had been stopped: the clock goes on, and the answer is seen later.
        advance(100 * SECOND).await;
        answer.send(1).unwrap();
        assert_eq!(waiting.await.unwrap(), Ok(Ok(1)));
    }
}
