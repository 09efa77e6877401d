//! Connections with different silences, all at once, and the bisection between those that last and
//! those that do not.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::CutConnection;
use super::silence::{Outcome, Silence};
use crate::probe::Probe;
use crate::probe::cut::Cut;
use crate::probe::exchange::Liveness;
use crate::probe::report::{Report, shown};
use crate::probe::session::Arrivals;

/// Connections that are silent at the same time.
const CONNECTIONS: u32 = 8;

/// Rounds of bisection. Each divides what is left by the number of connections and one.
const ROUNDS: usize = 3;

/// Part of the limit to which it is found, if nothing tells when a connection is lost.
const PRECISION: u32 = 20;

/// Longest time between cuts of connections that one timeout cuts: this, and a part of it.
const TOGETHER: Duration = Duration::from_millis(500);

/// Outcome of all silences.
#[derive(Debug)]
pub(super) struct Limit {
    /// Time after which connections are cut, if a cut was seen.
    pub(super) cut_after: Option<Duration>,
    /// Longest silence after which a connection still carried messages.
    pub(super) passes: Duration,
    /// Shortest silence after which it did not.
    pub(super) fails: Option<Duration>,
    pub(super) cut: Option<Cut>,
    /// Name of the connection that was cut first.
    id: Option<String>,
    /// Reason for which there was no connection for some silence.
    pub(super) refused: Option<String>,
    /// Begin of the longest silence, with what came in it.
    pub(super) begun: Instant,
    pub(super) pings: Arrivals,
    pub(super) messages: Arrivals,
    pub(super) silences: Vec<Silence>,
}

impl Limit {
    fn new(silences: Vec<Silence>) -> Self {
        let mut limit = Self {
            cut_after: None,
            passes: Duration::ZERO,
            fails: None,
            cut: None,
            id: None,
            refused: None,
            begun: Instant::now(),
            pings: Arrivals::default(),
            messages: Arrivals::default(),
            silences: Vec::new(),
        };
        for silence in silences {
            limit.add(silence);
        }
        limit
    }

    fn add(&mut self, silence: Silence) {
        let planned = silence.planned;
        match &silence.outcome {
            Outcome::Open => self.passes = self.passes.max(planned),
            Outcome::Cut(after, cut) if self.cut_after.is_none_or(|other| *after < other) => {
                self.cut_after = Some(*after);
                (self.cut, self.id) = (Some(cut.clone()), silence.id.clone());
            }
            Outcome::Lost(cut) if self.fails.is_none_or(|other| planned < other) => {
                self.fails = Some(planned);
                (self.cut, self.id) = (Some(cut.clone()), silence.id.clone());
            }
            Outcome::None(reason) => self.refused = Some(reason.clone()),
            Outcome::Cut(..) | Outcome::Lost(_) => {}
        }
        let known = self.pings.count + self.messages.count;
        if silence.pings.count + silence.messages.count > known {
            self.begun = silence.begun;
            (self.pings, self.messages) = (silence.pings, silence.messages);
        }
        self.silences.push(silence);
    }

    /// The silences of the next round: none if the limit is known well enough.
    fn between(&self) -> Vec<Duration> {
        let Some(fails) = self.fails.filter(|_| self.cut_after.is_none()) else {
            return Vec::new();
        };
        let left = fails.saturating_sub(self.passes);
        match left <= fails / PRECISION {
            true => Vec::new(),
            false => (1..=CONNECTIONS)
                .map(|n| self.passes + left * n / (CONNECTIONS + 1))
                .collect(),
        }
    }

    /// The longest silence that is known to be too long.
    pub(super) fn too_long(&self) -> Option<Duration> {
        self.cut_after.or(self.fails)
    }

    pub(super) fn cut_connection(&self) -> Option<CutConnection> {
        Some(CutConnection {
            id: self.id.clone(),
            after: self.too_long()?,
            cut: self.cut.clone()?,
        })
    }
}

impl Probe {
    /// Finds the silence after which connections are cut or lost, up to `most`.
    pub(super) async fn find_idle_limit(
        &self,
        report: &Report,
        liveness: Liveness,
        most: Duration,
    ) -> Limit {
        let first: Vec<_> = (0..CONNECTIONS).map(|n| most / 2_u32.pow(n)).collect();
        let longest = shown(most);
        report.progress(&format!(
            "idle: {CONNECTIONS} connections, silent for up to {longest}"
        ));
        let mut limit = Limit::new(self.round(liveness, &first).await);
        for _ in 0..ROUNDS {
            let between = limit.between();
            let (Some(least), Some(most)) = (between.first(), between.last()) else {
                break;
            };
            let (least, most) = (shown(*least), shown(*most));
            report.progress(&format!("idle: silent for {least} to {most}"));
            for silence in self.round(liveness, &between).await {
                limit.add(silence);
            }
        }
        limit
    }

    /// Is silent on several connections at once. Once one is cut, those that are cut with it are
    /// waited for; once one is lost, those that are silent for longer are not.
    async fn round(&self, liveness: Liveness, planned: &[Duration]) -> Vec<Silence> {
        let silences = planned.iter();
        let mut running: FuturesUnordered<_> = silences
            .map(|planned| self.stay_silent(liveness, *planned))
            .collect();
        let mut done = Vec::new();
        let mut end = None;
        loop {
            let silence = tokio::select! {
                silence = running.next() => silence,
                () = until(end) => None,
            };
            let Some(silence) = silence else {
                return done;
            };
            match silence.outcome {
                Outcome::Cut(after, _) => {
                    let together = Instant::now() + TOGETHER + after / 10;
                    end.get_or_insert(together);
                }
                Outcome::Lost(_) => end = Some(Instant::now()),
                Outcome::Open | Outcome::None(_) => {}
            }
            done.push(silence);
        }
    }
}

/// Waits until a moment, or for ever.
async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silence(millis: u64, outcome: Outcome) -> Silence {
        Silence {
            planned: Duration::from_millis(millis),
            outcome,
            begun: Instant::now(),
            pings: Arrivals::default(),
            messages: Arrivals::default(),
            id: None,
        }
    }

    #[test]
    fn the_next_round_is_between_what_lasts_and_what_does_not() {
        let lost = || Outcome::Lost(Cut::SILENCE);
        let mut limit = Limit::new(vec![
            silence(1_000, Outcome::Open),
            silence(2_800, lost()),
            silence(2_000, Outcome::Open),
        ]);
        let between = limit.between();
        assert_eq!(between.len(), CONNECTIONS as usize);
        assert!(between[0] > Duration::from_millis(2_000));
        assert!(between[7] < Duration::from_millis(2_800));
        limit.add(silence(2_090, lost()));
        assert!(limit.between().is_empty());
    }

    #[test]
    fn a_cut_that_was_seen_needs_no_bisection() {
        let after = Duration::from_millis(1_500);
        let limit = Limit::new(vec![
            silence(1_000, Outcome::Open),
            silence(2_000, Outcome::Cut(after, Cut::SILENCE)),
        ]);
        assert!(limit.between().is_empty());
        assert_eq!(limit.too_long(), Some(after));
    }
}
