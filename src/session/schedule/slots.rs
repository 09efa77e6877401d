//! Slots: moments that are common to all sessions of the process.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::config::ServerConfig;
use crate::runtime::moment::Moment;

/// Slots in an interval, at least.
const IN_AN_INTERVAL: u32 = 64;

/// The longest time between two slots. Sessions without an interval have it.
const LONGEST: Duration = Duration::from_millis(50);

/// Moments at which sessions wake. An interval of heart beats is a whole number of slots, to a few
/// nanoseconds, so that sessions whose slot is the same beat together as long as they live.
///
/// A thread that woke for one or two of 8,000 sessions at a time took 43.6 µs for each heart beat,
/// and with slots of 46.9 ms 10.6 (benches/README.md).
#[derive(Debug, Clone, Copy)]
pub(in crate::session) struct Slots {
    /// Nanoseconds from one slot to the next.
    length: NonZeroU64,
}

impl Slots {
    /// Slots for sessions with these settings.
    pub(in crate::session) fn of(config: &ServerConfig) -> Self {
        let (heartbeat, ping_interval) = (config.heartbeat, config.ping_interval);
        let part = |interval: Duration| interval / IN_AN_INTERVAL;
        let longest = [heartbeat, ping_interval].into_iter().flatten().map(part);
        let longest = longest
            .fold(LONGEST, Duration::min)
            .max(Duration::from_nanos(1));
        let interval = heartbeat.unwrap_or(longest);
        let count = interval.as_nanos().div_ceil(longest.as_nanos()).max(1);
        let length = u64::try_from(interval.as_nanos() / count).unwrap_or(u64::MAX);
        Self {
            length: NonZeroU64::new(length).unwrap_or(NonZeroU64::MIN),
        }
    }

    /// Slots so short that nothing waits for one.
    pub(in crate::session) fn exact() -> Self {
        let length = NonZeroU64::MIN;
        Self { length }
    }

    /// The first slot that is not before `moment`.
    pub(super) fn next(self, moment: Moment) -> Moment {
        moment.round_up(self.length)
    }
}
