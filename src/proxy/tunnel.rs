//! The tunnel: bytes both ways between two streams, as they come, and nothing is parsed.

mod closing;
mod silence;

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{fmt, future};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

use crate::shutdown::Drain;
use closing::ends_in_close;
use silence::Silence;

/// Bytes that are read at once, and the most that wait for one side to take them.
const READ_AT_ONCE: usize = 32 << 10;

thread_local! {
    /// What the tunnels of a thread read to, one after another: an idle one has no buffer.
    static SHARED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the thread's buffer.
fn with_shared<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut buffer = SHARED.take();
    buffer.resize(READ_AT_ONCE, 0);
    let done = work(&mut buffer);
    SHARED.set(buffer);
    done
}

/// One of the two ends of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Upstream,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
        })
    }
}

/// Why a tunnel ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// Both sides have ended, of which this one began: with a Close, or with its end.
    #[error("the {0} closed first")]
    Closed(Side),
    /// The connection to this side failed.
    #[error("the connection to the {0} failed: {1}")]
    Lost(Side, io::Error),
    /// Nothing came for too long.
    #[error("nothing came for too long")]
    Idle,
    /// The drain is over.
    #[error("the proxy is shutting down")]
    Drained,
}

impl End {
    /// The word for it in the log.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Closed(_) => "closed",
            Self::Lost(..) => "lost",
            Self::Idle => "idle",
            Self::Drained => "drained",
        }
    }
}

/// What went through a tunnel.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) end: End,
    /// Bytes from the client to the upstream.
    pub(super) bytes_in: u64,
    /// Bytes from the upstream to the client.
    pub(super) bytes_out: u64,
    pub(super) lasted: Duration,
}

/// One end of the tunnel, with what it sent before the tunnel was there.
#[derive(Debug)]
pub(super) struct Mouth<'a, S> {
    pub(super) stream: &'a mut S,
    pub(super) early: Vec<u8>,
}

/// Copies until both sides have ended, one of them fails, nothing comes for `idle`, or the drain is
/// over.
pub(super) async fn run<C, U>(
    client: Mouth<'_, C>,
    upstream: Mouth<'_, U>,
    idle: Option<Duration>,
    drain: Drain,
) -> Report
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let begun = Instant::now();
    let mut first = None;
    let mut both = Both {
        inward: Flow::new(client.early),
        outward: Flow::new(upstream.early),
        is_outward_first: false,
    };
    let mut silence = idle.map(Silence::new);
    let copied = future::poll_fn(|cx| {
        let before = both.bytes();
        let over = with_shared(|buffer| both.poll_copy(client.stream, upstream.stream, buffer, cx));
        let is_progress = both.bytes() > before;
        first = both.first_to_close(first);
        match (over, &mut silence) {
            (Poll::Ready(Ok(())), _) => Poll::Ready(End::Closed(first.unwrap_or(Side::Client))),
            (Poll::Ready(Err(end)), _) => Poll::Ready(end),
            (Poll::Pending, Some(silence)) => silence.poll_end(is_progress, cx).map(|()| End::Idle),
            (Poll::Pending, None) => Poll::Pending,
        }
    });
    // First the clock: what copies as long as tokio lets it, leaves no budget for others.
    let end = tokio::select! {
        biased;
        () = drained(&drain) => End::Drained,
        end = copied => end,
    };
    Report {
        end,
        bytes_in: both.inward.bytes,
        bytes_out: both.outward.bytes,
        lasted: begun.elapsed(),
    }
}

/// Waits for the end of the drain.
async fn drained(drain: &Drain) {
    let window = drain.begun().await;
    sleep_until(window.end()).await;
}

/// Both directions.
#[derive(Debug)]
struct Both {
    inward: Flow,
    outward: Flow,
    /// They take turns at being the first, for one that never pauses takes all of the task's budget.
    is_outward_first: bool,
}

impl Both {
    fn bytes(&self) -> u64 {
        self.inward.bytes + self.outward.bytes
    }

    /// The side that has begun to close, where `before` had. A server ends TCP before its client does
    /// (RFC 6455, section 7.1.1), so that it is its Close that counts.
    fn first_to_close(&self, before: Option<Side>) -> Option<Side> {
        let (client, upstream) = (self.inward.is_closing(), self.outward.is_closing());
        match before {
            // It was a Close by its bytes alone.
            Some(Side::Client) if !client => None,
            Some(Side::Upstream) if !upstream => None,
            before => before,
        }
        .or(client.then_some(Side::Client))
        .or(upstream.then_some(Side::Upstream))
    }

