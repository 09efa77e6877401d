//! A connection to the upstream that hyper's pool owns.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;

use super::patient::Patient;
use crate::tls::MaybeTls;
use crate::wire::Transport;

/// A connection to the upstream. A request that is given up may leave something that nobody reads:
/// the kernel does not keep that for longer than the send timeout.
pub(super) struct Pooled {
    stream: TokioIo<Patient<MaybeTls>>,
    send_timeout: Duration,
}

impl Pooled {
    pub(super) fn new(stream: MaybeTls, send_timeout: Duration) -> Self {
        Self {
            stream: TokioIo::new(Patient::new(stream, send_timeout)),
            send_timeout,
        }
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let stream = self.stream.inner().get_ref();
        stream.linger_at_most(self.send_timeout);
    }
}

impl Connection for Pooled {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Pooled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl Write for Pooled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
