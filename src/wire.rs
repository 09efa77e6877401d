//! The byte layer below tungstenite: it counts what is read since the last whole message, and
//! remembers the last sign of life. It parses nothing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The longest header of a client's frame: 2 bytes, 8 of length, 4 of mask (RFC 6455, section 5.2).
pub(crate) const MAX_FRAME_HEADER: usize = 14;

/// Fragments that the limit of a [`Wire`] leaves room for, however long its message.
const FRAGMENTS: usize = 128 << 10;

/// The bytes that a message of at most `max_message_size` may take on the wire.
pub(crate) const fn message_limit(max_message_size: usize) -> usize {
    max_message_size.saturating_add(FRAGMENTS * MAX_FRAME_HEADER)
}

/// A message that never ends, in fragments that are empty or nearly so.
#[derive(Debug, Default, thiserror::Error)]
#[error("{0} bytes read, and no whole message")]
pub(crate) struct Endless(usize);

/// A socket, with what the session needs to know about its bytes.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    io: S,
    unfinished: usize,
    /// Bytes read that no message accounts for; headers of fragments stay among them.
    unaccounted: usize,
    limit: usize,
    heard_at: Instant,
    written: u64,
}

impl<S> Wire<S> {
    /// Wraps `io`, of which `early` bytes have been read elsewhere. Reading fails with [`Endless`]
    /// once more than `limit` bytes make no whole message.
    pub(crate) fn new(io: S, early: usize, limit: usize) -> Self {
        Self {
            io,
            unfinished: early,
            unaccounted: early,
            limit,
            heard_at: Instant::now(),
            written: 0,
        }
    }

    /// When the last byte arrived.
    pub(crate) fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// Whether part of a message has arrived. The start of a message that came in one read with
    /// the end of the one before it is not noticed until more of it arrives.
    pub(crate) fn is_mid_message(&self) -> bool {
        self.unfinished > 0
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Whether tungstenite holds nothing of what was read. Never wrongly true: a message takes at
    /// least one frame with the shortest header. After fragments, though, it stays false.
    pub(crate) fn is_drained(&self) -> bool {
        self.unaccounted == 0
    }

    /// Starts to count anew, after a whole text or binary message of `payload` bytes.
    pub(crate) fn message_ended(&mut self, payload: usize) {
        self.unfinished = 0;
        self.unaccounted = self.unaccounted.saturating_sub(frame_size(payload));
    }

    /// Takes a control frame of `payload` bytes out of the count: it may stand between fragments,
    /// and ends no message.
    pub(crate) fn control_frame_ended(&mut self, payload: usize) {
        self.unfinished = self.unfinished.saturating_sub(frame_size(payload));
        self.unaccounted = self.unaccounted.saturating_sub(frame_size(payload));
    }
}

/// The bytes of a client's frame with the shortest header that its payload allows.
fn frame_size(payload: usize) -> usize {
    let length = match payload {
        0..=125 => 0,
        126..=0xffff => 2,
        _ => 8,
    };
    2 + length + 4 + payload
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        if read > 0 {
            self.heard_at = Instant::now();
            self.unfinished += read;
            self.unaccounted += read;
            if self.unfinished > self.limit {
                return Poll::Ready(Err(io::Error::other(Endless(self.unfinished))));
            }
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
