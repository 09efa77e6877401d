//! A limit on control frames. Each costs a wakeup, and a Ping an answer, for next to no bytes.

use std::time::Duration;

use tokio::time::Instant;

use crate::moment::Moment;

/// Control frames that may come at once.
pub(super) const BURST: u32 = 1_000;

/// Control frames a second that may come for ever.
pub(super) const RATE: u32 = 200;

/// A token bucket: [`BURST`] frames at once, then [`RATE`] a second.
#[derive(Debug)]
pub(super) struct ControlBudget {
    left: u32,
    refilled_at: Moment,
}

impl ControlBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            refilled_at: now.into(),
        }
    }

    /// Takes a frame's worth, and says whether it was there.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.left == 0 {
            self.refill(now);
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => return false,
        }
        true
    }

    /// Adds whole tokens alone, and moves the clock on by what those took.
    fn refill(&mut self, now: Instant) {
        let token = Duration::from_secs(1) / RATE;
        let refilled_at = Instant::from(self.refilled_at);
        let earned = (now - refilled_at).as_nanos() / token.as_nanos();
        if earned >= u128::from(BURST) {
            self.left = BURST;
            self.refilled_at = now.into();
        } else {
            self.left = earned as u32;
            self.refilled_at = (refilled_at + token * self.left).into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let start = Instant::now();
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
        let start = Instant::now();
        let mut budget = ControlBudget::new(start);
        let token = Duration::from_secs(1) / RATE;
        assert!((0..10_000).all(|n| budget.take(start + token * n)));
    }
}
