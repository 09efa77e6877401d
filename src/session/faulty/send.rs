//! Sending of a faulty session, and its limit for a peer that does not read.

use std::mem;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::FaultySession;
use super::finish::Finish;
use super::send_queue::Put;
use crate::net::transport::Transport;
use crate::runtime::deadline::GRACE;
use crate::session::Session;
use crate::ws::close::End;

/// A write that is blocked.
pub(super) struct Blocked {
    /// The stream's progress when it last made any.
    progress: u64,
    /// Moment at which it is given up.
    pub(super) deadline: Instant,
    /// Whether the deadline is that of the grace period, in which the socket is tried once more.
    is_late: bool,
}

impl<S> FaultySession<S>
where
    S: Transport,
{
    /// Sends everything that is due, or as much as the peer takes and this turn has room for.
    pub(super) fn poll_send(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Result<Poll<()>, Finish> {
        let sent = self.poll_write(now, cx)?;
        match sent {
            Poll::Ready(()) => self.blocked = None,
            Poll::Pending => {
                self.inattentive_at = now;
                self.wait_for_peer(now)?;
            }
        }
        Ok(sent)
    }

    pub(super) fn poll_write(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Result<Poll<()>, Finish> {
        loop {
            let mut is_all = false;
            while !is_all && !self.session.writer.is_full() && !self.budget.is_spent() {
                is_all = !self.put(now)?;
                self.budget.piece();
            }
            let Session { io, writer, .. } = &mut self.session;
            let written = io.written();
            if writer
                .poll_flush(io, cx)
                .map_err(Finish::Ordinary)?
                .is_pending()
            {
                return Ok(Poll::Pending);
            }
            if io.written() > written {
                self.budget.call((io.written() - written) as usize);
            }
            if is_all || self.budget.is_spent() {
                return Ok(Poll::Ready(()));
            }
        }
    }

    /// Puts the next piece that is due into the write buffer, and returns whether there was one.
    pub(super) fn put(&mut self, now: Instant) -> Result<bool, Finish> {
        let Session { writer, stats, .. } = &mut self.session;
        let bytes = writer.write_buffer().replies();
        let put = self.send_queue.put(now, bytes, &mut self.budget);
        let put = put.map_err(End::from)?;
        if let Put::Message(opcode, bytes) = put {
            stats.send(opcode, bytes, now.into());
            if let Some(message) = self.send_queue.take_sent() {
                stats.observe_sent(message);
            }
        }
        Ok(put != Put::Nothing)
    }

    /// Gives up a peer that has taken no bytes for too long.
    pub(super) fn wait_for_peer(&mut self, now: Instant) -> Result<(), Finish> {
        let progress = self.session.io.progress();
        let deadline = now + self.session.config.send_timeout;
        if self.blocked.is_none() {
            self.session.stats.metrics.stalls.inc();
        }
        let fresh = Blocked {
            progress,
            deadline,
            is_late: false,
        };
        let blocked = match &mut self.blocked {
            Some(blocked) if blocked.progress == progress => blocked,
            blocked => blocked.insert(fresh),
        };
        if blocked.deadline > now {
            return Ok(());
        }
        blocked.deadline = now + GRACE;
        match mem::replace(&mut blocked.is_late, true) {
            true => Err(End::Stalled.into()),
            false => Ok(()),
        }
    }
}
