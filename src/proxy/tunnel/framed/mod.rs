//! A tunnel of frames, which misbehaves as a [scenario](TunnelScenario) says. It ends as a tunnel of
//! bytes does, unless a step ends it.
//!
//! | room | purpose |
//! |---|---|
//! | [`transfer`] | one direction, from a stream to a stream |
//! | [`lane`] | its frames |
//! | [`outgoing`] | frames made anew, with masks and fragments |
//! | [`message`] | messages that are kept for a moment |
//! | [`tap`], [`recorder`] | what the API sees of the tunnel, and does to it |
//! | [`queue`] | bytes that wait until they are due |

mod lane;
mod message;
mod outgoing;
mod queue;
mod recorder;
mod tap;
mod transfer;

use std::future;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::both::Both;
use super::silence::Silence;
use super::standstill::Standstill;
use super::{End, Report, Side, TunnelEnd, drained, with_shared};
use crate::config::ProxyConfig;
use crate::net::transport::Transport;
use crate::proxy::inspect::Inspected;
use crate::registry::ConnectionHandle;
use crate::registry::mailbox::{Ending, Mail};
use crate::registry::push::Toward;
use crate::registry::record::CloseContent;
use crate::runtime::shutdown::Drain;
use crate::scenario::{Closing, Scenario, Step, TunnelScenario};
use crate::session::faulty::Paced;
use crate::ws::close::Teardown;
use lane::Lane;
use recorder::Recorder;
use transfer::{Stop, Transfer};

/// Time that a side has to answer a Close that was put in.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Least time limit for a write at a bounded rate, which may be as low as a byte a second.
const PACED_PATIENCE: Duration = Duration::from_secs(2);

/// Longest time between two looks at the clock.
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// Steps for the frames of a tunnel, and its place in the API.
#[derive(Debug)]
pub(in crate::proxy) struct Framing {
    pub(in crate::proxy) scenario: TunnelScenario,
    /// The tunnel as the API shows it, if there is one.
    pub(in crate::proxy) inspected: Option<Inspected>,
}

impl Framing {
    /// The steps as text, if there are any.
    pub(in crate::proxy) fn steps(&self) -> Option<String> {
        (!self.scenario.is_default()).then(|| self.scenario.to_string())
    }
}

/// Passes frames until a step ends the tunnel, or one of the reasons for which a tunnel of bytes
/// ends. Returns the tunnel's connection in the registry too, if it has one.
pub(in crate::proxy) async fn run<C, U>(
    client: TunnelEnd<'_, C>,
    upstream: TunnelEnd<'_, U>,
    framing: Framing,
    config: &ProxyConfig,
    drain: Drain,
) -> (Report, Option<Box<ConnectionHandle>>)
where
    C: Transport,
    U: Transport,
{
    let begun = Instant::now();
    let Framing {
        scenario,
        inspected,
    } = framing;
    let keep = inspected.as_ref().map(|it| it.keep_bytes);
    let mut tunnel = Tunnel {
        client: paced(client.stream, &scenario.down),
        upstream: paced(upstream.stream, &scenario.up),
        both: Both::new(
            Transfer::new(Lane::new(Side::Upstream, &scenario.up, keep, begun)),
            Transfer::new(Lane::new(Side::Client, &scenario.down, keep, begun)),
        ),
        recorder: inspected.map(Recorder::new),
        is_closed_by_api: false,
        first: None,
        silence: config.idle_timeout.map(Silence::new),
        standstill: Standstill::default(),
        timer: Box::pin(sleep_until(begun)),
        send_timeout: config.send_timeout.max(PACED_PATIENCE),
        fault_timeout: config.fault_timeout,
    };
    tunnel.both.inward.lane.take(&client.early, begun);
    tunnel.both.outward.lane.take(&upstream.early, begun);
    let end = tokio::select! {
        biased;
        () = drained(&drain) => End::Drained,
        end = future::poll_fn(|cx| tunnel.poll(cx)) => end,
    };
    let connection = tunnel.recorder.map(|recorder| recorder.end(&end));
    let report = Report {
        end,
        bytes_in: tunnel.both.inward.bytes,
        bytes_out: tunnel.both.outward.bytes,
        lasted: begun.elapsed(),
    };
    (report, connection)
}

/// A stream that is written at the rate of a scenario, if it has one.
fn paced<'a, S: Transport>(stream: &'a mut S, scenario: &Scenario) -> Paced<&'a mut S> {
    let mut paced = Paced::new(stream);
    for step in scenario.steps() {
        if let Step::Rate(rate) = step {
            paced.pace(*rate, 0);
        }
    }
    paced
}

struct Tunnel<'a, C, U> {
    client: Paced<&'a mut C>,
    upstream: Paced<&'a mut U>,
    both: Both<Transfer>,
    recorder: Option<Recorder>,
    /// Whether the API has closed a side.
    is_closed_by_api: bool,
    /// The side that began to close.
    first: Option<Side>,
    silence: Option<Silence>,
    standstill: Standstill,
    timer: std::pin::Pin<Box<Sleep>>,
    send_timeout: Duration,
    fault_timeout: Duration,
}

