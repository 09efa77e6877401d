//! One direction of a tunnel.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::both::Direction;
use super::closing::ends_in_close;
use super::{End, Side};
use crate::runtime::moment::Moment;

/// A failure in one direction.
pub(super) enum Fault {
    Read(io::Error),
    Write(io::Error),
}

impl Fault {
    pub(super) fn end(self, source: Side, sink: Side) -> End {
        match self {
            Self::Read(error) => End::Lost(source, error),
            Self::Write(error) => End::Lost(sink, error),
        }
    }
}

/// One direction.
#[derive(Debug)]
pub(super) struct Flow {
    /// Bytes that were read and not written yet. The buffer takes memory only while there are some.
    held: Vec<u8>,
    /// Number of these bytes that have been written.
    written: u32,
    /// Bytes written in all.
    pub(super) bytes: u64,
    /// Moment since which the sink has taken nothing of the bytes for it.
    blocked_since: Option<Moment>,
    /// Whether the sink may still buffer something, as TLS does.
    is_unflushed: bool,
    pub(super) has_ended: bool,
    pub(super) is_over: bool,
    ends_in_close: bool,
}

impl Flow {
    pub(super) fn new(early: Vec<u8>) -> Self {
        Self {
            ends_in_close: ends_in_close(&early),
            held: early,
            written: 0,
            bytes: 0,
            blocked_since: None,
            is_unflushed: false,
            has_ended: false,
            is_over: false,
        }
    }

    /// Copies as much as the source has and the sink takes, and then the end of the source.
    pub(super) fn copy<R, W>(
        &mut self,
        source: &mut R,
        sink: &mut W,
        buffer: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Result<(), Fault>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let before = self.bytes;
        let is_blocked = self.copy_until_blocked(source, sink, buffer, cx)?;
        if !is_blocked {
            self.blocked_since = None;
        } else if self.bytes > before || self.blocked_since.is_none() {
            self.blocked_since = Some(Moment::now());
        }
        Ok(())
    }

    /// Copies until the source or the sink has to be waited for, and says whether it is the sink.
    /// Nothing is read while bytes are held, so that a sink that does not take them stops the
    /// source.
    fn copy_until_blocked<R, W>(
        &mut self,
        source: &mut R,
        sink: &mut W,
        buffer: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Result<bool, Fault>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while !self.is_over {
            if self
                .poll_settle(sink, cx)
                .map_err(Fault::Write)?
                .is_pending()
            {
                return Ok(true);
            }
            if self.has_ended {
                self.is_over = true;
                break;
            }
            let Poll::Ready(read) = poll_read(source, buffer, cx) else {
                let flushed = self.poll_flush(sink, cx).map_err(Fault::Write)?;
                return Ok(flushed.is_pending());
            };
            let read = read.map_err(Fault::Read)?;
            self.has_ended = read.is_empty();
            if !self.has_ended {
                self.ends_in_close = ends_in_close(read);
                self.pass(read, sink, cx).map_err(Fault::Write)?;
            }
        }
        Ok(false)
    }

    /// Writes the held bytes, and then ends the sink if the source has ended.
    fn poll_settle<W>(&mut self, sink: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        if !self.held.is_empty() {
            ready!(self.poll_release(sink, cx))?;
        }
        match self.has_ended {
            true => Pin::new(sink).poll_shutdown(cx),
            false => Poll::Ready(Ok(())),
        }
    }

    /// Writes the held bytes.
    fn poll_release<W>(&mut self, sink: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        while (self.written as usize) < self.held.len() {
            let rest = &self.held[self.written as usize..];
            let written = ready!(Pin::new(&mut *sink).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.written += written as u32;
            self.count(written);
        }
        self.held = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Writes the bytes that were read, and holds those that are not taken.
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

impl Direction for Flow {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn is_closing(&self) -> bool {
        self.ends_in_close || self.has_ended
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn is_unwatched(&self) -> bool {
        self.has_ended || self.blocked_since.is_some()
    }

    fn blocked_for(&self, now: Moment) -> Option<Duration> {
        self.blocked_since.map(|since| now.since(since))
    }
}

/// Reads once into `buffer`, and returns the bytes that came: none at the end.
pub(super) fn poll_read<'b, R>(
    source: &mut R,
    buffer: &'b mut [u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<&'b [u8]>>
where
    R: AsyncRead + Unpin,
{
    let mut read = ReadBuf::new(buffer);
    match ready!(Pin::new(source).poll_read(cx, &mut read)) {
        // TCP ended without a TLS close: no harm, because a Close shows whether a WebSocket is
        // complete.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
        result => result?,
    }
    let length = read.filled().len();
    Poll::Ready(Ok(&buffer[..length]))
}
