//! Checks of answers: whether messages come back, how long they take, and Pings.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::no_session;
use crate::config::{Check, Quantity};
use crate::probe::Probe;
use crate::probe::exchange::{Liveness, Lost, ask, echo_text, ping};
use crate::probe::report::{Finding, milliseconds, shown};

/// Round trips that are measured.
const ROUND_TRIPS: usize = 20;

impl Probe {
    /// Whether the far end sends messages back.
    pub(in crate::probe) async fn check_echo(&self) -> (Finding, bool) {
        let mut session = match self.open_for(Check::Echo).await {
            Ok(session) => session,
            Err(finding) => return (finding, false),
        };
        let echo = echo_text(&mut session, &self.text("echo"), self.config.timeout).await;
        self.leave(session).await;
        match echo {
            Ok(_) => (Finding::pass(Check::Echo, "a message comes back"), true),
            Err(lost) => {
                let detail = format!("a message was sent, and {lost}");
                (Finding::fail(Check::Echo, detail), false)
            }
        }
    }

    /// Whether a Ping is answered.
    pub(in crate::probe) async fn check_ping(&self) -> (Finding, bool) {
        let mut session = match self.open_for(Check::Ping).await {
            Ok(session) => session,
            Err(finding) => return (finding, false),
        };
        let answered = ping(&mut session, &self.text("ping"), self.config.timeout).await;
        self.leave(session).await;
        match answered {
            Ok(time) => {
                let detail = format!("answered in {}", shown(time));
                let data = json!({ "ms": milliseconds(time) });
                (Finding::pass(Check::Ping, detail).with(data), true)
            }
            Err(Lost::Cut(cut)) => {
                let detail = format!("the connection ended: {cut}");
                let data = json!({ "cut": cut.json() });
                (Finding::fail(Check::Ping, detail).with(data), false)
            }
            Err(_) => {
                let limit = humantime::format_duration(self.config.timeout);
                let detail = format!("no Pong within {limit}");
                (Finding::fail(Check::Ping, detail), false)
            }
        }
    }

    /// Time from a message to its echo, or from a Ping to its Pong.
    pub(in crate::probe) async fn check_round_trip(&self, liveness: Liveness) -> Finding {
        let check = Check::RoundTrip;
        let what = match liveness {
            Liveness::Echo => "messages",
            Liveness::Ping => "Pings",
            Liveness::None => {
                let reason = "neither messages nor Pings are answered";
                return Finding::skipped(check, reason);
            }
        };
        let mut session = match self.open(false).await {
            Ok((session, _)) => session,
            Err(error) => return no_session(check, &error),
        };
        let end = Instant::now() + 2 * self.config.timeout;
        let mut times = Vec::with_capacity(ROUND_TRIPS);
        while times.len() < ROUND_TRIPS && Instant::now() < end {
            let text = self.text(&format!("round trip {}", times.len()));
            match ask(&mut session, liveness, &text, self.config.timeout).await {
                Ok(time) => times.push(time),
                Err(lost) => {
                    let detail = format!("after {} {what}: {lost}", times.len());
                    return Finding::fail(check, detail);
                }
            }
        }
        self.leave(session).await;
        describe(what, &mut times)
    }
}

fn describe(what: &str, times: &mut [Duration]) -> Finding {
    times.sort_unstable();
    let (Some(&least), Some(&most)) = (times.first(), times.last()) else {
        return Finding::skipped(Check::RoundTrip, "there was no time for it");
    };
    let median = times[times.len() / 2];
    let (least_shown, median_shown, most_shown) = (shown(least), shown(median), shown(most));
    let detail = format!(
        "median {median_shown} (from {least_shown} to {most_shown}) of {} {what}",
        times.len()
    );
    Finding::pass(Check::RoundTrip, detail)
        .measuring(Quantity::Time(median))
        .with(json!({
            "by": what.to_lowercase(),
            "count": times.len(),
            "min_ms": milliseconds(least),
            "median_ms": milliseconds(median),
            "max_ms": milliseconds(most),
        }))
}
