//! One direction, from a stream to a stream.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::lane::Lane;
use super::queue::Due;
use super::recorder::Recorder;
use crate::proxy::tunnel::both::Direction;
use crate::proxy::tunnel::flow::{Fault, poll_read};
use crate::runtime::moment::Moment;
use crate::session::faulty::Action;
use crate::ws::close::Teardown;

/// The end of a direction, and of the tunnel with it.
pub(super) enum Stop {
    Failed(Fault),
    /// This step asks for it.
    Asked(&'static str, Teardown),
}

/// The frames of one direction, and its streams' progress.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) lane: Lane,
    /// Bytes written in all.
    pub(super) bytes: u64,
    /// Moment since which neither stream is touched.
    pub(super) stalled_since: Option<Instant>,
    /// Moment since which the sink has taken nothing of the bytes for it.
    blocked_since: Option<Moment>,
    /// Whether the sink may still buffer something, as TLS does.
    is_unflushed: bool,
    has_ended: bool,
    is_over: bool,
}

impl Transfer {
    pub(super) fn new(lane: Lane) -> Self {
        Self {
            lane,
            bytes: 0,
            stalled_since: None,
            blocked_since: None,
            is_unflushed: false,
            has_ended: false,
            is_over: false,
        }
    }

    /// Moment of the next thing that is to be done, whatever the streams do.
    pub(super) fn next(&self) -> Option<Instant> {
        let is_stopped = self.is_over || self.stalled_since.is_some();
        let next = || self.lane.next(self.blocked_since.is_some());
        (!is_stopped).then(next)?
    }

    /// Passes on as much as the source has, the sink takes, and is due.
    pub(super) fn poll<R, W>(
        &mut self,
        source: &mut R,
        sink: &mut W,
        buffer: &mut [u8],
        now: Instant,
        recorder: &mut Option<Recorder>,
        cx: &mut Context<'_>,
    ) -> Result<(), Stop>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let before = self.bytes;
        let is_blocked = self.pass(source, sink, buffer, now, recorder, cx)?;
        if !is_blocked {
            self.blocked_since = None;
        } else if self.bytes > before || self.blocked_since.is_none() {
            self.blocked_since = Some(Moment::now());
        }
        Ok(())
    }

    /// Passes frames on until something has to be waited for, and says whether it is the sink.
    fn pass<R, W>(
        &mut self,
        source: &mut R,
        sink: &mut W,
        buffer: &mut [u8],
        now: Instant,
        recorder: &mut Option<Recorder>,
        cx: &mut Context<'_>,
    ) -> Result<bool, Stop>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while !self.is_over && self.stalled_since.is_none() {
            if let Some(action) = self.lane.keep_time(now) {
                self.act(&action, now)?;
                continue;
            }
            // Before anybody may have seen them.
            if let Some(recorder) = recorder {
                recorder.record(&mut self.lane);
            }
            match self.poll_write(sink, now, cx).map_err(write_failed)? {
                Poll::Pending => return Ok(true),
                Poll::Ready(Some(action)) => {
                    self.act(&action, now)?;
                    continue;
                }
                Poll::Ready(None) => {}
            }
            if self.has_ended && self.lane.queue.is_empty() {
                let ended = Pin::new(&mut *sink).poll_shutdown(cx);
                self.is_over = ended.map_err(write_failed)?.is_ready();
                return Ok(!self.is_over);
            }
            if self.has_ended || !self.lane.reads() {
                return self.flush(sink, cx);
            }
            let Poll::Ready(read) = poll_read(source, buffer, cx) else {
                return self.flush(sink, cx);
            };
            let read = read.map_err(|error| Stop::Failed(Fault::Read(error)))?;
            self.has_ended = read.is_empty();
            match self.has_ended {
                true => self.lane.end(now),
                false => self.lane.take(read, now),
            }
        }
        Ok(false)
    }

    /// Ends the tunnel, or stops this direction.
    fn act(&mut self, action: &Action, now: Instant) -> Result<(), Stop> {
        match action {
            Action::Fin => Err(Stop::Asked("fin", Teardown::Linger)),
            Action::Rst => Err(Stop::Asked("rst", Teardown::Reset)),
            _ => {
                self.stalled_since = Some(now);
                Ok(())
            }
        }
    }

    /// Writes what is due, or returns the action that is due behind it.
    fn poll_write<W>(
        &mut self,
        sink: &mut W,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Result<Poll<Option<Action>>, io::Error>
    where
        W: AsyncWrite + Unpin,
    {
        loop {
            let bytes = match self.lane.queue.due(now) {
                Due::Nothing => return Ok(Poll::Ready(None)),
                Due::End(action) => {
                    // Whatever the end is, what came before it is to arrive.
                    if self.poll_flush(sink, cx)?.is_pending() {
                        return Ok(Poll::Pending);
                    }
                    self.lane.queue.take_end();
                    return Ok(Poll::Ready(Some(action)));
                }
                Due::Bytes(bytes) => bytes,
            };
            let Poll::Ready(written) = Pin::new(&mut *sink).poll_write(cx, bytes) else {
                return Ok(Poll::Pending);
            };
            let written = written?;
            if written == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            self.lane.queue.write(written);
            self.bytes += written as u64;
            self.is_unflushed = true;
        }
    }

    fn flush<W>(&mut self, sink: &mut W, cx: &mut Context<'_>) -> Result<bool, Stop>
    where
        W: AsyncWrite + Unpin,
    {
        let flushed = self.poll_flush(sink, cx).map_err(write_failed)?;
        Ok(flushed.is_pending())
    }

    fn poll_flush<W>(&mut self, sink: &mut W, cx: &mut Context<'_>) -> io::Result<Poll<()>>
    where
        W: AsyncWrite + Unpin,
    {
        if self.is_unflushed {
            match Pin::new(sink).poll_flush(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(flushed) => flushed?,
            }
            self.is_unflushed = false;
        }
        Ok(Poll::Ready(()))
    }
}

fn write_failed(error: io::Error) -> Stop {
    Stop::Failed(Fault::Write(error))
}

impl Direction for Transfer {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn is_closing(&self) -> bool {
        self.lane.has_close || self.has_ended
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn is_unwatched(&self) -> bool {
        let is_stopped = self.stalled_since.is_some() || self.blocked_since.is_some();
        self.has_ended || is_stopped || !self.lane.reads()
    }

    fn blocked_for(&self, now: Moment) -> Option<Duration> {
        self.blocked_since.map(|since| now.since(since))
    }
}
