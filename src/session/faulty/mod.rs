//! A session that misbehaves as a [scenario](crate::scenario) says. It is a
//! [session](super::Session) with another loop, and behaves as usual in all other respects. A
//! session without a scenario does not run here.
//!
//! | room | purpose |
//! |---|---|
//! | [`triggers`] | actions at a time of their own |
//! | [`send_queue`] | messages and frames to be sent: delayed, and cut into fragments |
//! | [`frames`] | frames that no ordinary session sends |
//! | [`send`], [`receive`] | the two directions |
//! | [`finish`] | the end of the session |
//! | [`pace`] | a stream that is written at a bounded rate |

mod finish;
mod frames;
mod pace;
mod receive;
mod send;
mod send_queue;
mod triggers;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, Sleep, sleep_until};

use super::schedule::Slots;
use super::{Report, Session, SessionContext};
use crate::config::ServerConfig;
use crate::net::transport::{HALF_CLOSED, Hangup, LOOK, Transport};
use crate::registry::mailbox::Mail;
use crate::runtime::budget::{self, Budget};
use crate::runtime::shutdown::{Begun, Drain};
use crate::scenario::{Fates, Reply, Scenario, Step, When};
use crate::ws::close::{End, Teardown};
use finish::Finish;
pub(crate) use frames::{bad as bad_frame, close as close_frame};
pub(crate) use pace::Paced;
use receive::Suspicion;
use send::Blocked;
use send_queue::SendQueue;
pub(crate) use triggers::{Action, Triggers};

/// Longest time between two looks at the clock.
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// Least time limit for a write at a bounded rate, which may be as low as a byte a second.
const PACED_PATIENCE: Duration = Duration::from_secs(2);

/// Scenario of a session, and what it sends first.
pub(crate) struct Script<'a> {
    pub(crate) scenario: &'a Scenario,
    /// The answer to the upgrade, if the session is to send it.
    pub(crate) head: Vec<u8>,
    /// Text that the step `who` sends.
    pub(crate) request_info: Option<String>,
}

/// Runs a session as [`run`](super::run) does, but with the faults of the scenario.
pub(crate) async fn run<S>(
    stream: S,
    early: &[u8],
    script: Script<'_>,
    mut context: SessionContext,
) -> (Report, S)
where
    S: Transport,
{
    let start = Instant::now();
    let base = Arc::clone(&context.config);
    context.config = Arc::new(changed((*base).clone(), script.scenario));
    let drain = context.drain.clone();
    let stream = Paced::new(stream);
    let session = Session::new(stream, early, context, Slots::exact(), start.into());
    let mut faulty = FaultySession::new(session, script.scenario, drain.begun(), start);
    faulty.base = base;
    faulty.open(script);
    let finish = poll_fn(|cx| faulty.poll(cx)).await;
    let report = faulty.leave(finish, &drain).await;
    (report, faulty.session.io.into_inner().into_inner())
}

/// Goes on with a session that is to misbehave from now on, until it has ended.
pub(super) async fn go_on<S>(session: Session<S>, scenario: &Scenario, drain: Drain) -> (Report, S)
where
    S: Transport,
{
    let now = Instant::now();
    let session = session.map_stream(Paced::new);
    let mut faulty = FaultySession::new(session, &Scenario::default(), drain.begun(), now);
    faulty.is_open = true;
    faulty.change(scenario, now);
    let finish = poll_fn(|cx| faulty.poll(cx)).await;
    let report = faulty.leave(finish, &drain).await;
    (report, faulty.session.io.into_inner().into_inner())
}

/// The configuration, changed by the steps that override settings.
fn changed(mut config: ServerConfig, scenario: &Scenario) -> ServerConfig {
    for step in scenario.steps() {
        match step {
            Step::Beat(every) => config.heartbeat = *every,
            Step::Say(text, When::Start) => config.heartbeat_text.clone_from(text),
            Step::Rate(_) => config.send_timeout = config.send_timeout.max(PACED_PATIENCE),
            _ => {}
        }
    }
    config
}

/// A session, and the state of its faults.
struct FaultySession<S> {
    session: Session<Paced<S>>,
    /// The configuration of the server, before steps change it.
    base: Arc<ServerConfig>,
    /// Whether the answer to the upgrade has been sent. Nothing else is done before.
    is_open: bool,
    triggers: Triggers,
    send_queue: SendQueue,
    pings: Option<Pings>,
    echoes: bool,
    /// Answers that take the place of echoes.
    canned: Vec<Reply>,
    /// Whether the peer's Close is answered.
    replies: bool,
    /// Moment since which nothing is read any more.
    deaf_since: Option<Instant>,
    /// End of the session, for the time when the send queue is empty.
    finish: Option<Finish>,
    /// Wait for the drain, until it begins.
    drain_begun: Option<Begun>,
    /// Moment of its close in the drain.
    leave: Option<Instant>,
    blocked: Option<Blocked>,
    suspicion: Option<Suspicion>,
    /// Moment since which the peer has been half-closed, if it is not read from.
    half_closed_since: Option<Instant>,
    /// Moment of the next check whether such a peer is gone.
    look_at: Option<Instant>,
    /// Last moment at which it did not read: the peer's silence until then says nothing.
    inattentive_at: Instant,
    timer: Pin<Box<Sleep>>,
    budget: Budget,
}

