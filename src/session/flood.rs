//! Limit on control frames: each costs a wakeup, and a Ping also an answer, for hardly any bytes.

use std::time::Duration;

use crate::runtime::moment::Moment;

/// Control frames that may come in a burst.
pub(super) const BURST: u32 = 1_000;

/// Control frames that may come every second, without end.
pub(super) const RATE: u32 = 200;

/// Time after which one more frame may come.
const INTERVAL: Duration = Duration::from_secs(1).checked_div(RATE).expect("no zero");

/// A token bucket: [`BURST`] frames at once, then [`RATE`] a second. Its state is one moment, as in
/// the generic cell rate algorithm (ITU-T I.371).
#[derive(Debug)]
pub(super) struct ControlBudget {
    /// Moment at which the bucket will be full again.
    full_at: Moment,
}

impl ControlBudget {
    pub(super) fn new(now: Moment) -> Self {
        Self { full_at: now }
    }

    /// Takes a token, and returns whether there was one.
    pub(super) fn take(&mut self, now: Moment) -> bool {
        let full_at = self.full_at.max(now) + INTERVAL;
        let is_there = full_at.since(now) <= INTERVAL * BURST;
        if is_there {
            self.full_at = full_at;
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_the_rate() {
        let start = Moment::now();
        let mut budget = ControlBudget::new(start);
        assert_eq!((0..2_000).filter(|_| budget.take(start)).count(), 1_000);

        let later = start + Duration::from_secs(1);
        assert_eq!((0..2_000).filter(|_| budget.take(later)).count(), 200);

        let much_later = start + Duration::from_secs(3600);
        assert_eq!(
            (0..2_000).filter(|_| budget.take(much_later)).count(),
            1_000
        );
    }

    #[test]
    fn the_rate_can_be_kept_for_ever() {
        let start = Moment::now();
        let mut budget = ControlBudget::new(start);
        let token = Duration::from_secs(1) / RATE;
        assert!((0..10_000).all(|n| budget.take(start + token * n)));
    }
}
