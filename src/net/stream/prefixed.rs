//! Streams with bytes that were read from them, and are to be read again.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::delegate_write;

/// A stream with bytes that were read from it, and are to be read again.
#[derive(Debug)]
pub(crate) struct Prefixed<S> {
    /// Bytes that are still to be read again.
    read: Vec<u8>,
    stream: S,
}

impl<S> Prefixed<S> {
    /// A stream of which `read` was read already.
    pub(crate) fn new(read: Vec<u8>, stream: S) -> Self {
        Self { read, stream }
    }

    /// The stream in another wrapper, which passes bytes on unchanged.
    pub(crate) fn map<T>(self, wrap: impl FnOnce(S) -> T) -> Prefixed<T> {
        Prefixed {
            read: self.read,
            stream: wrap(self.stream),
        }
    }

    /// The stream itself, and the bytes that are still to be read again.
    pub(crate) fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.read)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let again = self.read.len().min(buf.remaining());
        buf.put_slice(&self.read[..again]);
        self.read.drain(..again);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    delegate_write!(Self { stream, .. } => stream);
}
