//! The largest message that passes, found by bisection.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::exchange::{Lost, await_echo};
use super::report::{Finding, Report};
use super::session::Session;
use super::{NO_ECHO, Probe};
use crate::config::{Check, Quantity};
use crate::ws::frames::{BINARY, FIN};

/// Time for all sizes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Bytes for which a second is added to the time for an answer.
const BYTES_A_SECOND: usize = 1 << 20;

/// Ratio of two sizes from which the one between is their geometric mean.
const FAR: usize = 4;

/// Size from which on the search begins.
const SMALL: usize = 64;

/// A search for the largest size that passes.
struct Search {
    /// A size that passes.
    passes: usize,
    /// A size that does not.
    fails: usize,
    /// The way in which the latter was lost.
    lost: Lost,
}

impl Search {
    /// The next size to try, unless the largest is found.
    fn next(&self) -> Option<usize> {
        let least = self.passes.max(SMALL);
        match self.fails - self.passes {
            0 | 1 => None,
            _ if self.fails > FAR * least => {
                let between = (least as f64 * self.fails as f64).sqrt() as usize;
                Some(between)
            }
            _ => Some(self.passes.midpoint(self.fails)),
        }
    }
}

impl Probe {
    /// The size of the largest message that passes, up to the largest that is tried.
    pub(super) async fn check_size(&self, report: &Report, echoes: bool) -> Finding {
        if !echoes {
            return Finding::skipped(Check::Size, NO_ECHO);
        }
        let most = self.config.max_message;
        let mut session = None;
        let lost = match self.try_size(&mut session, most).await {
            Ok(()) => {
                let detail = format!("{most} bytes pass, the most that was tried");
                return Finding::pass(Check::Size, detail)
                    .measuring(Quantity::Bytes(most as u64))
                    .with(json!({ "passes": most, "fails": null }));
            }
            Err(lost) => lost,
        };
        let mut search = Search {
            passes: 0,
            fails: most,
            lost,
        };
        let end = Instant::now() + PATIENCE;
        while let Some(size) = search.next().filter(|_| Instant::now() < end) {
            report.progress(&format!("size: {size} bytes"));
            match self.try_size(&mut session, size).await {
                Ok(()) => search.passes = size,
                Err(lost) => (search.fails, search.lost) = (size, lost),
            }
        }
        if let Some(session) = session {
            self.leave(session).await;
        }
        search.into_finding()
    }

    /// Sends a message of this size, over the session or a new one, and waits until it is back.
    async fn try_size(&self, session: &mut Option<Session>, size: usize) -> Result<(), Lost> {
        let mut open = match session.take() {
            Some(open) => open,
            None => match self.open(false).await {
                Ok((open, _)) => open,
                Err(error) => return Err(Lost::NoConnection(error.to_string())),
            },
        };
        let mut payload = self.text("").into_bytes();
        payload.resize(size, b'.');
        open.queue(FIN | BINARY, &payload);
        let more = Duration::from_secs((size / BYTES_A_SECOND) as u64);
        let patience = self.config.timeout + more;
        await_echo(&mut open, BINARY, &payload, patience).await?;
        *session = Some(open);
        Ok(())
    }
}

impl Search {
    fn into_finding(self) -> Finding {
        let Self {
            passes,
            fails,
            lost,
        } = self;
        let detail = match fails - passes {
            1 => format!("{passes} bytes pass, and {fails} do not: {lost}"),
            _ => format!(
                "{passes} bytes pass, and {fails} do not: {lost}; there was no time to say more"
            ),
        };
        let cut = match lost {
            Lost::Cut(cut) => Some(cut.json()),
            Lost::Missing(_) | Lost::Changed(_) | Lost::NoConnection(_) => None,
        };
        Finding::new(Check::Size, super::report::Verdict::Limited, detail)
            .measuring(Quantity::Bytes(passes as u64))
            .with(json!({ "passes": passes, "fails": fails, "cut": cut }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_limit_is_found_in_few_steps() {
        for limit in [0, 1, 63, 64, 125, 65_535, 65_536, 1 << 20, (16 << 20) - 1] {
            let mut search = Search {
                passes: 0,
                fails: 16 << 20,
                lost: Lost::Missing(0),
            };
            let mut steps = 0;
            while let Some(size) = search.next() {
                assert!((search.passes + 1..search.fails).contains(&size), "{limit}");
                match size <= limit {
                    true => search.passes = size,
                    false => search.fails = size,
                }
                steps += 1;
            }
            assert_eq!(search.passes, limit);
            assert!(steps <= 30, "{limit}: {steps} steps");
        }
    }
}
