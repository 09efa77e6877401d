//! A WebSocket session, from the upgrade to the end of the close handshake: echoes, heart beats,
//! keepalive.
//!
//! Data flows in one direction: the [codec] turns the bytes that were read into messages, and the
//! [writer] turns messages into frames. All messages that have been read are fed to the writer, and
//! go out in one write. Until the peer takes that write, nothing more is read.
//!
//! | room | purpose |
//! |---|---|
//! | [`tracked_io`] | the stream, with the peer's last sign of life and the bytes written |
//! | [`read_buffer`] | bytes that were read: there is a buffer only while there are any |
//! | [`single_frame`] | messages of a single frame, unmasked in place |
//! | [`utf8`] | the check of text that comes in pieces |
//! | [`protocol`] | all other frames, legal or not: tungstenite |
//! | [`deflate`] | messages that come compressed, and their compressed echoes |
//! | [`codec`] | the four above as one |
//! | [`echo`] | the way in which a message is sent back |
//! | [`write_buffer`] | frames that are to be written |
//! | [`writer`] | feeding, flushing, and the end of a session whose writes make no progress |
//! | [`schedule`] | the clock |
//! | [`stats`] | counts of messages, for the report and the metrics |
//! | [`observe`] | what the registry of connections is told, and the pushes from there |
//! | [`report`] | the report at the end |
//! | [`close_handshake`] | the close handshake |
//! | [`flood`] | the limit on control frames |
//! | [`faulty`] | sessions that misbehave as they are asked to |

mod close_handshake;
mod codec;
mod deflate;
mod echo;
pub(crate) mod faulty;
mod flood;
mod observe;
mod protocol;
mod read_buffer;
mod report;
mod schedule;
mod single_frame;
mod stats;
mod tracked_io;
mod utf8;
mod write_buffer;
mod writer;

use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::yield_now;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite;
use tracing::trace;

use crate::config::ServerConfig;
use crate::net::connection_info::ConnectionInfo;
use crate::net::transport::Transport;
use crate::registry::ConnectionHandle;
use crate::runtime::budget::Budget;
use crate::runtime::deadline::GRACE;
use crate::runtime::moment::Moment;
use crate::runtime::shutdown::Drain;
use crate::runtime::timers::{Alert, Timer, Timers};
use crate::session::tracked_io::TrackedIo;
use crate::telemetry::metrics::Metrics;
use crate::ws::close::End;
use crate::ws::deflate::PermessageDeflate;
use crate::ws::frames::Opcode;
use codec::Codec;
use flood::ControlBudget;
use protocol::Received;
pub(crate) use report::Report;
use schedule::{Activity, Due, Schedule, Slots};
pub(crate) use single_frame::unmask;
use stats::SessionStats;
use writer::Writer;

/// Surroundings of a session, ordinary or faulty.
pub(crate) struct SessionContext {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) timers: Timers,
    pub(crate) drain: Drain,
    pub(crate) info: ConnectionInfo,
    /// The agreed parameters of compression, if messages may be compressed.
    pub(crate) deflate: Option<PermessageDeflate>,
    /// The session's connection in the registry, if there is one.
    pub(crate) connection: Option<Box<ConnectionHandle>>,
}

impl SessionContext {
    /// Surroundings of another session of the same server and drain, over `info`, without what is
    /// agreed on for one session.
    pub(crate) fn for_session(&self, info: ConnectionInfo) -> Self {
        Self {
            config: Arc::clone(&self.config),
            metrics: Arc::clone(&self.metrics),
            timers: self.timers.clone(),
            drain: self.drain.clone(),
            info,
            deflate: None,
            connection: None,
        }
    }
}

/// Runs a session over `stream`, from which `early` has been read already, until its close
/// handshake is over, and returns the stream. A session that is dropped before is reported as cut.
pub(crate) fn run<S>(
    stream: S,
    early: &[u8],
    context: SessionContext,
) -> impl Future<Output = (Report, S)> + use<S>
where
    S: Transport,
{
    let slots = Slots::of(&context.config);
    let mut session = Session::new(stream, early, context, slots, Moment::now());
    // No async fn: its future would hold each argument twice.
    async move {
        let ended = session.converse().await;
        session.timer.cancel();
        // Boxed, so that a session does not hold memory all the time for its end.
        Box::pin(after(session, ended)).await
    }
}

/// Ends a session that has come to its end, or goes on with one that the API has misbehave.
async fn after<S>(mut session: Session<S>, ended: Result<(), End>) -> (Report, S)
where
    S: Transport,
{
    let steps = session.stats.connection().and_then(|it| it.take_steps());
    let end = match (ended, steps) {
        (Ok(()), Some((steps, drain))) => return faulty::go_on(session, &steps, drain).await,
        (Ok(()), None) => End::Cut,
        (Err(end), _) => end,
    };
    let report = session.leave(end).await;
    (report, session.io.into_inner())
}

