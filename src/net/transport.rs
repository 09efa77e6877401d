//! The trait of all streams that a session or a tunnel can use, and the end of a stream by its
//! peer.

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
    /// The peer has ended both directions in order, as the end of a connection of HTTP/2 does to
    /// its streams.
    Closed,
    /// The peer has reset the connection.
    Reset,
}

/// A stream that a session can use: a socket, with or without TLS, or a stream of HTTP/2.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin {
    /// Drops the stream with a reset, so that no unsent data is kept for a peer that does not take
    /// it.
    fn reset(self);

    /// Makes a later drop reset the connection, instead of ending it in order.
    fn reset_on_drop(&self) {}

    /// Limits how long a peer may take nothing of what it was sent, once the stream is dropped.
    fn linger_at_most(&self, _limit: Duration) {}

    /// Waits until the peer ends the connection, for as long as the stream is not read. Bytes that
    /// the peer sent before can still be read.
    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<Hangup>;

    /// Whether a read that does not fill its buffer has taken all bytes that are there, as it has
    /// from a socket.
    fn drains_by_short_read(&self) -> bool {
        false
    }

    /// Number of bytes that the stream has taken, and the socket has not, as TLS has some.
    fn unsent(&self) -> usize {
        0
    }

    /// Writes bytes after which the end of the stream follows at once. They may wait for that, so
    /// that both are one packet.
    fn poll_write_last(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write(cx, bytes)
    }
}

/// Longest time for which a half-closed peer that is owed nothing is kept.
pub(crate) const HALF_CLOSED: Duration = Duration::from_secs(5);

/// Time between checks of a half-closed peer, which may still reset the connection.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// Waits until the peer of a connection that is not read has left: at once if the peer resets it,
/// and some time later if the peer half-closes it.
pub(crate) async fn has_left(
    mut poll_hangup: impl FnMut(&mut Context<'_>) -> Poll<Hangup>,
) -> Hangup {
    let mut patience = HALF_CLOSED;
    loop {
        let hangup = poll_fn(&mut poll_hangup).await;
        if hangup != Hangup::HalfClosed || patience.is_zero() {
            return hangup;
        }
        sleep(LOOK).await;
        patience = patience.saturating_sub(LOOK);
    }
}
