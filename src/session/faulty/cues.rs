//! The cues: what a scenario does at a time of its own.

use std::time::Duration;

use tokio::time::Instant;

use crate::scenario::{Bad, Burst, Closing, Scenario, Step, When};
use crate::ws::close::Parting;

/// What is done at a cue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    Say(String),
    Close(Closing),
    Fin,
    Rst,
    Deaf,
    Stall,
    Burst(Burst),
    Bad(Bad),
}

/// Acts that are not done yet, in the order in which they were written.
#[derive(Debug)]
pub(super) struct Cues {
    start: Instant,
    acts: Vec<(When, Act)>,
}

impl Cues {
    /// The cues of a session that began at `start`.
    pub(super) fn new(scenario: &Scenario, start: Instant) -> Self {
        let acts = scenario.steps().filter_map(|step| {
            Some(match step {
                // Without a time it is the text of the heart beat.
                Step::Say(text, when) if *when != When::Start => (*when, Act::Say(text.clone())),
                Step::Close(closing, when) => (*when, Act::Close(closing.clone())),
                Step::Fin(when) => (*when, Act::Fin),
                Step::Rst(when) => (*when, Act::Rst),
                Step::Deaf(when) => (*when, Act::Deaf),
                Step::Stall(when) => (*when, Act::Stall),
                Step::Burst(burst, when) => (*when, Act::Burst(*burst)),
                Step::Bad(bad, when) => (*when, Act::Bad(*bad)),
                _ => return None,
            })
        });
        let acts = acts.collect();
        Self { start, acts }
    }

    /// The next act whose time has come by `now`.
    pub(super) fn timed(&mut self, now: Instant) -> Option<Act> {
        let passed = now - self.start;
        let acts = self.acts.iter().enumerate();
        let due = acts.filter_map(|(n, (when, _))| Some((after(*when)?, n)));
        let (time, first) = due.min()?;
        (time <= passed).then(|| self.acts.remove(first).1)
    }

    /// The next act that is due once `messages` were received and answered.
    pub(super) fn counted(&mut self, messages: u64) -> Option<Act> {
        let is_due = |when: &When| match when {
            When::Start => true,
            When::After(_) => false,
            When::Messages(count) => *count <= messages,
        };
        let first = self.acts.iter().position(|(when, _)| is_due(when))?;
        Some(self.acts.remove(first).1)
    }

    /// When the next [timed](Self::timed) act is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let times = self.acts.iter().filter_map(|(when, _)| after(*when));
        times.min().map(|time| self.start + time)
    }

    /// When the next act is due that needs no frames: an end of TCP.
    pub(super) fn cut(&self) -> Option<(Instant, Parting)> {
        let cuts = self.acts.iter().filter_map(|(when, act)| {
            let parting = match act {
                Act::Fin => Parting::Linger,
                Act::Rst => Parting::Reset,
                _ => return None,
            };
            Some((self.start + after(*when)?, parting))
        });
        cuts.min_by_key(|(at, _)| *at)
    }
}

fn after(when: When) -> Option<Duration> {
    match when {
        When::After(time) => Some(time),
        When::Start | When::Messages(_) => None,
    }
}
