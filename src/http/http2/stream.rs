//! A stream of HTTP/2 as a session sees it: bytes both ways, with the stream's own flow control for
//! backpressure. END_STREAM stands for the end of TCP, RST_STREAM for a reset (RFC 8441, section
//! 5).

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use h2::{Reason, RecvStream, SendStream};
use hyper::body::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::transport::{Hangup, Transport};

/// A stream of HTTP/2 that was accepted for a session.
#[derive(Debug)]
pub(crate) struct Http2Stream {
    send: SendStream<Bytes>,
    receive: Receiver,
    is_shut_down: bool,
}

impl Http2Stream {
    /// A stream that a client has opened, which is the same on its own side.
    #[cfg(feature = "probe")]
    pub(crate) fn of_client(send: SendStream<Bytes>, receive: RecvStream) -> Self {
        Self::new(send, receive.into())
    }

    pub(super) fn new(send: SendStream<Bytes>, receive: Receiver) -> Self {
        Self {
            send,
            receive,
            is_shut_down: false,
        }
    }
}

/// Receiving side of a stream.
#[derive(Debug)]
pub(crate) struct Receiver {
    stream: RecvStream,
    data: Data,
}

/// Data that has come and is not read yet. The peer may send no more of it than a window.
#[derive(Debug)]
#[expect(clippy::box_collection, reason = "every stream would have room for it")]
enum Data {
    /// Rest of the current DATA frame.
    Frame(Bytes),
    /// Data that came while the stream was watched for its end.
    Frames(Box<VecDeque<Bytes>>),
}

impl From<RecvStream> for Receiver {
    fn from(stream: RecvStream) -> Self {
        let data = Data::Frame(Bytes::new());
        Self { stream, data }
    }
}

impl Receiver {
    /// Waits for the end of what the peer sends, and keeps what comes before.
    pub(super) fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<Hangup> {
        loop {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => self.data.keep(data),
                Some(Err(error)) => return Poll::Ready(hangup(error)),
                None => return Poll::Ready(Hangup::HalfClosed),
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let data = loop {
            match self.data.front() {
                Some(data) => break data,
                None => match ready!(self.stream.poll_data(cx)) {
                    Some(data) => self.data = Data::Frame(data.map_err(io_error)?),
                    None => return Poll::Ready(Ok(())),
                },
            }
        };
        let read = data.len().min(buf.remaining());
        buf.put_slice(&data[..read]);
        data.advance(read);
        let released = self.stream.flow_control().release_capacity(read);
        Poll::Ready(released.map_err(io_error))
    }
}

impl Data {
    fn keep(&mut self, data: Bytes) {
        match self {
            Self::Frames(frames) => frames.push_back(data),
            Self::Frame(first) => {
                *self = Self::Frames(Box::new([mem::take(first), data].into()));
            }
        }
    }

    /// The first piece that is not empty.
    fn front(&mut self) -> Option<&mut Bytes> {
        match self {
            Self::Frame(data) => Some(data).filter(|data| !data.is_empty()),
            Self::Frames(frames) => {
                while frames.front().is_some_and(Bytes::is_empty) {
                    frames.pop_front();
                }
                frames.front_mut()
            }
        }
    }
}

/// Waits until the peer takes some of `wanted` bytes, and says how many.
pub(super) fn poll_capacity(
    send: &mut SendStream<Bytes>,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    send.reserve_capacity(wanted);
    // h2 tells of a change alone, and not of capacity that was there before.
    while send.capacity() == 0 {
        match ready!(send.poll_capacity(cx)) {
            Some(capacity) => capacity.map_err(io_error)?,
            None => return Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
        };
    }
    Poll::Ready(Ok(send.capacity().min(wanted)))
}

impl Transport for Http2Stream {
    fn reset(mut self) {
        self.send.send_reset(Reason::CANCEL);
    }

    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<Hangup> {
        match self.send.poll_reset(cx) {
            Poll::Ready(Ok(_)) => Poll::Ready(Hangup::Reset),
            // One of the connection.
            Poll::Ready(Err(error)) => Poll::Ready(hangup(error)),
            Poll::Pending => self.receive.poll_hangup(cx),
        }
    }
}

impl AsyncRead for Http2Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.receive.poll_read(cx, buf)
    }
}

impl AsyncWrite for Http2Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    /// Writes all in one DATA frame, as far as it fits.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum();
        if length == 0 {
            return Poll::Ready(Ok(0));
        }
        let length = ready!(poll_capacity(&mut self.send, length, cx))?;
        let mut data = Vec::with_capacity(length);
        for buf in bufs {
            let left = length - data.len();
            data.extend_from_slice(&buf[..buf.len().min(left)]);
        }
        let sent = self.send.send_data(data.into(), false);
        Poll::Ready(sent.map(|()| length).map_err(io_error))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: the connection sends what was written.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_shut_down {
            return Poll::Ready(Ok(()));
        }
        self.is_shut_down = true;
        Poll::Ready(self.send.send_data(Bytes::new(), true).map_err(io_error))
    }
}

/// The end of a stream with this error.
fn hangup(error: h2::Error) -> Hangup {
    match io_error(error).kind() {
        ErrorKind::UnexpectedEof => Hangup::Closed,
        _ => Hangup::Reset,
    }
}

/// The error that TCP would report.
fn io_error(error: h2::Error) -> io::Error {
    match error.get_io().map(io::Error::kind) {
        // By this h2 tells that the connection has ended, and the stream has not.
        Some(ErrorKind::BrokenPipe) => io::Error::new(ErrorKind::UnexpectedEof, error),
        Some(kind) => io::Error::new(kind, error),
        None if error.is_reset() => io::Error::new(ErrorKind::ConnectionReset, error),
        None => io::Error::other(error),
    }
}
