//! End of a faulty session, by its scenario or for another reason.

use std::future::pending;
use std::mem;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{sleep, sleep_until};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::FaultySession;
use crate::net::linger::PeerEnd;
use crate::net::transport::{Hangup, Transport, has_left};
use crate::runtime::shutdown::Drain;
use crate::scenario::Closing;
use crate::session::Report;
use crate::session::close_handshake::CloseHandshake;
use crate::session::tracked_io::TrackedIo;
use crate::ws::close::{End, Teardown};

/// Way in which a faulty session ends.
#[derive(Debug)]
pub(super) enum Finish {
    /// In the way of an ordinary session.
    Ordinary(End),
    /// With a Close of the scenario, which has been sent.
    Closed(Closing),
    /// Without a Close, as this step asks.
    Cut(&'static str, Teardown),
    /// With silence, as this step asks.
    Silent(&'static str),
    /// With no answer to the peer's Close.
    Unanswered(Option<CloseFrame>),
}

impl From<Finish> for End {
    fn from(finish: Finish) -> Self {
        match finish {
            Finish::Ordinary(end) => end,
            Finish::Closed(Closing::Bare) => Self::Fault("close", 1005),
            Finish::Closed(Closing::Code(code, _)) => Self::Fault("close", code),
            Finish::Cut(step, _) | Finish::Silent(step) => Self::Fault(step, 1006),
            Finish::Unanswered(frame) => Self::by_peer(frame),
        }
    }
}

impl From<End> for Finish {
    fn from(end: End) -> Self {
        Self::Ordinary(end)
    }
}

/// A session whose end is known, and is reported even if the close handshake is cut.
struct Leaving<'a, S> {
    faulty: &'a mut FaultySession<S>,
    finish: Finish,
}

impl<S> Leaving<'_, S> {
    fn take_end(&mut self) -> End {
        mem::replace(&mut self.finish, End::Cut.into()).into()
    }
}

impl<S> Drop for Leaving<'_, S> {
    fn drop(&mut self) {
        let end = self.take_end();
        self.faulty.session.stats.cut(end);
    }
}

impl<S> FaultySession<S>
where
    S: Transport,
{
    /// Ends the session, and reports it.
    pub(super) async fn leave(&mut self, finish: Finish, drain: &Drain) -> Report {
        let faulty = self;
        let mut leaving = Leaving { faulty, finish };
        let part = leaving.faulty.part(&leaving.finish, drain);
        let (other, close_handshake) = part.await;
        let end = other.unwrap_or_else(|| leaving.take_end());
        leaving.faulty.session.stats.report(end, close_handshake)
    }

    /// Ends the session in the given way, and returns the end that came in its place, if one did. A
    /// step that cuts the session and a request of the API to cut it wait for nothing.
    async fn part(&mut self, finish: &Finish, drain: &Drain) -> (Option<End>, CloseHandshake) {
        let api_cut = self.session.api_cut();
        let step = self.triggers.cut();
        let step_cut = async {
            match step {
                Some((at, teardown)) => {
                    sleep_until(at).await;
                    teardown
                }
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            teardown = step_cut => (None, CloseHandshake::failed(teardown)),
            teardown = api_cut => {
                (Some(End::ApiCut(teardown)), CloseHandshake::failed(teardown))
            }
            ended = self.finish(finish, drain) => ended,
        }
    }

    /// Ends the session in the given way, for as long as nothing cuts it.
    async fn finish(&mut self, finish: &Finish, drain: &Drain) -> (Option<End>, CloseHandshake) {
        let reset = CloseHandshake::failed(Teardown::Reset);
        match finish {
            // A Close now would become part of the frame's payload.
            Finish::Ordinary(End::Drained) if self.send_queue.is_mid_frame() => {
                (Some(End::Cut), reset)
            }
            Finish::Ordinary(End::ApiClose(_)) if self.send_queue.is_mid_frame() => {
                (Some(End::ApiCut(Teardown::Reset)), reset)
            }
            Finish::Ordinary(end) => (None, self.session.close(end).await),
            Finish::Closed(_) => (None, self.session.await_reply().await),
            Finish::Cut(_, how) => (None, CloseHandshake::failed(*how)),
            Finish::Silent(_) => (self.keep_silent(drain).await.map(End::from), reset),
            Finish::Unanswered(_) => (None, self.leave_unanswered(drain).await),
        }
    }

    /// Neither reads nor writes until the time is over, or the peer has left.
    async fn keep_silent(&mut self, drain: &Drain) -> Option<Hangup> {
        let limit = self.session.config.fault_timeout;
        let io = self.session.io.get_mut();
        tokio::select! {
            () = sleep(limit) => None,
            _ = drain.begun() => None,
            left = has_left(|cx| io.poll_hangup(cx)) => Some(left),
        }
    }

    /// Reads on without an answer until the time is over, or the peer has left.
    async fn leave_unanswered(&mut self, drain: &Drain) -> CloseHandshake {
        let limit = self.session.config.fault_timeout;
        tokio::select! {
            () = sleep(limit) => CloseHandshake::failed(Teardown::Reset),
            _ = drain.begun() => CloseHandshake::failed(Teardown::Reset),
            peer_end = discard(&mut self.session.io) => CloseHandshake {
                peer_end,
                ..CloseHandshake::failed(Teardown::Linger)
            },
        }
    }
}

/// Reads to the end of the stream, drops what is read, and returns the way in which the peer ended
/// it.
async fn discard<S: AsyncRead + Unpin>(io: &mut TrackedIo<S>) -> Option<PeerEnd> {
    let mut buffer = Vec::with_capacity(4 << 10);
    loop {
        match io.read_buf(&mut buffer).await {
            Ok(0) => return Some(PeerEnd::Closed),
            Ok(_) => buffer.clear(),
            Err(error) => return PeerEnd::by_error(&error),
        }
    }
}
