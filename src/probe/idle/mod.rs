//! Silence: when a connection is cut, how, and what keeps it open.
//!
//! | room | purpose |
//! |---|---|
//! | [`silence`] | one connection that is silent for a time, and asked then |
//! | [`rounds`] | several at once, and the bisection between those that last and those that do not |
//! | [`keepalive`] | connections that are kept open by Pings, or by messages |

mod keepalive;
mod rounds;
mod silence;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Probe;
use super::cut::Cut;
use super::exchange::Liveness;
use super::report::{Finding, Report, Verdict, seconds, shown};
use super::session::Arrivals;
use crate::config::{Check, Quantity};
use rounds::Limit;
use silence::{Outcome, Silence};

/// Checks that silence is needed for.
const CHECKS: [Check; 5] = [
    Check::Idle,
    Check::KeepalivePing,
    Check::KeepaliveData,
    Check::PingFromThere,
    Check::UnansweredPing,
];

/// A connection that was cut in its silence, for the far end to be asked about.
#[derive(Debug, Clone)]
pub(super) struct CutConnection {
    pub(super) id: Option<String>,
    pub(super) after: Duration,
    pub(super) cut: Cut,
}

impl Probe {
    /// Makes all checks of silence, and returns a connection that was cut.
    pub(super) async fn check_silence(
        &self,
        report: &Report,
        liveness: Liveness,
    ) -> Option<CutConnection> {
        let Some(most) = self.config.max_idle else {
            for check in CHECKS {
                report.add(Finding::skipped(check, "--max-idle is off"));
            }
            return None;
        };
        let silent = Notify::new();
        let rounds = async {
            let limit = self.find_idle_limit(report, liveness, most).await;
            silent.notify_one();
            limit
        };
        let (limit, unanswered) = tokio::join!(rounds, self.leave_pings(most, &silent));
        report.add(limit.finding(liveness, most));
        for finding in self.check_keepalive(report, liveness, &limit, most).await {
            report.add(finding);
        }
        report.add(limit.pings_from_there(most));
        report.add(unanswered_ping(unanswered.as_ref(), most));
        limit.cut_connection()
    }
}

impl Limit {
    /// The finding of the check `idle`.
    fn finding(&self, liveness: Liveness, most: Duration) -> Finding {
        let finding = match (self.cut_after, self.fails) {
            (Some(after), _) => {
                let detail = format!("cut after {} of silence: {}", shown(after), self.how());
                limited(detail, after)
            }
            (None, Some(fails)) => {
                let (lasts, lost) = (shown(self.passes), shown(fails));
                let detail = format!(
                    "lost between {lasts} and {lost} of silence, and nothing tells of it: {}",
                    self.how()
                );
                limited(detail, self.passes)
            }
            (None, None) => self.finding_without_cut(liveness, most),
        };
        finding.with(self.json())
    }

    /// The finding where no connection was cut or lost.
    fn finding_without_cut(&self, liveness: Liveness, most: Duration) -> Finding {
        let check = Check::Idle;
        match &self.refused {
            Some(reason) if self.passes.is_zero() => {
                Finding::fail(check, format!("there was no connection for it: {reason}"))
            }
            Some(reason) if self.passes < most => {
                let passes = shown(self.passes);
                let detail =
                    format!("open after {passes}; there were no more connections: {reason}");
                limited(detail, self.passes)
            }
            _ if liveness == Liveness::None => {
                let most = shown(most);
                let detail = format!(
                    "not cut within {most}, and whether it still carries anything cannot be known: \
                     neither messages nor Pings are answered"
                );
                Finding::skipped(check, detail)
            }
            _ => {
                let detail = format!("open after {}{}", shown(most), self.not_silent());
                Finding::pass(check, detail).measuring(Quantity::Time(most))
            }
        }
    }

    /// Pings and messages that came in the silence, and so may have kept the connection open.
    fn not_silent(&self) -> String {
        let pings = counted(self.pings.count, "Ping");
        let messages = counted(self.messages.count, "message");
        match (self.pings.count, self.messages.count) {
            (0, 0) => String::new(),
            (_, 0) => format!(", but the far end sent {pings}"),
            (0, _) => format!(", but the far end sent {messages}"),
            (_, _) => format!(", but the far end sent {pings} and {messages}"),
        }
    }

    /// The way in which connections are cut.
    fn how(&self) -> String {
        let cut = self.cut.as_ref();
        cut.map_or_else(|| "nothing is answered".to_owned(), Cut::to_string)
    }

    fn json(&self) -> Value {
        let silences: Vec<_> = self.silences.iter().map(Silence::json).collect();
        json!({
            "cut_after_s": self.cut_after.map(seconds),
            "passes_s": seconds(self.passes),
            "fails_s": self.fails.map(seconds),
            "cut": self.cut.as_ref().map(Cut::json),
            "pings_from_there": arrivals(&self.pings, self.begun),
            "messages_from_there": arrivals(&self.messages, self.begun),
            "connections": silences,
        })
    }

    /// The finding about Pings from the far end.
    fn pings_from_there(&self, most: Duration) -> Finding {
        let check = Check::PingFromThere;
        let silence = self.cut_after.or(self.fails).unwrap_or(most);
        let Some(interval) = self.pings.interval(self.begun) else {
            let detail = format!("no Ping came within {}", shown(silence));
            return Finding::skipped(check, detail);
        };
        let every = shown(interval);
        let finding = match self.cut_after.or(self.fails) {
            Some(limit) => {
                let limit = shown(limit);
                let detail = format!("one every {every}, and cut after {limit} all the same");
                Finding::fail(check, detail)
            }
            None => Finding::pass(check, format!("one every {every} keeps it open")),
        };
        finding.with(json!({ "interval_s": seconds(interval), "count": self.pings.count }))
    }
}

/// A finding of the check `idle`, with the longest silence that passes.
fn limited(detail: String, passes: Duration) -> Finding {
    Finding::new(Check::Idle, Verdict::Limited, detail).measuring(Quantity::Time(passes))
}

/// The finding about a connection that left Pings unanswered.
fn unanswered_ping(silence: Option<&Silence>, most: Duration) -> Finding {
    let check = Check::UnansweredPing;
    let Some(silence) = silence.filter(|silence| silence.pings.count > 0) else {
        return Finding::skipped(check, "no Ping came that could be left unanswered");
    };
    let pings = counted(silence.pings.count, "Ping");
    match &silence.outcome {
        Outcome::Cut(after, cut) => {
            let after_shown = shown(*after);
            let detail = format!("cut after {after_shown} and {pings}: {cut}");
            Finding::new(check, Verdict::Limited, detail)
                .with(json!({ "cut_after_s": seconds(*after), "cut": cut.json() }))
        }
        _ => {
            let detail = format!("not cut within {}, with {pings}", shown(most));
            Finding::pass(check, detail)
        }
    }
}

/// A number of things, with their noun.
fn counted(count: u32, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn arrivals(arrivals: &Arrivals, begun: Instant) -> Value {
    json!({
        "count": arrivals.count,
        "interval_s": arrivals.interval(begun).map(seconds),
    })
}
