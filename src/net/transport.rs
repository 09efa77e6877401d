//! What a session, or a tunnel, needs of a stream beside its bytes.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

/// End of a connection by its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// The peer sends no more, and may still read.
    HalfClosed,
    /// It is gone.
    Reset,
}

/// What a session has its bytes from: a socket, with or without TLS, or a stream of HTTP/2.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin {
    /// Drops it with a reset, so that no unsent data is kept for a peer that does not take it.
    fn reset(self);

    /// Makes a later drop reset the connection, and not end it in order.
    fn reset_on_drop(&self) {}

    /// Limits how long a peer may take nothing of what it was sent, once this is dropped.
    fn linger_at_most(&self, _limit: Duration) {}

    /// Waits until the peer ends the connection, for as long as it is not read. What the peer sent
    /// before stays there to be read.
    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<Hangup>;

    /// Whether it is a socket: what is read from one is all that there is, if it is less than there
    /// was room for.
    fn drains_by_short_read(&self) -> bool {
        false
    }

    /// Writes what the end of the stream follows at once. It may wait for that, to be one packet
    /// with it.
    fn poll_write_last(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write(cx, bytes)
    }
}

/// Longest time for which a peer that has half-closed, and is owed nothing, is kept.
pub(crate) const HALF_CLOSED: Duration = Duration::from_secs(5);

/// Time between checks of a peer that has half-closed: it may still reset the connection.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// Waits until the peer of a connection that is not read has left: at once where it resets that, and
/// some time later where it half-closes.
pub(crate) async fn has_left(
    mut poll_hangup: impl FnMut(&mut Context<'_>) -> Poll<Hangup>,
) -> Hangup {
    let mut patience = HALF_CLOSED;
    loop {
        let hangup = poll_fn(&mut poll_hangup).await;
        if hangup == Hangup::Reset || patience.is_zero() {
            return hangup;
        }
        sleep(LOOK).await;
        patience = patience.saturating_sub(LOOK);
    }
}
