//! A session that misbehaves as a [scenario](crate::scenario) says. It is a
//! [session](super::Session) with another loop: what is not asked for is done as ever, and who asks
//! for nothing is not served here.
//!
//! | room | purpose |
//! |---|---|
//! | [`cues`] | what is done at a time of its own |
//! | [`lineup`] | what is to be sent: delayed, and cut into fragments |
//! | [`frames`] | frames that no ordinary session sends |
//! | [`pace`] | a stream that is written to at a bounded rate |

mod cues;
mod frames;
mod lineup;
mod pace;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tracing::trace;

use super::codec::Codec;
use super::flood::ControlBudget;
use super::ledger::Ledger;
use super::protocol::Received;
use super::schedule::{Due, Line, Schedule};
use super::writer::Writer;
use super::{Farewell, Report, Session, TURN_BYTES};
use crate::close::{End, Parting};
use crate::config::ServerConfig;
use crate::listen::Caller;
use crate::metrics::Metrics;
use crate::scenario::{Closing, Scenario, Step};
use crate::shutdown::{Drain, Window};
use crate::wire::Wire;
use cues::{Act, Cues};
use lineup::{Lineup, Put};
use pace::Paced;

/// Time for which a peer is not read, at most: one that is gone would never be found out.
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);

/// The least patience with a write that waits for its rate, which may be a byte a second.
const PACED_PATIENCE: Duration = Duration::from_secs(2);

/// What a session is to do.
pub(crate) struct Script<'a> {
    pub(crate) scenario: &'a Scenario,
    /// The answer to the upgrade, where that is for the session to send.
    pub(crate) head: Vec<u8>,
    /// What the step `who` says.
    pub(crate) portrait: Option<String>,
}

/// Runs a session as [`run`](super::run) does, with what the scenario asks for.
pub(crate) async fn run<S>(
    stream: S,
    early: &[u8],
    script: Script<'_>,
    config: &ServerConfig,
    metrics: Arc<Metrics>,
    drain: Drain,
    caller: Caller,
) -> (Report, S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let start = Instant::now();
    let config = Arc::new(changed(config.clone(), script.scenario));
    let session = Session {
        wire: Wire::new(Paced::new(stream)),
        codec: Codec::new(early, config.max_message_size),
        writer: Writer::new(start),
        schedule: Schedule::new(Arc::clone(&config), start, rand::random()),
        controls: ControlBudget::new(start),
        ledger: Ledger::new(metrics),
        config,
        caller,
    };
    let mut play = Play::new(session, script.scenario, start);
    play.open(script);
    let mut until_drained = drain.clone();
    let mut drain_begun = pin!(until_drained.begun());
    let finish = poll_fn(|cx| play.poll(drain_begun.as_mut(), cx)).await;
    let farewell = play.part(&finish, drain).await;
    let report = Report {
        end: finish.into(),
        clean: farewell.clean,
        received: play.session.ledger.received(),
        sent: play.session.ledger.sent(),
        lasted: start.elapsed(),
        parting: farewell.parting,
    };
    (report, play.session.wire.into_inner().into_inner())
}

/// The settings, with the steps that are settings too.
fn changed(mut config: ServerConfig, scenario: &Scenario) -> ServerConfig {
    for step in scenario.steps() {
        match step {
            Step::Beat(every) => config.heartbeat = *every,
            Step::Say(text) => config.heartbeat_text.clone_from(text),
            Step::Rate(_) => config.send_timeout = config.send_timeout.max(PACED_PATIENCE),
            _ => {}
        }
    }
    config
}

/// A session, and what it does otherwise.
struct Play<S> {
    session: Session<Paced<S>>,
    /// Whether the answer to the upgrade has gone, before which nothing else is done.
    is_open: bool,
    cues: Cues,
    lineup: Lineup,
    pings: Option<Pings>,
    echoes: bool,
    /// Whether the peer's Close is answered.
    replies: bool,
    /// Since when nothing is read any more, if so.
    deaf_since: Option<Instant>,
    /// What ends the session once the lineup is empty.
    finish: Option<Finish>,
    /// Its turn in the drain.
    leave: Option<Instant>,
    blocked: Option<Blocked>,
    /// When it last did not read: the peer's silence until then says nothing.
    inattentive_at: Instant,
    timer: Pin<Box<Sleep>>,
}

