//! Statistics of a session: totals for its report, and recent counts for the metrics.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::Report;
use super::close_handshake::CloseHandshake;
use crate::net::connection_info::ConnectionInfo;
use crate::registry::ConnectionHandle;
use crate::registry::record::Kind;
use crate::runtime::moment::Moment;
use crate::telemetry::metrics::{Metrics, Tally, Traffic};
use crate::ws::close::{End, Teardown};
use crate::ws::frames::Opcode;

/// Least time between two additions to the metrics, which all sessions share.
const PAUSE: Duration = Duration::from_secs(1);

/// A session's counts of messages, and its report. If this is dropped before the report, the
/// session is reported as cut.
pub(super) struct SessionStats {
    pub(super) metrics: Arc<Metrics>,
    pub(super) info: ConnectionInfo,
    /// Moment at which the session began. It is taken when the end is reported.
    start: Option<Moment>,
    received: Traffic,
    sent: Traffic,
    /// Things that most idle sessions have none of.
    extra: Option<Box<Extra>>,
}

/// Things that share a box, because each pointer is one in every session.
#[derive(Default)]
struct Extra {
    /// Counts that are not in the metrics yet. An idle session has none.
    recent: Option<Recent>,
    /// The connection in the registry, if there is one. It goes on to the report.
    connection: Option<Box<ConnectionHandle>>,
}

impl Extra {
    fn recent(&mut self, now: Moment) -> &mut Tally {
        let recent = self.recent.get_or_insert_with(|| Recent {
            tally: Tally::default(),
            since: now,
        });
        &mut recent.tally
    }
}

struct Recent {
    tally: Tally,
    since: Moment,
}

impl SessionStats {
    pub(super) fn new(
        metrics: Arc<Metrics>,
        info: ConnectionInfo,
        start: Moment,
        connection: Option<Box<ConnectionHandle>>,
    ) -> Self {
        let extra = connection.map(|connection| Extra {
            connection: Some(connection),
            ..Extra::default()
        });
        Self {
            metrics,
            info,
            start: Some(start),
            received: Traffic::default(),
            sent: Traffic::default(),
            extra: extra.map(Box::new),
        }
    }

    /// Counts a message that came at `now` and is echoed, and returns whether there is a connection
    /// in the registry.
    #[inline]
    pub(super) fn echo(&mut self, opcode: Opcode, payload: usize, now: Moment) -> bool {
        self.received.count(payload);
        self.sent.count(payload);
        let extra = self.extra.get_or_insert_default();
        let tally = extra.recent(now);
        let kind = kind(opcode);
        tally.received[kind].count(payload);
        tally.sent[kind].count(payload);
        extra.connection.is_some()
    }

    /// Counts a message that came at `now` and that the registry knows of, but not its echo.
    pub(super) fn receive(&mut self, opcode: Opcode, payload: usize, now: Moment) {
        self.received.count(payload);
        self.recent(now).received[kind(opcode)].count(payload);
        if let Some(connection) = self.connection() {
            connection.forget_received();
        }
    }

    /// Counts a message that was sent at `now`, whether it is an echo or not.
    pub(super) fn send(&mut self, opcode: Opcode, payload: usize, now: Moment) {
        self.sent.count(payload);
        self.recent(now).sent[kind(opcode)].count(payload);
    }

    /// Counts a heart beat, in the metrics at once, because heart beats are few.
    pub(super) fn beat(&mut self, text: &[u8]) {
        self.sent.count(text.len());
        self.metrics.heart_beats.inc();
        let mut tally = Tally::default();
        tally.sent[0].count(text.len());
        self.metrics.add(&tally);
        if let Some(connection) = self.connection() {
            connection.sent(Kind::Text, text);
        }
    }

    /// Counts a Ping.
    pub(super) fn ping(&mut self) {
        self.metrics.pings.inc();
        if let Some(connection) = self.connection() {
            connection.pinged();
        }
    }

    fn recent(&mut self, now: Moment) -> &mut Tally {
        self.extra.get_or_insert_default().recent(now)
    }

    /// Adds the recent counts to the metrics, unless it is too soon.
    pub(super) fn add_up_by(&mut self, now: Moment) {
        if let Some(extra) = &self.extra
            && let Some(recent) = &extra.recent
            && now.since(recent.since) >= PAUSE
        {
            self.add_up();
        }
    }

    /// Adds the recent counts to the metrics.
    pub(super) fn add_up(&mut self) {
        let Some(extra) = &mut self.extra else {
            return;
        };
        if let Some(recent) = extra.recent.take() {
            self.metrics.add(&recent.tally);
        }
        if extra.connection.is_none() {
            self.extra = None;
        }
    }

    /// The connection in the registry, if there is one.
    #[inline]
    pub(super) fn connection(&mut self) -> Option<&mut ConnectionHandle> {
        self.extra.as_mut()?.connection.as_deref_mut()
    }

    /// Reports the end of the session, also to the log and the metrics.
    pub(super) fn report(&mut self, end: End, close_handshake: CloseHandshake) -> Report {
        let lasted = self
            .start
            .take()
            .map_or(Duration::ZERO, |start| Moment::now().since(start));
        let CloseHandshake {
            clean,
            teardown,
            peer_end,
        } = close_handshake;
        self.metrics.end(&end, lasted);
        let extra = self.extra.as_mut();
        let mut connection = extra.and_then(|extra| extra.connection.take());
        if let Some(connection) = &mut connection {
            connection.session_ended(&end, clean);
            if let Some(peer_end) = peer_end {
                connection.tcp_ended(peer_end.into());
            }
        }
        let report = Report {
            end,
            clean,
            received: self.received,
            sent: self.sent,
            lasted,
            teardown,
            connection,
        };
        report.log(self.info);
        report
    }

    /// Reports the end of a session that is dropped, unless it has been reported.
    pub(super) fn cut(&mut self, end: End) {
        if self.start.is_some() {
            self.report(end, CloseHandshake::failed(Teardown::Drop));
        }
    }
}

/// Index of a message's kind in a [`Tally`].
fn kind(opcode: Opcode) -> usize {
    match opcode {
        Opcode::Text => 0,
        _ => 1,
    }
}

impl Drop for SessionStats {
    fn drop(&mut self) {
        self.add_up();
        self.cut(match thread::panicking() {
            true => End::Lost(io::Error::other("the session failed")),
            false => End::Cut,
        });
    }
}
