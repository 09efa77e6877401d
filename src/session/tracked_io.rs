//! A session's stream, with the time at which bytes last came, and the number of bytes written.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::transport::Transport;
use crate::runtime::moment::Moment;

/// Stream that notes the peer's signs of life, and counts the bytes written.
#[derive(Debug)]
pub(crate) struct TrackedIo<S> {
    io: S,
    alive_at: Moment,
    written: u64,
}

impl<S> TrackedIo<S> {
    pub(crate) fn new(io: S) -> Self {
        Self {
            io,
            alive_at: Moment::now(),
            written: 0,
        }
    }

    /// The same, over the stream that `change` makes of this one.
    pub(crate) fn map<T>(self, change: impl FnOnce(S) -> T) -> TrackedIo<T> {
        TrackedIo {
            io: change(self.io),
            alive_at: self.alive_at,
            written: self.written,
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

    /// The same stream, for the last bytes before its end.
    pub(crate) fn last(&mut self) -> Last<'_, S> {
        Last(self)
    }

    /// Moment of the peer's last sign of life, usually the arrival of the last byte.
    pub(crate) fn alive_at(&self) -> Moment {
        self.alive_at
    }

    /// Notes a sign of life at this moment.
    pub(crate) fn note_life(&mut self) {
        self.alive_at = Moment::now();
    }

    /// Number of bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }
}

impl<S: Transport> TrackedIo<S> {
    /// Number that changes whenever the peer's socket takes bytes.
    pub(crate) fn progress(&self) -> u64 {
        self.written.wrapping_sub(self.io.unsent() as u64)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TrackedIo<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for TrackedIo<S> {
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

/// A stream to which the last bytes are written: its end follows at once.
#[derive(Debug)]
pub(crate) struct Last<'a, S>(&'a mut TrackedIo<S>);

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
