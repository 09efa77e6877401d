//! Messages that are dropped, duplicated or reordered.

use std::time::Duration;

use super::{Scenario, Step};

/// Longest time for which a message waits for the next one, which is to come before it.
pub(crate) const REORDERED_WITHIN: Duration = Duration::from_secs(1);

/// Fate of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is passed on as usual.
    Pass,
    Drop,
    /// It is passed on twice.
    Duplicate,
    /// It is passed on after the next one.
    Reorder,
}

/// Percentages of the messages that are dropped, duplicated, and reordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fates {
    drop: u8,
    duplicate: u8,
    reorder: u8,
}

impl Fates {
    /// The percentages that the steps of a scenario name.
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let mut fates = Self::default();
        for step in scenario.steps() {
            match step {
                Step::Drop(percent) => fates.drop = *percent,
                Step::Duplicate(percent) => fates.duplicate = *percent,
                Step::Reorder(percent) => fates.reorder = *percent,
                _ => {}
            }
        }
        fates
    }

    /// Draws the fate of the next message.
    pub(crate) fn draw(self) -> Fate {
        let is_hit = |percent: u8| percent > 0 && rand::random_range(0..100) < percent;
        match () {
            () if is_hit(self.drop) => Fate::Drop,
            () if is_hit(self.duplicate) => Fate::Duplicate,
            () if is_hit(self.reorder) => Fate::Reorder,
            () => Fate::Pass,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_are_those_of_the_steps() {
        for (steps, fate) in [
            ("", Fate::Pass),
            ("drop:100%,duplicate,reorder", Fate::Drop),
            ("duplicate,reorder", Fate::Duplicate),
            ("reorder", Fate::Reorder),
        ] {
            let fates = Fates::of(&steps.parse().unwrap());
            assert_eq!(fates.draw(), fate, "{steps}");
        }
        let fates = Fates::of(&"drop:10%".parse().unwrap());
        let dropped = (0..2000).filter(|_| fates.draw() == Fate::Drop).count();
        assert!((80..=400).contains(&dropped), "{dropped}");
    }
}
