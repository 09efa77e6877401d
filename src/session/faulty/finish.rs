//! End of a faulty session, by its scenario or for another reason.

use std::mem;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{sleep, sleep_until};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::FaultySession;
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
    play: &'a mut FaultySession<S>,
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
        self.play.session.stats.cut(end);
    }
}

impl<S> FaultySession<S>
where
    S: Transport,
{
    /// Ends the session, and reports it.
    pub(super) async fn leave(&mut self, finish: Finish, drain: &Drain) -> Report {
        let play = self;
        let mut leaving = Leaving { play, finish };
        let mut hangup = None;
        let part = leaving.play.part(&leaving.finish, drain, &mut hangup);
        let close_handshake = part.await;
        let end = hangup.map_or_else(|| leaving.take_end(), End::from);
        leaving.play.session.stats.report(end, close_handshake)
    }

    /// Ends the session in the given way. If the peer ends it before, `hangup` is set.
    async fn part(
        &mut self,
        finish: &Finish,
        drain: &Drain,
        hangup: &mut Option<Hangup>,
    ) -> CloseHandshake {
        let limit = self.session.config.fault_timeout;
        let teardown = |teardown| CloseHandshake {
            clean: false,
            teardown,
        };
        let cut = self.triggers.cut();
        let end = async {
            match finish {
                // A Close now would become part of the frame's payload.
                Finish::Ordinary(End::Drained | End::ApiClose(_))
                    if self.send_queue.is_mid_frame() =>
                {
                    teardown(Teardown::Reset)
                }
                Finish::Ordinary(end) => self.session.close(end).await,
                Finish::Closed(_) => self.session.await_reply().await,
                Finish::Cut(_, how) => teardown(*how),
                Finish::Silent(_) => {
                    let io = self.session.io.get_mut();
                    tokio::select! {
                        () = sleep(limit) => {}
                        _ = drain.begun() => {}
                        left = has_left(|cx| io.poll_hangup(cx)) => *hangup = Some(left),
                    }
                    teardown(Teardown::Reset)
                }
                Finish::Unanswered(_) => {
                    tokio::select! {
                        () = sleep(limit) => teardown(Teardown::Reset),
                        _ = drain.begun() => teardown(Teardown::Reset),
                        () = discard(&mut self.session.io) => teardown(Teardown::Linger),
                    }
                }
            }
        };
        let Some((at, how)) = cut else {
            return end.await;
        };
        tokio::select! {
            biased;
            () = sleep_until(at) => teardown(how),
            close_handshake = end => close_handshake,
        }
    }
}

/// Reads to the end of the stream, and drops what is read.
async fn discard<S: AsyncRead + Unpin>(io: &mut TrackedIo<S>) {
    let mut buffer = Vec::with_capacity(4 << 10);
    while let Ok(1..) = io.read_buf(&mut buffer).await {
        buffer.clear();
    }
}
