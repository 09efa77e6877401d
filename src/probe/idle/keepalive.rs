//! Connections that are kept open by Pings from here, or by messages.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::rounds::Limit;
use super::silence::watch;
use crate::config::Check;
use crate::probe::Probe;
use crate::probe::cut::Cut;
use crate::probe::exchange::{Liveness, ask};
use crate::probe::report::{Finding, Report, seconds, shown};
use crate::probe::session::Session;
use crate::ws::frames::{FIN, TEXT};

/// Number of Pings or messages that are sent. The last is followed by another interval.
const BEATS: u32 = 3;

/// The interval as a part of the idle timeout, in hundredths. So a connection that is kept open
/// lasts 1.6 times as long as one that is not.
const INTERVAL: u32 = 40;

/// A way to keep a connection open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beat {
    Ping,
    Message,
}

impl Beat {
    fn check(self) -> Check {
        match self {
            Self::Ping => Check::KeepalivePing,
            Self::Message => Check::KeepaliveData,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ping => "a Ping",
            Self::Message => "a message",
        }
    }
}

impl Probe {
    /// Whether Pings, and messages, keep a connection open for longer than silence does.
    pub(super) async fn check_keepalive(
        &self,
        report: &Report,
        liveness: Liveness,
        limit: &Limit,
        most: Duration,
    ) -> [Finding; 2] {
        let Some(limit) = limit.too_long() else {
            let reason = format!("no silence was too long, up to {}", shown(most));
            return [Beat::Ping, Beat::Message]
                .map(|beat| Finding::skipped(beat.check(), reason.clone()));
        };
        let interval = limit * INTERVAL / 100;
        let total = shown(interval * (BEATS + 1));
        report.progress(&format!("keepalive: Pings and messages for {total}"));
        tokio::join!(
            self.keep_open(Beat::Ping, interval, liveness),
            self.keep_open(Beat::Message, interval, liveness),
        )
        .into()
    }

    async fn keep_open(&self, beat: Beat, interval: Duration, liveness: Liveness) -> Finding {
        let check = beat.check();
        let (mut session, begun) = match self.begin_silence(liveness).await {
            Ok(begun) => begun,
            Err(reason) => {
                return Finding::fail(check, format!("there was no connection for it: {reason}"));
            }
        };
        let cut = self.send_beats(&mut session, begun, beat, interval).await;
        let cut = match cut {
            None => self.ask_at_end(&mut session, begun, liveness).await,
            cut => cut,
        };
        let (every, total) = (shown(interval), shown(interval * (BEATS + 1)));
        let (finding, cut_after) = match &cut {
            None => {
                self.leave(session).await;
                let detail = format!("{} every {every} keeps it open, for {total}", beat.word());
                (Finding::pass(check, detail), None)
            }
            Some((after, cut)) => {
                let (word, after_shown) = (beat.word(), shown(*after));
                let detail = format!("{word} every {every}, and after {after_shown}: {cut}");
                (Finding::fail(check, detail), Some(*after))
            }
        };
        finding.with(json!({
            "interval_s": seconds(interval),
            "cut_after_s": cut_after.map(seconds),
            "cut": cut.map(|(_, cut)| cut.json()),
        }))
    }

    async fn send_beats(
        &self,
        session: &mut Session,
        begun: Instant,
        beat: Beat,
        interval: Duration,
    ) -> Option<(Duration, Cut)> {
        for n in 1..=BEATS + 1 {
            if let Some(cut) = watch(session, begun, begun + interval * n).await {
                return Some(cut);
            }
            let text = self.text(&format!("beat {n}"));
            match beat {
                _ if n > BEATS => {}
                Beat::Ping => session.queue_ping(text.as_bytes()),
                Beat::Message => session.queue(FIN | TEXT, text.as_bytes()),
            }
        }
        None
    }

    async fn ask_at_end(
        &self,
        session: &mut Session,
        begun: Instant,
        liveness: Liveness,
    ) -> Option<(Duration, Cut)> {
        let text = self.text("at the end");
        let asked = ask(session, liveness, &text, self.config.timeout).await;
        asked.err().map(|lost| (begun.elapsed(), lost.into_cut()))
    }
}
