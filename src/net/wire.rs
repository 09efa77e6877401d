//! The socket, with what a session needs to know of its bytes: when some last came, and how many
//! have gone.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

use crate::runtime::moment::Moment;

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
    fn is_socket(&self) -> bool {
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

/// A socket that is watched.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    io: S,
    alive_at: Moment,
    written: u64,
}

impl<S> Wire<S> {
    pub(crate) fn new(io: S) -> Self {
        Self {
            io,
            alive_at: Moment::now(),
            written: 0,
        }
    }

    pub(crate) fn into_inner(self) -> S {
        self.io
    }

    pub(crate) fn get_ref(&self) -> &S {
        &self.io
    }

    pub(crate) fn get_mut(&mut self) -> &mut S {
        &mut self.io
    }

    /// The socket, for what the end of the stream follows at once.
    pub(crate) fn last(&mut self) -> Last<'_, S> {
        Last(self)
    }

    /// The peer's last sign of life: when the last byte arrived, as a rule.
    pub(crate) fn alive_at(&self) -> Moment {
        self.alive_at
    }

    /// Notes another sign of life, at this moment.
    pub(crate) fn note_life(&mut self) {
        self.alive_at = Moment::now();
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.note_life();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.written += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        self.written += written as u64;
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A socket that is watched, for the last that is written to it.
#[derive(Debug)]
pub(crate) struct Last<'a, S>(&'a mut Wire<S>);

impl<S: Transport> AsyncWrite for Last<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.0.io).poll_write_last(cx, buf))?;
        self.0.written += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}
