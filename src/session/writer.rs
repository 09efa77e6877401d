//! The writer: nothing else writes to the socket. Messages that are fed to it are sent at the next
//! flush, and a write that makes no progress ends the session.

use std::future::poll_fn;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::time::{Instant, sleep};

use super::write_buffer::{LARGEST_WRITE, WriteBuffer};
use crate::net::transport::Transport;
use crate::runtime::deadline::GRACE;
use crate::session::tracked_io::TrackedIo;
use crate::ws::close::End;
use crate::ws::frames::Opcode;

/// Writer of everything that goes out on the socket.
#[derive(Default)]
pub(super) struct Writer {
    write_buffer: WriteBuffer,
}

impl Writer {
    /// Buffer for answers to control frames, which are sent at the next flush.
    pub(super) fn write_buffer(&mut self) -> &mut WriteBuffer {
        &mut self.write_buffer
    }

    /// Whether enough was fed for a write.
    pub(super) fn is_full(&self) -> bool {
        self.write_buffer.is_full()
    }

    /// Whether the last write stopped only because its turn was over.
    pub(super) fn gave_way(&self) -> bool {
        self.write_buffer.gave_way()
    }

    /// Takes a text or binary message, to be sent at the next flush.
    // Inlined, for it is called for every message: see benches/README.md.
    #[inline]
    pub(super) fn feed(&mut self, opcode: Opcode, payload: &[u8]) {
        self.write_buffer.put(opcode, payload);
    }

    /// Takes a large text or binary message, to be sent by a flush before anything else is fed.
    pub(super) fn feed_large(&mut self, opcode: Opcode, payload: Bytes) {
        self.write_buffer.put_large(opcode, payload);
    }

    /// Takes a frame or the rest of one, to be sent at the next flush.
    pub(super) fn feed_frame(&mut self, frame: &[u8]) {
        self.write_buffer.put_frame(frame);
    }

    /// Takes a large frame or the rest of one, to be sent by a flush before anything else is fed.
    pub(super) fn feed_large_frame(&mut self, frame: Bytes) {
        self.write_buffer.put_large_frame(frame);
    }

    /// Sends as many bytes of a frame as can be written without waiting, and returns their number.
    /// It is 0 if other frames wait before this one. The rest must be fed.
    pub(super) fn send<W>(
        &mut self,
        frame: &[u8],
        io: &mut TrackedIo<W>,
        cx: &mut Context<'_>,
    ) -> Result<usize, End>
    where
        W: AsyncWrite + Unpin,
    {
        if !self.write_buffer.is_empty() {
            return Ok(0);
        }
        let piece = &frame[..frame.len().min(LARGEST_WRITE)];
        match Pin::new(io).poll_write(cx, piece)? {
            Poll::Ready(sent) => Ok(sent),
            Poll::Pending => Ok(0),
        }
    }

    /// Takes a Ping, to be sent at the next flush.
    pub(super) fn feed_ping(&mut self) {
        self.write_buffer.put(Opcode::Ping, b"");
    }

    /// Sends what was fed, as far as it can be written without waiting.
    pub(super) fn poll_flush<W>(
        &mut self,
        io: &mut TrackedIo<W>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), End>>
    where
        W: AsyncWrite + Unpin,
    {
        self.write_buffer.poll_write(io, cx).map_err(End::from)
    }

    /// Sends what was fed. Fails if no byte can be written for the time `patience`.
    pub(super) async fn flush<W>(
        &mut self,
        io: &mut TrackedIo<W>,
        patience: Duration,
    ) -> Result<(), End>
    where
        W: Transport,
    {
        let at_once = poll_fn(|cx| Poll::Ready(self.poll_flush(io, cx)));
        match at_once.await {
            Poll::Ready(sent) => sent,
            // Boxed, because it is rare, and would take memory in every session.
            Poll::Pending => Box::pin(self.flush_blocked(io, patience)).await,
        }
    }

    /// Sends what was fed, like [`flush`](Self::flush), as the last bytes before the stream's end.
    pub(super) async fn flush_last<W>(
        &mut self,
        io: &mut TrackedIo<W>,
        patience: Duration,
    ) -> Result<(), End>
    where
        W: Transport,
    {
        let at_once = poll_fn(|cx| Poll::Ready(self.write_buffer.poll_write(&mut io.last(), cx)));
        match at_once.await {
            Poll::Ready(sent) => Ok(sent?),
            Poll::Pending => Box::pin(self.flush_blocked(io, patience)).await,
        }
    }

    /// Goes on with a flush whose socket is blocked.
    async fn flush_blocked<W>(
        &mut self,
        io: &mut TrackedIo<W>,
        patience: Duration,
    ) -> Result<(), End>
    where
        W: Transport,
    {
        let mut timer = pin!(sleep(patience));
        let mut progress = io.progress();
        let mut is_late = false;
        poll_fn(|cx| {
            if let Poll::Ready(sent) = self.poll_flush(io, cx) {
                return Poll::Ready(sent);
            }
            if io.progress() != progress {
                (progress, is_late) = (io.progress(), false);
                timer.as_mut().reset(Instant::now() + patience);
            }
            ready!(timer.as_mut().poll(cx));
            if mem::replace(&mut is_late, true) {
                return Poll::Ready(Err(End::Stalled));
            }
            // The clock goes on while the process is stopped: the peer gets a grace period.
            timer.as_mut().reset(Instant::now() + GRACE);
            timer.as_mut().poll(cx).map(|()| Err(End::Stalled))
        })
        .await?;
        // Nothing was read meanwhile, so that the peer's silence says nothing.
        io.note_life();
        Ok(())
    }
}
