//! What a session counts: all of it for its report, and what is new for the metrics.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::Report;
use super::close_handshake::CloseHandshake;
use crate::net::connection_info::ConnectionInfo;
use crate::runtime::moment::Moment;
use crate::telemetry::metrics::{Metrics, Tally, Traffic};
use crate::ws::close::{End, Teardown};
use crate::ws::frames::Opcode;

/// The least time between two additions to what all sessions share.
const PAUSE: Duration = Duration::from_secs(1);

/// A session's count of its messages, and its report. Where it is dropped without one, the session
/// was cut.
pub(super) struct SessionStats {
    pub(super) metrics: Arc<Metrics>,
    pub(super) info: ConnectionInfo,
    /// When the session began, until its end is reported.
    start: Option<Moment>,
    received: Traffic,
    sent: Traffic,
    /// What is not in the metrics yet. An idle session has none.
    recent: Option<Box<Recent>>,
}

struct Recent {
    tally: Tally,
    since: Moment,
}

impl SessionStats {
    pub(super) fn new(metrics: Arc<Metrics>, info: ConnectionInfo, start: Moment) -> Self {
        Self {
            metrics,
            info,
            start: Some(start),
            received: Traffic::default(),
            sent: Traffic::default(),
            recent: None,
        }
    }

    /// Counts a message that came at `now` and goes back.
    pub(super) fn echo(&mut self, opcode: Opcode, payload: usize, now: Moment) {
        self.received.count(payload);
        self.sent.count(payload);
        let tally = self.recent(now);
        let kind = kind(opcode);
        tally.received[kind].count(payload);
        tally.sent[kind].count(payload);
    }

    /// Counts a message that came at `now` and may go back or not.
    pub(super) fn receive(&mut self, opcode: Opcode, payload: usize, now: Moment) {
        self.received.count(payload);
        self.recent(now).received[kind(opcode)].count(payload);
    }

    /// Counts a message that went out at `now`, be it an echo or not.
    pub(super) fn send(&mut self, opcode: Opcode, payload: usize, now: Moment) {
        self.sent.count(payload);
        self.recent(now).sent[kind(opcode)].count(payload);
    }

    /// Counts a heart beat, at once: there are few of them.
    pub(super) fn beat(&mut self, payload: usize) {
        self.sent.count(payload);
        self.metrics.heart_beats.inc();
        let mut tally = Tally::default();
        tally.sent[0].count(payload);
        self.metrics.add(&tally);
    }

    fn recent(&mut self, now: Moment) -> &mut Tally {
        let recent = self.recent.get_or_insert_with(|| {
            Box::new(Recent {
                tally: Tally::default(),
                since: now,
            })
        });
        &mut recent.tally
    }

    /// Adds up what is new, unless that is too soon.
    pub(super) fn add_up_by(&mut self, now: Moment) {
        if let Some(recent) = &self.recent
            && now.since(recent.since) >= PAUSE
        {
            self.add_up();
        }
    }

    /// Adds up what is new.
    pub(super) fn add_up(&mut self) {
        if let Some(recent) = self.recent.take() {
            self.metrics.add(&recent.tally);
        }
    }

    /// Reports the end of the session, to the log and the metrics too.
    pub(super) fn report(&mut self, end: End, close_handshake: CloseHandshake) -> Report {
        let lasted = self
            .start
            .take()
            .map_or(Duration::ZERO, |start| Moment::now().since(start));
        let CloseHandshake { clean, teardown } = close_handshake;
        self.metrics.end(&end, lasted);
        let report = Report {
            end,
            clean,
            received: self.received,
            sent: self.sent,
            lasted,
            teardown,
        };
        report.log(self.info);
        report
    }

    /// Reports the end of a session that is dropped, unless that is done.
    pub(super) fn cut(&mut self, end: End) {
        if self.start.is_some() {
            let (clean, teardown) = (false, Teardown::Drop);
            self.report(end, CloseHandshake { clean, teardown });
        }
    }
}

/// Its place among the kinds of a direction.
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