struct Pings {
    every: Duration,
    next: Instant,
}

/// A write that is not done.
struct Blocked {
    /// Bytes that were written when it last went on.
    written: u64,
    /// When it is given up.
    deadline: Instant,
}

/// How a session ends.
#[derive(Debug)]
enum Finish {
    /// As an ordinary one may.
    Ordinary(End),
    /// With a Close of the scenario's, which is sent.
    Closed(Closing),
    /// Without a Close: this step asks for this.
    Cut(&'static str, Parting),
    /// With silence, which this step asks for.
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

impl<S> Play<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn new(session: Session<Paced<S>>, scenario: &Scenario, start: Instant) -> Self {
        let mut play = Self {
            lineup: Lineup::new(session.config.max_message_size),
            session,
            is_open: false,
            cues: Cues::new(scenario, start),
            pings: None,
            echoes: true,
            replies: true,
            deaf_since: None,
            finish: None,
            leave: None,
            blocked: None,
            inattentive_at: start,
            timer: Box::pin(sleep_until(start)),
        };
        for step in scenario.steps() {
            match step {
                Step::EchoOff => play.echoes = false,
                Step::Delay { least, most } => play.lineup.delay(*least, *most),
                Step::Fragment(bytes) => play.lineup.fragment(*bytes),
                Step::NoReply => play.replies = false,
                Step::Ping(every) => {
                    let (every, next) = (*every, start + *every);
                    play.pings = Some(Pings { every, next });
                }
                _ => {}
            }
        }
        play
    }

    /// Puts down what goes out first, all of it at once whatever the rate.
    fn open(&mut self, script: Script<'_>) {
        let steps = script.scenario.steps();
        let greetings = steps.iter().filter_map(|step| match step {
            Step::Greet(text) => Some(text),
            _ => None,
        });
        for text in script.portrait.iter().chain(greetings) {
            self.lineup.text(text);
        }
        self.session.writer.replies().extend(script.head);
        let now = Instant::now();
        while self.put(now) {}
        let exempt = self.session.writer.replies().len();
        for step in steps {
            if let Step::Rate(rate) = step {
                self.session.wire.get_mut().pace(*rate, exempt);
            }
        }
    }

    /// Plays until something ends the session.
    fn poll(
        &mut self,
        mut drain_begun: Pin<&mut impl Future<Output = Window>>,
        cx: &mut Context<'_>,
    ) -> Poll<Finish> {
        let written = self.session.wire.written();
        let received = self.session.ledger.received();
        loop {
            let now = Instant::now();
            if self.leave.is_none() {
                if let Poll::Ready(window) = drain_begun.as_mut().poll(cx) {
                    self.leave = Some(window.at(rand::random()));
                }
            }
            match self.poll_step(now, cx) {
                Ok(Poll::Ready(())) => {}
                Err(finish) => return Poll::Ready(finish),
                Ok(Poll::Pending) => {
                    self.session.ledger.add_up_by(now);
                    let next = self.next(now);
                    self.timer.as_mut().reset(next);
                    ready!(self.timer.as_mut().poll(cx));
                }
            }
            let is_long = self.session.wire.written() - written >= TURN_BYTES;
            if is_long || self.session.is_turn_since(received) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Does one thing, if there is one that can be done.
    fn poll_step(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<Poll<()>, Finish> {
        if !self.is_open {
            self.is_open = self.poll_send(now, cx)?.is_ready();
            return Ok(match self.is_open {
                true => Poll::Ready(()),
                false => Poll::Pending,
            });
        }
        if let Some(act) = self.cues.timed(now) {
            // What waits to be sent is not waited for.
            if matches!(act, Act::Close(_)) {
                self.lineup.clear();
            }
            return self.act(act, now).map(Poll::Ready);
        }
        if self.leave.is_some_and(|at| at <= now) {
            return Err(End::Drained.into());
        }
        if self
            .deaf_since
            .is_some_and(|since| now - since >= LONGEST_SILENCE)
        {
            return Err(Finish::Cut("deaf", Parting::Reset));
        }
        if self.poll_send(now, cx)?.is_pending() {
            return Ok(Poll::Pending);
        }
        if self.lineup.is_empty() {
            if let Some(finish) = self.finish.take() {
                return Err(finish);
            }
        }
        if let Some(act) = self.cues.counted(self.lineup.answered()) {
            return self.act(act, now).map(Poll::Ready);
        }
        if self.keep_time(now)? {
            return Ok(Poll::Ready(()));
        }
        if self.poll_receive(now, cx)?.is_ready() {
            return Ok(Poll::Ready(()));
        }
        // There may be Pongs.
        self.poll_send(now, cx).map(|_| Poll::Pending)
    }

    /// Does what a cue asks for.
    fn act(&mut self, act: Act, now: Instant) -> Result<(), Finish> {
        match act {
            Act::Close(closing) => {
                self.lineup.clear();
                self.lineup.frame(frames::close(&closing));
                self.finish = Some(Finish::Closed(closing));
            }
            Act::Fin => return Err(Finish::Cut("fin", Parting::Linger)),
            Act::Rst => return Err(Finish::Cut("rst", Parting::Reset)),
            Act::Stall => return Err(Finish::Silent("stall")),
            Act::Deaf => self.deaf_since = Some(now),
            Act::Burst(burst) => self.lineup.burst(burst),
            Act::Bad(bad) => self.lineup.frame(frames::bad(bad)),
        }
        Ok(())
    }

    /// Sends all that is due, to a peer that takes it.
    fn poll_send(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<Poll<()>, Finish> {
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

    fn poll_write(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<Poll<()>, Finish> {
        loop {
            let mut is_all = false;
            while !is_all && !self.session.writer.is_full() {
                is_all = !self.put(now);
            }
            let Session { wire, writer, .. } = &mut self.session;
            if writer
                .poll_flush(wire, cx)
                .map_err(Finish::Ordinary)?
                .is_pending()
            {
                return Ok(Poll::Pending);
            }
            if is_all {
                return Ok(Poll::Ready(()));
            }
        }
    }

    /// Has the writer take the next piece of what is due, and says whether there was one.
    fn put(&mut self, now: Instant) -> bool {
        let Session { writer, ledger, .. } = &mut self.session;
        let put = self.lineup.put(now, writer.replies());
        if let Put::Message(opcode, bytes) = put {
            ledger.send(opcode, bytes, now);
        }
        put != Put::Nothing
    }

    /// Gives up a peer that takes nothing for too long.
    fn wait_for_peer(&mut self, now: Instant) -> Result<(), Finish> {
        let written = self.session.wire.written();
        let deadline = now + self.session.config.send_timeout;
        if self.blocked.is_none() {
            self.session.ledger.metrics.stalls.inc();
        }
        let blocked = self.blocked.get_or_insert(Blocked { written, deadline });
        if blocked.written != written {
            *blocked = Blocked { written, deadline };
        }
        match blocked.deadline <= now {
            true => Err(End::Stalled.into()),
            false => Ok(()),
        }
    }

    /// Does what is due by the clock of every session, and says whether something was.
    fn keep_time(&mut self, now: Instant) -> Result<bool, Finish> {
        let line = self.line(now);
        match self.session.schedule.due(now, line) {
            Some(Due::Beat) => {
                self.session.ledger.metrics.heart_beats.inc();
                self.lineup.text(&self.session.config.heartbeat_text);
                self.session.schedule.beat_sent(now);
            }
            Some(Due::Ping) => self.ping(),
            Some(Due::Dead) => return Err(End::Dead.into()),
            Some(Due::Stuck) => return Err(End::Stuck.into()),
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

    fn ping(&mut self) {
        self.session.ledger.metrics.pings.inc();
        self.lineup.frame(frames::ping());
    }

    fn line(&mut self, now: Instant) -> Line {
        let is_attentive = self.is_attentive();
        if !is_attentive {
            self.inattentive_at = now;
        }
        Line {
            heard_at: self.session.wire.heard_at().max(self.inattentive_at),
            is_mid_message: is_attentive && self.session.codec.is_mid_message(),
        }
    }

    /// Whether it reads.
    fn is_attentive(&self) -> bool {
        self.deaf_since.is_none() && self.finish.is_none() && self.lineup.has_room()
    }

    fn poll_receive(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<Poll<()>, Finish> {
        if !self.is_attentive() {
            return Ok(Poll::Pending);
        }
        match self.session.poll_next(cx) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Ok(received)) => self.answer(received, now).map(Poll::Ready),
            Poll::Ready(Err(error)) => {
                let end = End::from(error);
                if !matches!(end, End::Eof) {
                    return Err(end.into());
                }
                // A peer that half-closes is still owed its echoes.
                self.finish = Some(end.into());
                Ok(Poll::Ready(()))
            }
        }
    }

    /// Does with what was received what it asks for.
    fn answer(&mut self, received: Received, now: Instant) -> Result<(), Finish> {
        let payload = self.session.codec.payload();
        trace!(parent: &self.session.caller.span(), message = received.preview(payload), "received");
        match received {
            Received::Message(opcode) => {
                let heard_at = self.session.wire.heard_at();
                let ledger = &mut self.session.ledger;
                ledger.receive(opcode, payload.len(), heard_at);
                match self.echoes {
                    true => self.lineup.echo(now, opcode, payload),
                    false => self.lineup.no_echo(),
                }
            }
            Received::Control(_) => {
                if !self.session.controls.take(self.session.wire.heard_at()) {
                    return Err(End::Flood("too many control frames").into());
                }
            }
            Received::Close(frame) => {
                let frame = frame.map(|frame| *frame);
                return Err(match self.replies {
                    true => End::by_peer(frame).into(),
                    false => Finish::Unanswered(frame),
                });
            }
            Received::Part => {}
        }
        Ok(())
    }

    /// When to look again, if nothing else comes.
    fn next(&self, now: Instant) -> Instant {
        let silence = self.deaf_since.map(|since| since + LONGEST_SILENCE);
        let always = [self.cues.next(), self.leave, silence];
        let free = match &self.blocked {
            Some(blocked) => [Some(blocked.deadline), None, None],
            None => [
                Some(self.session.schedule.next()),
                self.pings.as_ref().map(|pings| pings.next),
                self.lineup.next_due(),
            ],
        };
        let times = always.into_iter().chain(free).flatten();
        times.min().unwrap_or(now + LONGEST_SILENCE)
    }

    /// Ends the session, as far as the scenario lets it.
    async fn part(&mut self, finish: &Finish, mut drain: Drain) -> Farewell {
        let parting = |parting| Farewell {
            clean: false,
            parting,
        };
        let cut = self.cues.cut();
        let end = async {
            match finish {
                // A Close would be part of the payload.
                Finish::Ordinary(End::Drained) if self.lineup.is_mid_frame() => {
                    parting(Parting::Reset)
                }
                Finish::Ordinary(end) => self.session.close(end).await,
                Finish::Closed(_) => self.session.await_reply().await,
                Finish::Cut(_, how) => parting(*how),
                Finish::Silent(_) => {
                    tokio::select! {
                        () = sleep(LONGEST_SILENCE) => {}
                        _ = drain.begun() => {}
                    }
                    parting(Parting::Reset)
                }
                Finish::Unanswered(_) => {
                    tokio::select! {
                        () = sleep(LONGEST_SILENCE) => parting(Parting::Reset),
                        _ = drain.begun() => parting(Parting::Reset),
                        () = discard(&mut self.session.wire) => parting(Parting::Linger),
                    }
                }
            }
        };
        let Some((at, how)) = cut else {
            return end.await;
        };
        tokio::select! {
            biased;
            () = sleep_until(at) => parting(how),
            farewell = end => farewell,
        }
    }
}

/// Reads to the end.
async fn discard<S: AsyncRead + Unpin>(wire: &mut Wire<S>) {
    let mut buffer = Vec::with_capacity(4 << 10);
    while let Ok(1..) = wire.read_buf(&mut buffer).await {
        buffer.clear();
    }
}
