//! Interim responses to a client of HTTP/1.1. hyper's server sends none but a 100 of its own, so
//! they are written below hyper, whenever it has written all that it has.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Interim, encode};

/// The 100 that hyper writes by itself when it begins to read a body that the client holds back.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Writes interim responses to an [`InterimStream`].
#[derive(Debug, Clone, Default)]
pub(in crate::proxy) struct Interims(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Bytes to write once hyper has written all that it has.
    bytes: Vec<u8>,
    /// Whether a task waits until they are written; `waker` wakes it.
    is_awaited: bool,
    waker: Option<Waker>,
    /// Whether hyper's next write is dropped if it is a 100.
    holds_continue: bool,
}

impl Interims {
    /// Writes an interim response after all earlier answers, and before the answer to the current
    /// request.
    pub(in crate::proxy) async fn send(&self, interim: &Interim) {
        self.write(encode(interim)).await;
    }

    /// Leaves the 100 to the upstream: hyper would send one as soon as the body is read.
    pub(in crate::proxy) async fn hold_continue(&self) {
        self.write(Vec::new()).await;
        self.state().holds_continue = true;
    }

    async fn write(&self, bytes: Vec<u8>) {
        {
            let mut state = self.state();
            (state.bytes, state.is_awaited) = (bytes, true);
        }
        poll_fn(|cx| {
            let mut state = self.state();
            if !state.is_awaited {
                return Poll::Ready(());
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's stream, as hyper reads and writes it.
#[derive(Debug)]
pub(in crate::proxy) struct InterimStream<S> {
    stream: S,
    interims: Interims,
}

impl<S> InterimStream<S> {
    pub(in crate::proxy) fn new(stream: S, interims: Interims) -> Self {
        Self { stream, interims }
    }

    pub(in crate::proxy) fn into_inner(self) -> S {
        self.stream
    }

    /// Length of the 100 that hyper begins to write here, if it is to be held.
    fn held(&self, bufs: &[IoSlice<'_>]) -> Option<usize> {
        let first = bufs.iter().find(|buf| !buf.is_empty())?;
        let is_held = std::mem::take(&mut self.interims.state().holds_continue);
        (is_held && first.starts_with(CONTINUE)).then_some(CONTINUE.len())
    }
}

impl<S: AsyncWrite + Unpin> InterimStream<S> {
    /// Writes interim responses between two writes of hyper, which flushes only when it has nothing
    /// more to write.
    fn poll_interims(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.interims.state();
        while !state.bytes.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &state.bytes))?;
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            state.bytes.drain(..written);
        }
        state.is_awaited = false;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for InterimStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for InterimStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.held(&[IoSlice::new(buf)]) {
            Some(held) => Poll::Ready(Ok(held)),
            None => Pin::new(&mut self.stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.held(bufs) {
            Some(held) => Poll::Ready(Ok(held)),
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_interims(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn an_interim_response_waits_for_a_flush_and_a_held_100_never_comes() {
        let (stream, mut peer) = duplex(1 << 10);
        let interims = Interims::default();
        let mut stream = InterimStream::new(stream, interims.clone());
        let mut interim = Interim::default();
        *interim.status_mut() = StatusCode::PROCESSING;
        let sending = async {
            interims.send(&interim).await;
            interims.hold_continue().await;
        };
        let writing = async {
            stream.write_all(b"earlier ").await.unwrap();
            loop {
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = sending => {}
            () = writing => {}
        }
        for bytes in [CONTINUE, b"later ", CONTINUE] {
            stream.write_all(bytes).await.unwrap();
        }
        drop(stream);
        let mut read = String::new();
        peer.read_to_string(&mut read).await.unwrap();
        assert_eq!(
            read,
            "earlier HTTP/1.1 102 Processing\r\n\r\nlater HTTP/1.1 100 Continue\r\n\r\n"
        );
    }
}