struct Session<S> {
    io: TrackedIo<S>,
    codec: Codec,
    writer: Writer,
    schedule: Schedule,
    /// Timer of the schedule. A faulty session has a clock of its own, and does not poll it.
    timer: Timer,
    controls: ControlBudget,
    stats: SessionStats,
    config: Arc<ServerConfig>,
}

impl<S> Session<S> {
    /// A session that begins at `start`.
    fn new(stream: S, early: &[u8], context: SessionContext, slots: Slots, start: Moment) -> Self {
        let SessionContext {
            config,
            metrics,
            timers,
            info,
            deflate,
            mut connection,
            drain,
        } = context;
        if let Some(connection) = &mut connection {
            connection.keep_drain(drain);
        }
        let schedule = Schedule::new(&config, slots, start, rand::random());
        Self {
            io: TrackedIo::new(stream),
            codec: Codec::new(early, config.max_message_size, deflate),
            writer: Writer::default(),
            timer: timers.timer(schedule.next()),
            schedule,
            controls: ControlBudget::new(start),
            stats: SessionStats::new(metrics, info, start, connection),
            config,
        }
    }
}

impl<S> Session<S> {
    /// The same session, over the stream that `change` makes of its own.
    fn map_stream<T>(self, change: impl FnOnce(S) -> T) -> Session<T> {
        Session {
            io: self.io.map(change),
            codec: self.codec,
            writer: self.writer,
            schedule: self.schedule,
            timer: self.timer,
            controls: self.controls,
            stats: self.stats,
            config: self.config,
        }
    }
}