impl<C, U> Tunnel<'_, C, U>
where
    C: Transport,
    U: Transport,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let now = Instant::now();
            if let Poll::Ready(end) = self.poll_step(now, cx) {
                return Poll::Ready(end);
            }
            let next = self.next(now);
            self.timer.as_mut().reset(next);
            ready!(self.timer.as_mut().poll(cx));
        }
    }

    fn poll_step(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<End> {
        let before = self.both.bytes();
        loop {
            if let Some(teardown) = self.take_mail(now, cx) {
                return Poll::Ready(End::ByApi(teardown));
            }
            let was_busy = self.is_busy();
            if let Err(end) = self.transfer(now, cx) {
                return Poll::Ready(end);
            }
            // There may be mail that has waited for this.
            if !was_busy || self.is_busy() {
                break;
            }
        }
        self.first = self.both.first_to_close(self.first);
        if self.both.is_over() {
            let closed = End::Closed(self.first.unwrap_or(Side::Client));
            return Poll::Ready(self.closed_by_proxy().unwrap_or(closed));
        }
        if let Some(end) = self.late(now) {
            return Poll::Ready(end);
        }
        let is_progress = self.both.bytes() > before;
        if let Some(silence) = &mut self.silence
            && silence.poll_end(is_progress, cx).is_ready()
        {
            return Poll::Ready(End::Idle);
        }
        let patience = self.send_timeout;
        let client = &mut **self.client.get_mut();
        let upstream = &mut **self.upstream.get_mut();
        self.standstill
            .poll_end(&self.both, patience, client, upstream, cx)
    }

    fn transfer(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<(), End> {
        let Self {
            client,
            upstream,
            both,
            recorder,
            ..
        } = self;
        with_shared(|buffer| {
            for is_outward in both.turn() {
                match is_outward {
                    false => (both
                        .inward
                        .poll(client, upstream, buffer, now, recorder, cx))
                    .map_err(|stop| ended(stop, Side::Client, Side::Upstream)),
                    true => (both
                        .outward
                        .poll(upstream, client, buffer, now, recorder, cx))
                    .map_err(|stop| ended(stop, Side::Upstream, Side::Client)),
                }?;
            }
            Ok(())
        })
    }

    /// Whether a frame waits that is to be put in.
    fn is_busy(&self) -> bool {
        self.both.inward.lane.is_busy() || self.both.outward.lane.is_busy()
    }

    /// Puts in what the API has posted, and returns the way in which it cuts the tunnel, if it does.
    fn take_mail(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<Teardown> {
        loop {
            let is_busy = self.is_busy();
            let Both {
                inward, outward, ..
            } = &mut self.both;
            match self.recorder.as_mut()?.next_mail(cx, is_busy)? {
                Mail::Push(push) => {
                    let lane = match push.toward() {
                        Toward::Client => &mut outward.lane,
                        Toward::Upstream => &mut inward.lane,
                    };
                    lane.push(push.opcode(), push.payload(), now);
                }
                Mail::End(Ending::Close(close)) => {
                    outward.lane.close(closing(close), now);
                    self.is_closed_by_api = true;
                }
                Mail::End(Ending::CloseUpstream(close)) => {
                    inward.lane.close(closing(close), now);
                    self.is_closed_by_api = true;
                }
                Mail::End(Ending::Cut(teardown)) => return Some(teardown),
                // The API has none for tunnels.
                Mail::Steps(_) => {}
            }
        }
    }

    fn directions(&self) -> [(Side, &Transfer); 2] {
        [
            (Side::Client, &self.both.outward),
            (Side::Upstream, &self.both.inward),
        ]
    }

    /// The end of a tunnel in which a step or the API has put a Close.
    fn closed_by_proxy(&self) -> Option<End> {
        if self.is_closed_by_api {
            return Some(End::ByApi(Teardown::Linger));
        }
        let closed = |(to, transfer): (Side, &Transfer)| {
            transfer.lane.closing_since()?;
            Some(End::Asked {
                step: "close",
                to,
                teardown: Teardown::Linger,
            })
        };
        self.directions().into_iter().find_map(closed)
    }

    /// The end of a tunnel that was stopped, or closed, too long ago.
    fn late(&self, now: Instant) -> Option<End> {
        for (to, transfer) in self.directions() {
            if self.stall_end(transfer).is_some_and(|end| end <= now) {
                let (step, teardown) = ("stall", Teardown::Reset);
                return Some(End::Asked { step, to, teardown });
            }
            if close_end(transfer).is_some_and(|end| end <= now) {
                return self.closed_by_proxy();
            }
        }
        None
    }

    fn stall_end(&self, transfer: &Transfer) -> Option<Instant> {
        Some(transfer.stalled_since? + self.fault_timeout)
    }

    /// Moment of the next thing that is to be done.
    fn next(&self, now: Instant) -> Instant {
        let times = self.directions().into_iter().flat_map(|(_, transfer)| {
            [
                transfer.next(),
                self.stall_end(transfer),
                close_end(transfer),
            ]
        });
        times.flatten().min().unwrap_or(now + LONGEST_REST)
    }
}

fn closing(close: CloseContent) -> Closing {
    match close.code {
        Some(code) => Closing::Code(code, close.reason),
        None => Closing::Bare,
    }
}

/// Moment at which a Close that was put in must have been answered.
fn close_end(transfer: &Transfer) -> Option<Instant> {
    Some(transfer.lane.closing_since()? + CLOSE_PATIENCE)
}

/// The end of the tunnel that a direction from `source` to `sink` has come to.
fn ended(stop: Stop, source: Side, sink: Side) -> End {
    match stop {
        Stop::Failed(fault) => fault.end(source, sink),
        Stop::Asked(step, teardown) => End::Asked {
            step,
            to: sink,
            teardown,
        },
    }
}

#[cfg(test)]
mod tests;
