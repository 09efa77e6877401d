//! The triggers: actions of a scenario, each at a time of its own.

use std::time::Duration;

use tokio::time::Instant;

use crate::scenario::{Bad, Burst, Closing, Scenario, Step, When};
use crate::ws::close::Teardown;

/// Action of a step when its time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Say(String),
    Close(Closing),
    Fin,
    Rst,
    Deaf,
    Stall,
    Burst(Burst),
    Bad(Bad),
}

/// Actions that are not done yet, in the order in which they were written.
#[derive(Debug)]
pub(crate) struct Triggers {
    start: Instant,
    /// Messages that were received and answered before.
    before: u64,
    actions: Vec<(When, Action)>,
}

impl Triggers {
    /// The triggers of a session that began at `start`.
    pub(crate) fn new(scenario: &Scenario, start: Instant) -> Self {
        let actions = scenario.steps().filter_map(|step| {
            Some(match step {
                // Without a time, `say` is the text of the heart beat.
                Step::Say(text, when) if *when != When::Start => (*when, Action::Say(text.clone())),
                Step::Close(closing, when) => (*when, Action::Close(closing.clone())),
                Step::Fin(when) => (*when, Action::Fin),
                Step::Rst(when) => (*when, Action::Rst),
                Step::Deaf(when) => (*when, Action::Deaf),
                Step::Stall(when) => (*when, Action::Stall),
                Step::Burst(burst, when) => (*when, Action::Burst(*burst)),
                Step::Bad(bad, when) => (*when, Action::Bad(*bad)),
                _ => return None,
            })
        });
        let actions = actions.collect();
        Self {
            start,
            before: 0,
            actions,
        }
    }

    /// The triggers of a session that changes at `now`, after so many messages.
    pub(super) fn from_now_on(scenario: &Scenario, now: Instant, messages: u64) -> Self {
        Self {
            before: messages,
            ..Self::new(scenario, now)
        }
    }

    /// Takes the next action whose time has come by `now`.
    pub(crate) fn timed(&mut self, now: Instant) -> Option<Action> {
        let passed = now - self.start;
        let actions = self.actions.iter().enumerate();
        let due = actions.filter_map(|(n, (when, _))| Some((after(*when)?, n)));
        let (time, first) = due.min()?;
        (time <= passed).then(|| self.actions.remove(first).1)
    }

    /// Takes the next action that is due once this many `messages` were received and answered.
    pub(crate) fn counted(&mut self, messages: u64) -> Option<Action> {
        let is_due = |when: &When| match when {
            When::Start => true,
            When::After(_) => false,
            When::Messages(count) => *count <= messages.saturating_sub(self.before),
        };
        let first = self.actions.iter().position(|(when, _)| is_due(when))?;
        Some(self.actions.remove(first).1)
    }

    /// Moment at which the next [timed](Self::timed) action is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        let times = self.actions.iter().filter_map(|(when, _)| after(*when));
        times.min().map(|time| self.start + time)
    }

    /// Moment and kind of the next end of TCP that is due at a time: it needs no frames.
    pub(super) fn cut(&self) -> Option<(Instant, Teardown)> {
        let cuts = self.actions.iter().filter_map(|(when, action)| {
            let teardown = match action {
                Action::Fin => Teardown::Linger,
                Action::Rst => Teardown::Reset,
                _ => return None,
            };
            Some((self.start + after(*when)?, teardown))
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