impl<S> Session<S>
where
    S: Transport,
{
    /// Echoes, and does what is due by the clock, until something ends the session, or the API has it
    /// misbehave.
    #[expect(clippy::manual_async_fn, reason = "its future would hold self twice")]
    fn converse(&mut self) -> impl Future<Output = Result<(), End>> {
        async move {
            loop {
                let pause = poll_fn(|cx| self.poll_turn(cx));
                let pause = pause.await?;
                // Boxed, because it is rare.
                if Box::pin(self.rest(pause)).await? {
                    return Ok(());
                }
                self.timer.set(self.schedule.next());
            }
        }
    }

    /// Sends all that was begun.
    async fn finish(&mut self) -> Result<(), End> {
        self.flush().await?;
        self.finish_echo().await
    }

    /// Does what is due, pushes and echoes, until the session must wait for anything but a message,
    /// a push or the clock.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<Pause, End>> {
        while let Poll::Ready(alert) = self.timer.poll(cx) {
            match alert {
                Alert::Clock(now) => {
                    if let Some(pause) = self.keep_time(now, cx)? {
                        return Poll::Ready(Ok(pause));
                    }
                }
                Alert::Drain(window) => self.schedule.leave(window, rand::random()),
            }
            self.timer.set(self.schedule.next());
        }
        if let Some(pause) = self.take_mail(cx)? {
            return Poll::Ready(Ok(pause));
        }
        self.poll_echo(cx)
    }

    fn poll_next(
        &mut self,
        budget: &mut Budget,
        cx: &mut Context<'_>,
    ) -> Poll<tungstenite::Result<Received>> {
        self.codec
            .poll_next(&mut self.io, self.writer.write_buffer(), budget, cx)
    }

    /// Does everything that is due by `now`, in one write, and returns the reason if the session has
    /// to wait for that.
    fn keep_time(&mut self, now: Moment, cx: &mut Context<'_>) -> Result<Option<Pause>, End> {
        self.stats.add_up();
        let activity = self.activity();
        while let Some(due) = self.schedule.due(now, activity, &self.config) {
            match due {
                Due::Beat => {
                    let text = self.config.heartbeat_text.as_bytes();
                    self.stats.beat(text);
                    self.writer.feed(Opcode::Text, text);
                    self.schedule.skip_beats(now, &self.config);
                }
                Due::Ping => {
                    self.stats.ping();
                    self.writer.feed_ping();
                }
                Due::Leave => return Err(End::Drained),
                Due::Dead => return Ok(Some(Pause::Silence(End::Dead))),
                Due::Stuck => return Ok(Some(Pause::Silence(End::Stuck))),
            }
        }
        let flushed = self.writer.poll_flush(&mut self.io, cx)?;
        Ok(flushed.is_pending().then_some(Pause::BlockedBeat))
    }

    /// Whether the peer shows a sign of life after all, once the bytes in the socket are read: they
    /// may have come while the process was stopped.
    async fn hears_more(&mut self) -> Result<bool, End> {
        let before = self.io.alive_at();
        sleep(GRACE).await;
        let read = poll_fn(|cx| Poll::Ready(self.poll_echo(cx))).await;
        if let Poll::Ready(pause) = read
            && matches!(pause?, Pause::Blocked)
        {
            self.flush().await?;
        }
        Ok(self.io.alive_at() > before)
    }

    fn activity(&self) -> Activity {
        Activity {
            heard_at: self.io.alive_at(),
            is_mid_message: self.codec.is_mid_message(),
        }
    }

    /// Echoes messages as they come, until the session must wait for anything but a message.
    fn poll_echo(&mut self, cx: &mut Context<'_>) -> Poll<Result<Pause, End>> {
        let mut budget = Budget::new();
        let mut is_over = false;
        loop {
            let Poll::Ready(received) = self.poll_next(&mut budget, cx) else {
                self.stats.add_up_by(self.io.alive_at());
                return match self.poll_flush(cx)? {
                    Poll::Ready(()) => Poll::Pending,
                    Poll::Pending => Poll::Ready(Ok(Pause::Blocked)),
                };
            };
            let received = received?;
            let is_part = matches!(received, Received::Part);
            self.answer(received, cx)?;
            if self.writer.is_full() && self.poll_flush(cx)?.is_pending() {
                return Poll::Ready(Ok(Pause::Blocked));
            }
            // Over TLS and HTTP/2 it may look as if all were read: one more message will tell.
            let was_over = mem::replace(&mut is_over, budget.is_spent());
            if is_part || was_over || is_over && self.codec.has_more() {
                self.stats.add_up_by(self.io.alive_at());
                self.stats.observe_turn();
                return Poll::Ready(Ok(Pause::Others));
            }
        }
    }

    /// Handles the reason for which [`Self::poll_turn`] stopped, unless the session is cut meanwhile.
    /// Returns whether it is to misbehave from now on.
    async fn rest(&mut self, pause: Pause) -> Result<bool, End> {
        let is_changed = matches!(pause, Pause::Steps);
        let Some(connection) = self.stats.connection() else {
            self.handle(pause).await?;
            return Ok(is_changed);
        };
        let cut = connection.cut();
        tokio::select! {
            biased;
            teardown = cut => Err(End::ApiCut(teardown)),
            handled = self.handle(pause) => handled.map(|()| is_changed),
        }
    }

    async fn handle(&mut self, pause: Pause) -> Result<(), End> {
        match pause {
            Pause::Silence(end) => match self.hears_more().await? {
                true => Ok(()),
                false => Err(end),
            },
            Pause::Blocked => self.flush_blocked().await,
            Pause::BlockedBeat => {
                self.flush_blocked().await?;
                self.schedule.skip_beats(Moment::now(), &self.config);
                Ok(())
            }
            Pause::Steps => self.finish().await,
            Pause::Others => {
                self.flush().await?;
                yield_now().await;
                Ok(())
            }
        }
    }

    /// Goes on with a flush that has to wait.
    async fn flush_blocked(&mut self) -> Result<(), End> {
        // The slot may fire long before the peer reads on. The clock is read again then.
        self.timer.cancel();
        if !self.writer.gave_way() {
            self.stats.metrics.stalls.inc();
            self.codec.settle();
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), End> {
        let patience = self.config.send_timeout;
        self.writer.flush(&mut self.io, patience).await
    }

    /// Handles a received message or frame.
    fn answer(&mut self, received: Received, cx: &mut Context<'_>) -> Result<(), End> {
        self.check(&received)?;
        match received {
            Received::Message(opcode) => {
                self.note_echo(opcode, false);
                self.echo(opcode, cx)
            }
            Received::Compressed(opcode) => {
                self.note_echo(opcode, true);
                self.codec.begin_echo();
                Ok(())
            }
            Received::Echo => self.send_compressed(cx),
            Received::Close(frame) => Err(End::by_peer(frame.map(|frame| *frame))),
            Received::Control(_) | Received::Part => Ok(()),
        }
    }

    /// Counts the last message, which is echoed, and tells the registry of it.
    #[inline]
    fn note_echo(&mut self, opcode: Opcode, is_compressed: bool) {
        let payload = self.codec.payload().len();
        let is_observed = self.stats.echo(opcode, payload, self.io.alive_at());
        if is_observed {
            self.observe_echo(opcode, is_compressed);
        }
    }

    /// Traces what was received, observes it if it is no message, and holds the peer to the limit on
    /// control frames.
    fn check(&mut self, received: &Received) -> Result<(), End> {
        let payload = self.codec.payload();
        trace!(parent: &self.stats.info.span(), message = received.preview(payload), "received");
        match received {
            Received::Control(_) | Received::Close(_) => self.check_control(received),
            _ => Ok(()),
        }
    }

    // Not inlined, so that a message does not have to make room for it.
    #[inline(never)]
    fn check_control(&mut self, received: &Received) -> Result<(), End> {
        self.observe_control(received);
        match received {
            Received::Control(_) if !self.controls.take(self.io.alive_at()) => {
                Err(End::Flood("too many control frames"))
            }
            _ => Ok(()),
        }
    }
}

/// Reason why a session stops echoing for a moment.
#[derive(Debug)]
enum Pause {
    /// The peer has been silent for too long, by the clock: the session ends with this unless the
    /// peer is heard after all.
    Silence(End),
    /// The peer does not read, or its share of writing is used up.
    Blocked,
    /// The same, with a heart beat or a Ping that is to be written. Those that are due before it is
    /// written are skipped.
    BlockedBeat,
    /// Other sessions have their turn.
    Others,
    /// The API has it misbehave.
    Steps,
}

#[cfg(test)]
mod tests;
