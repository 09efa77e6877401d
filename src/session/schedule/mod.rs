//! Schedule of a session: one timer serves the heart beat, keepalive, the check of unfinished
//! messages, and the close in a drain.
//!
//! The timer is not reset when a message arrives. When it fires, the schedule is told how long ago
//! the last byte came.
//!
//! The timers of all sessions fire in common [slots], so that what is due within one slot wakes a
//! thread once.

mod slots;

use std::time::Duration;

use crate::config::ServerConfig;
use crate::runtime::moment::Moment;
use crate::runtime::shutdown::Window;
pub(super) use slots::Slots;

/// Time for which an unfinished frame or message may make no progress.
pub(super) const PROGRESS_TIMEOUT: Duration = Duration::from_secs(30);

/// Something that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Send a heart beat.
    Beat,
    /// Send a Ping.
    Ping,
    /// Give up the peer: the Ping was not answered.
    Dead,
    /// Close: an unfinished message makes no progress.
    Stuck,
    /// Close: it is this session's time in the drain.
    Leave,
}

/// State of the connection at the time when the timer fires.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activity {
    /// The peer's last sign of life.
    pub(super) heard_at: Moment,
    /// Whether part of a message has arrived.
    pub(super) is_mid_message: bool,
}

/// A session's clock.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Moment at which the next heart beat is due.
    beat: Option<Moment>,
    keepalive: Option<Keepalive>,
    progress_check: Moment,
    leave: Option<Moment>,
    slots: Slots,
}

#[derive(Debug)]
struct Keepalive {
    /// Share of the interval: after so much silence the next Ping is due.
    share: f32,
    /// Moment at which a Ping was sent that is not answered yet.
    asked: Option<Moment>,
    check: Moment,
}

impl Schedule {
    /// A schedule that begins at `now`. `phase`, from 0 to 1, moves the first Ping into the second
    /// half of its interval, so that connections that came together do not ping together. The first
    /// heart beat is due in the first slot after its interval.
    pub(super) fn new(config: &ServerConfig, slots: Slots, now: Moment, phase: f64) -> Self {
        Self {
            beat: config.heartbeat.map(|every| slots.next(now + every)),
            keepalive: config.ping_interval.map(|interval| {
                let share = (0.5 + phase / 2.0) as f32;
                Keepalive {
                    share,
                    asked: None,
                    check: now + interval.mul_f64(share.into()),
                }
            }),
            progress_check: now + PROGRESS_TIMEOUT,
            leave: None,
            slots,
        }
    }

    /// Moment of the next call of [`due`](Self::due).
    pub(super) fn next(&self) -> Moment {
        let checks = match &self.keepalive {
            Some(keepalive) => keepalive.check.min(self.progress_check),
            None => self.progress_check,
        };
        [self.beat, self.leave]
            .into_iter()
            .flatten()
            .fold(self.slots.next(checks), Moment::min)
    }

    /// The next thing that is due by `now`, if any. To be called until nothing is due.
    pub(super) fn due(
        &mut self,
        now: Moment,
        activity: Activity,
        config: &ServerConfig,
    ) -> Option<Due> {
        if self.leave.is_some_and(|at| at <= now) {
            return Some(Due::Leave);
        }
        if self.progress_check <= now {
            let patience = activity.heard_at + PROGRESS_TIMEOUT;
            match activity.is_mid_message {
                true if patience <= now => return Some(Due::Stuck),
                true => self.progress_check = patience,
                false => self.progress_check = now + PROGRESS_TIMEOUT,
            }
        }
        let early = self.early(now, config);
        if let Some(keepalive) = &mut self.keepalive {
            if activity.is_mid_message {
                keepalive.put_off(now, config);
            } else if let Some(due) = keepalive.due(now, early, activity.heard_at, config) {
                return Some(due);
            }
        }
        (self.beat? <= now).then_some(Due::Beat)
    }

    /// Time by which a Ping may come early: that to the next heart beat, if one is due by `now`,
    /// because both go out in one write. An interval of heart beats that is long, measured by that
    /// of Pings, does not count.
    fn early(&self, now: Moment, config: &ServerConfig) -> Duration {
        match (self.beat, config.heartbeat, config.ping_interval) {
            (Some(at), Some(every), Some(interval)) if at <= now && every <= interval / 4 => every,
            _ => Duration::ZERO,
        }
    }

    /// Goes on in these slots, with the heart beats of another configuration.
    pub(super) fn change(
        &mut self,
        slots: Slots,
        before: &ServerConfig,
        config: &ServerConfig,
        now: Moment,
    ) {
        self.slots = slots;
        if before.heartbeat != config.heartbeat {
            self.beat = config.heartbeat.map(|every| slots.next(now + every));
        }
    }

    /// Moves the next heart beat to the first of its moments after `now`. Those that are due already
    /// are skipped: the session keeps its slot, so that sessions that were late together do not
    /// beat together from then on.
    pub(super) fn skip_beats(&mut self, now: Moment, config: &ServerConfig) {
        if let (Some(at), Some(every)) = (&mut self.beat, config.heartbeat)
            && *at <= now
        {
            *at = at.next_after(now, every);
        }
    }

    /// Sets this session's time in the drain, `share` of the way through `window`. Later calls do
    /// nothing.
    pub(super) fn leave(&mut self, window: Window, share: f64) {
        self.leave.get_or_insert(window.at(share).into());
    }
}

impl Keepalive {
    /// Postpones the check, because a peer cannot answer a Ping in the middle of a frame. Silence
    /// before a Ping will count from the end of the message, after `now`.
    fn put_off(&mut self, now: Moment, config: &ServerConfig) {
        if self.check <= now
            && let Some(interval) = config.ping_interval
        {
            self.check = now + interval.mul_f64(self.share.into());
        }
    }

    /// A Ping, up to `early` before its time, or the end of the wait for an answer.
    fn due(
        &mut self,
        now: Moment,
        early: Duration,
        heard_at: Moment,
        config: &ServerConfig,
    ) -> Option<Due> {
        let soon = now + early;
        if self.check > soon {
            return None;
        }
        if self.asked.is_some_and(|asked| heard_at >= asked) {
            self.asked = None;
            self.share = 1.0;
        }
        let (deadline, due) = match self.asked {
            Some(asked) => (asked + config.ping_timeout, Due::Dead),
            None => {
                let silence = config.ping_interval?.mul_f64(self.share.into());
                (heard_at + silence, Due::Ping)
            }
        };
        let is_due = deadline <= now || due == Due::Ping && deadline < soon;
        if !is_due {
            self.check = deadline;
            return None;
        }
        if due == Due::Ping {
            self.asked = Some(now);
            // Once the Ping is answered, the next may be due before the timeout of this one.
            let next = config.ping_interval?.min(config.ping_timeout);
            self.check = now + next;
        }
        Some(due)
    }
}

#[cfg(test)]
mod tests;
