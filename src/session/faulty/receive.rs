//! Receiving of a faulty session, and its judgement of a peer that is silent.

use std::task::{Context, Poll};

use tokio::time::Instant;

use super::finish::Finish;
use super::{FaultySession, frames};
use crate::net::transport::Transport;
use crate::runtime::deadline::GRACE;
use crate::session::Session;
use crate::session::protocol::Received;
use crate::session::schedule::{Activity, Due};
use crate::ws::close::End;
use crate::ws::deflate::PermessageDeflate;
use crate::ws::frames::Opcode;

/// A peer whose deadline has passed by the clock.
pub(super) struct Suspicion {
    end: End,
    /// Moment at which it is given up.
    pub(super) at: Instant,
}

impl<S> FaultySession<S>
where
    S: Transport,
{
    /// Does what is due by the schedule, and returns whether anything was. `is_all` says whether
    /// everything that the peer has sent was read.
    pub(super) fn keep_time(&mut self, now: Instant, is_all: bool) -> Result<bool, Finish> {
        let activity = self.activity(now, is_all);
        let Session {
            schedule, config, ..
        } = &mut self.session;
        let due = schedule.due(now.into(), activity, config);
        if !matches!(due, Some(Due::Dead | Due::Stuck)) {
            self.suspicion = None;
        }
        match due {
            Some(Due::Beat) => {
                self.session.stats.metrics.heart_beats.inc();
                self.send_queue.text(&self.session.config.heartbeat_text);
                let config = &self.session.config;
                self.session.schedule.skip_beats(now.into(), config);
            }
            Some(Due::Ping) => self.ping(),
            Some(Due::Dead) => return Ok(self.suspect(End::Dead, now)),
            Some(Due::Stuck) => return Ok(self.suspect(End::Stuck, now)),
            Some(Due::Leave) => return Err(End::Drained.into()),
            None => match &mut self.pings {
                Some(pings) if pings.next <= now => {
                    pings.next = now + pings.every;
                    self.ping();
                }
                _ => return Ok(false),
            },
        }
        Ok(true)
    }

    /// Marks a peer whose deadline has passed: it is given up unless something is read from it
    /// within the grace period. Returns false, because nothing is done yet.
    fn suspect(&mut self, end: End, now: Instant) -> bool {
        let at = now + GRACE;
        self.suspicion.get_or_insert(Suspicion { end, at });
        false
    }

    /// Ends the session of a peer from which nothing was read within its grace period.
    pub(super) fn judge(&mut self, now: Instant) -> Result<(), Finish> {
        let heard_at = Instant::from(self.session.io.alive_at());
        match self.suspicion.take_if(|suspicion| suspicion.at <= now) {
            Some(Suspicion { end, at }) if heard_at + GRACE < at => Err(end.into()),
            _ => Ok(()),
        }
    }

    pub(super) fn ping(&mut self) {
        self.session.stats.ping();
        self.send_queue.frame(frames::ping());
    }

    fn activity(&mut self, now: Instant, is_all: bool) -> Activity {
        let is_attentive = is_all && self.is_attentive();
        if !is_attentive {
            self.inattentive_at = now;
        }
        Activity {
            heard_at: self.session.io.alive_at().max(self.inattentive_at.into()),
            is_mid_message: is_attentive && self.session.codec.is_mid_message(),
        }
    }

    /// Whether the session reads from its peer.
    pub(super) fn is_attentive(&self) -> bool {
        self.deaf_since.is_none() && self.finish.is_none() && self.send_queue.has_room()
    }

    pub(super) fn poll_receive(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Result<Poll<()>, Finish> {
        if !self.is_attentive() {
            return Ok(Poll::Pending);
        }
        match self.session.poll_next(&mut self.budget, cx) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Ok(received)) => self.answer(received, now).map(Poll::Ready),
            Poll::Ready(Err(error)) => {
                let end = End::from(error);
                if !matches!(end, End::Eof) {
                    return Err(end.into());
                }
                // A peer that half-closes still gets its echoes.
                self.finish = Some(end.into());
                Ok(Poll::Ready(()))
            }
        }
    }

    /// Handles a received message or frame.
    pub(super) fn answer(&mut self, received: Received, now: Instant) -> Result<(), Finish> {
        self.session.check(&received)?;
        match received {
            Received::Message(opcode) => {
                self.session.observe_message(opcode, false);
                self.echo(opcode, None, now);
            }
            Received::Compressed(opcode) => {
                self.session.observe_message(opcode, true);
                let deflate = self.session.codec.deflate();
                self.echo(opcode, deflate, now);
            }
            Received::Close(frame) => {
                let frame = frame.map(|frame| *frame);
                return Err(match self.replies {
                    true => End::by_peer(frame).into(),
                    false => Finish::Unanswered(frame),
                });
            }
            Received::Control(_) | Received::Part | Received::Echo => {}
        }
        Ok(())
    }
    /// Counts a message, and puts its echo into the send queue, or the answer that replaces it. It is
    /// compressed as `deflate` says.
    fn echo(&mut self, opcode: Opcode, deflate: Option<PermessageDeflate>, now: Instant) {
        let Session {
            codec, stats, io, ..
        } = &mut self.session;
        let payload = codec.payload();
        stats.receive(opcode, payload.len(), io.alive_at());
        let mut canned = self.canned.iter();
        let reply =
            canned.find(|reply| opcode == Opcode::Text && reply.message.as_bytes() == payload);
        let queue = &mut self.send_queue;
        match reply {
            Some(reply) => queue.echo(now, opcode, reply.answer.as_bytes(), deflate),
            None if self.echoes => queue.echo(now, opcode, payload, deflate),
            None => queue.no_echo(),
        }
    }
}