    fn poll_copy<C, U>(
        &mut self,
        client: &mut C,
        upstream: &mut U,
        buffer: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), End>>
    where
        C: AsyncRead + AsyncWrite + Unpin,
        U: AsyncRead + AsyncWrite + Unpin,
    {
        self.is_outward_first = !self.is_outward_first;
        for is_outward in [self.is_outward_first, !self.is_outward_first] {
            let copied = match is_outward {
                false => (self.inward.poll_copy(client, upstream, buffer, cx))
                    .map_err(|fault| fault.end(Side::Client, Side::Upstream)),
                true => (self.outward.poll_copy(upstream, client, buffer, cx))
                    .map_err(|fault| fault.end(Side::Upstream, Side::Client)),
            };
            if let Poll::Ready(Err(end)) = copied {
                return Poll::Ready(Err(end));
            }
        }
        match self.inward.is_over && self.outward.is_over {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }
}

/// A failure in one direction.
enum Fault {
    Read(io::Error),
    Write(io::Error),
}

impl Fault {
    fn end(self, source: Side, sink: Side) -> End {
        match self {
            Self::Read(error) => End::Lost(source, error),
            Self::Write(error) => End::Lost(sink, error),
        }
    }
}

/// One direction.
#[derive(Debug)]
struct Flow {
    /// What was read and could not be written yet. It has a buffer only while there is some.
    held: Vec<u8>,
    /// How much of that has been written.
    written: usize,
    /// Bytes written in all.
    bytes: u64,
    /// Whether the sink may keep something to itself still, as TLS does.
    is_unflushed: bool,
    has_ended: bool,
    is_over: bool,
    ends_in_close: bool,
}

impl Flow {
    fn new(early: Vec<u8>) -> Self {
        Self {
            ends_in_close: ends_in_close(&early),
            held: early,
            written: 0,
            bytes: 0,
            is_unflushed: false,
            has_ended: false,
            is_over: false,
        }
    }

    fn is_closing(&self) -> bool {
        self.ends_in_close || self.has_ended
    }

    /// Copies as much as there is and as is taken, and passes the end on. Nothing is read while
    /// something is held, so that a sink that does not take it stops the source.
    fn poll_copy<R, W>(
        &mut self,
        source: &mut R,
        sink: &mut W,
        buffer: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while !self.is_over {
            if !self.held.is_empty() {
                ready!(self.poll_release(sink, cx)).map_err(Fault::Write)?;
            }
            if self.has_ended {
                ready!(Pin::new(&mut *sink).poll_shutdown(cx)).map_err(Fault::Write)?;
                self.is_over = true;
                break;
            }
            let Poll::Ready(read) = poll_read(source, buffer, cx) else {
                ready!(self.poll_flush(sink, cx)).map_err(Fault::Write)?;
                return Poll::Pending;
            };
            let read = read.map_err(Fault::Read)?;
            self.has_ended = read.is_empty();
            if !self.has_ended {
                self.ends_in_close = ends_in_close(read);
                self.pass(read, sink, cx).map_err(Fault::Write)?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is held.
    fn poll_release<W>(&mut self, sink: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        while self.written < self.held.len() {
            let rest = &self.held[self.written..];
            let written = ready!(Pin::new(&mut *sink).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.written += written;
            self.count(written);
        }
        self.held = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Writes what was read, and holds what is not taken.
    fn pass<W>(&mut self, read: &[u8], sink: &mut W, cx: &mut Context<'_>) -> io::Result<()>
    where
        W: AsyncWrite + Unpin,
    {
        let taken = match Pin::new(sink).poll_write(cx, read) {
            Poll::Ready(taken) => taken?,
            Poll::Pending => 0,
        };
        self.count(taken);
        if taken < read.len() {
            self.held = read[taken..].to_vec();
        }
        Ok(())
    }

    fn count(&mut self, written: usize) {
        self.bytes += written as u64;
        self.is_unflushed = true;
    }

    fn poll_flush<W>(&mut self, sink: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        if self.is_unflushed {
            ready!(Pin::new(sink).poll_flush(cx))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// Reads once to `buffer`, and returns what came, which is nothing at the end.
fn poll_read<'b, R>(
    source: &mut R,
    buffer: &'b mut [u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<&'b [u8]>>
where
    R: AsyncRead + Unpin,
{
    let mut read = ReadBuf::new(buffer);
    match ready!(Pin::new(source).poll_read(cx, &mut read)) {
        // The end of TCP without that of TLS: a WebSocket says by Close whether it is whole.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
        result => result?,
    }
    let length = read.filled().len();
    Poll::Ready(Ok(&buffer[..length]))
}

#[cfg(test)]
mod tests;