struct Pings {
    every: Duration,
    next: Instant,
}

impl<S> FaultySession<S>
where
    S: Transport,
{
    fn new(
        mut session: Session<Paced<S>>,
        scenario: &Scenario,
        drain_begun: Begun,
        start: Instant,
    ) -> Self {
        let is_recorded = session.stats.connection().is_some();
        let mut faulty = Self {
            send_queue: SendQueue::new(session.config.max_message_size, is_recorded),
            base: Arc::clone(&session.config),
            session,
            is_open: false,
            triggers: Triggers::new(scenario, start),
            pings: None,
            echoes: true,
            canned: Vec::new(),
            replies: true,
            deaf_since: None,
            finish: None,
            drain_begun: Some(drain_begun),
            leave: None,
            blocked: None,
            suspicion: None,
            half_closed_since: None,
            look_at: None,
            inattentive_at: start,
            timer: Box::pin(sleep_until(start)),
            budget: Budget::new(),
        };
        faulty.set(scenario, start);
        faulty
    }

    /// Sets what steps hold all the time.
    fn set(&mut self, scenario: &Scenario, now: Instant) {
        self.send_queue.fates(Fates::of(scenario));
        for step in scenario.steps() {
            match step {
                Step::EchoOff => self.echoes = false,
                Step::Delay { least, most } => self.send_queue.delay(*least, *most),
                Step::Fragment(bytes) => self.send_queue.fragment(*bytes),
                Step::NoReply => self.replies = false,
                Step::Reply(reply) => self.canned.push(reply.clone()),
                Step::Ping(every) => {
                    let (every, next) = (*every, now + *every);
                    self.pings = Some(Pings { every, next });
                }
                _ => {}
            }
        }
    }

    /// Misbehaves by these steps from now on, and by no others.
    fn change(&mut self, scenario: &Scenario, now: Instant) {
        let config = changed((*self.base).clone(), scenario);
        let schedule = &mut self.session.schedule;
        schedule.change(Slots::exact(), &self.session.config, &config, now.into());
        self.session.config = Arc::new(config);
        let answered = self.send_queue.answered();
        self.triggers = Triggers::from_now_on(scenario, now, answered);
        self.send_queue.delay(Duration::ZERO, Duration::ZERO);
        self.send_queue.fragment(usize::MAX);
        (self.echoes, self.replies, self.pings) = (true, true, None);
        self.canned.clear();
        if self.deaf_since.take().is_some() {
            self.inattentive_at = now;
        }
        self.set(scenario, now);
        self.session.io.get_mut().unpace();
        self.set_pace(scenario, 0);
    }

    /// Bounds the rate from `exempt` more bytes on, if a step asks for that.
    fn set_pace(&mut self, scenario: &Scenario, exempt: usize) {
        for step in scenario.steps() {
            if let Step::Rate(rate) = step {
                self.session.io.get_mut().pace(*rate, exempt);
            }
        }
    }

    /// Puts into the write buffer what is sent first: all of it at once, whatever the rate.
    fn open(&mut self, script: Script<'_>) {
        let scenario = script.scenario;
        let greetings = scenario.steps().filter_map(|step| match step {
            Step::Greet(text) => Some(text),
            _ => None,
        });
        for text in script.request_info.iter().chain(greetings) {
            self.send_queue.text(text);
        }
        self.session
            .writer
            .write_buffer()
            .replies()
            .extend(script.head);
        let now = Instant::now();
        while matches!(self.put(now), Ok(true)) {}
        let exempt = self.session.writer.write_buffer().replies().len();
        self.set_pace(scenario, exempt);
    }

    /// Runs until something ends the session.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Finish> {
        self.budget = Budget::new();
        loop {
            let now = Instant::now();
            if let Some(begun) = &mut self.drain_begun
                && let Poll::Ready(window) = begun.poll_unpin(cx)
            {
                self.drain_begun = None;
                self.leave = Some(window.at(rand::random()));
            }
            match self.poll_step(now, cx) {
                Ok(Poll::Ready(())) => {}
                Err(finish) => return Poll::Ready(finish),
                Ok(Poll::Pending) => {
                    match self.look_for_hangup(now, cx) {
                        Ok(()) => {}
                        Err(finish) => return Poll::Ready(finish),
                    }
                    self.session.stats.add_up_by(now.into());
                    let next = self.next(now);
                    self.timer.as_mut().reset(next);
                    ready!(self.timer.as_mut().poll(cx));
                }
            }
            if self.budget.is_spent() {
                budget::give_way(cx);
                return Poll::Pending;
            }
        }
    }

    /// Does the next thing that can be done, if there is one.
    fn poll_step(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<Poll<()>, Finish> {
        if !self.is_open {
            self.is_open = self.poll_send(now, cx)?.is_ready();
            return Ok(match self.is_open {
                true => Poll::Ready(()),
                false => Poll::Pending,
            });
        }
        self.take_mail(cx)?;
        if let Some(action) = self.triggers.timed(now) {
            // The Close does not wait for the send queue.
            if matches!(action, Action::Close(_)) {
                self.send_queue.clear();
            }
            return self.perform(action, now).map(Poll::Ready);
        }
        if self.leave.is_some_and(|at| at <= now) {
            return Err(End::Drained.into());
        }
        if self
            .deaf_since
            .is_some_and(|since| now - since >= self.session.config.fault_timeout)
        {
            return Err(Finish::Cut("deaf", Teardown::Reset));
        }
        if self.poll_send(now, cx)?.is_pending() {
            return Ok(Poll::Pending);
        }
        if self.budget.is_spent() {
            return Ok(Poll::Ready(()));
        }
        if self.send_queue.is_empty()
            && let Some(finish) = self.finish.take()
        {
            return Err(finish);
        }
        if let Some(action) = self.triggers.counted(self.send_queue.answered()) {
            return self.perform(action, now).map(Poll::Ready);
        }
        // Read first: the silence of a peer counts from the last byte that it has sent.
        let received = self.poll_receive(now, cx)?;
        if self.keep_time(now, received.is_pending())? || received.is_ready() {
            return Ok(Poll::Ready(()));
        }
        self.judge(now)?;
        // There may be Pongs to send.
        let _ = self.poll_send(now, cx)?;
        Ok(match self.budget.is_spent() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
    }

    /// Puts pushes into the send queue, one after another: those that wait for it stay in the
    /// mailbox, which is bounded.
    fn take_mail(&mut self, cx: &mut Context<'_>) -> Result<(), Finish> {
        while self.finish.is_none()
            && let Some(connection) = self.session.stats.connection()
            && let Some(mail) = connection.next_mail(cx, self.send_queue.has_other())
        {
            match mail {
                Mail::Push(push) => self.send_queue.push(push.opcode(), push.payload()),
                Mail::Steps(steps) => self.change(&steps, Instant::now()),
                Mail::End(ending) => return Err(End::from(ending).into()),
            }
        }
        Ok(())
    }

    /// Ends the session if the peer has left while it is not read from. A peer that has half-closed
    /// still gets what is in the send queue, but nothing later.
    fn look_for_hangup(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<(), Finish> {
        self.look_at = None;
        let reads = self.is_open && self.blocked.is_none() && self.is_attentive();
        if reads {
            return Ok(());
        }
        let Poll::Ready(hangup) = self.session.io.get_mut().poll_hangup(cx) else {
            return Ok(());
        };
        if hangup != Hangup::HalfClosed {
            return Err(End::from(hangup).into());
        }
        self.look_at = Some(now + LOOK);
        let since = *self.half_closed_since.get_or_insert(now);
        if self.deaf_since.is_some() && now - since >= HALF_CLOSED && self.finish.is_none() {
            if self.send_queue.is_empty() {
                return Err(End::from(hangup).into());
            }
            self.finish = Some(End::from(hangup).into());
        }
        Ok(())
    }

    /// Does an action of the scenario.
    fn perform(&mut self, action: Action, now: Instant) -> Result<(), Finish> {
        match action {
            Action::Close(closing) => {
                self.send_queue.clear();
                self.session.stats.observe_step_close(&closing);
                self.send_queue.frame(frames::close(&closing));
                self.finish = Some(Finish::Closed(closing));
            }
            Action::Say(text) => self.send_queue.text(&text),
            Action::Fin => return Err(Finish::Cut("fin", Teardown::Linger)),
            Action::Rst => return Err(Finish::Cut("rst", Teardown::Reset)),
            Action::Stall => return Err(Finish::Silent("stall")),
            Action::Deaf => self.deaf_since = Some(now),
            Action::Burst(burst) => self.send_queue.burst(burst),
            Action::Bad(bad) => self.send_queue.frame(frames::bad(bad)),
        }
        Ok(())
    }

    /// Moment of the next look at the clock, if nothing happens before.
    fn next(&self, now: Instant) -> Instant {
        let silence = self
            .deaf_since
            .map(|since| since + self.session.config.fault_timeout);
        let always = [self.triggers.next(), self.leave, silence, self.look_at];
        let free = match &self.blocked {
            Some(blocked) => [Some(blocked.deadline), None, None],
            None => [
                Some(match &self.suspicion {
                    Some(suspicion) => suspicion.at,
                    None => self.session.schedule.next().into(),
                }),
                self.pings.as_ref().map(|pings| pings.next),
                self.send_queue.next_due(),
            ],
        };
        let times = always.into_iter().chain(free).flatten();
        times.min().unwrap_or(now + LONGEST_REST)
    }
}
