//! One connection that is silent for a time, and asked then whether it still carries anything.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::probe::Probe;
use crate::probe::cut::{Cut, TcpEnd};
use crate::probe::exchange::{Liveness, ask};
use crate::probe::report::seconds;
use crate::probe::session::{Arrivals, Event, Session};

/// Outcome of a silence.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// The connection carries messages after it; or it was not cut, where nothing is answered.
    Open,
    /// It was cut in the silence, after this time.
    Cut(Duration, Cut),
    /// It was not cut, and carries nothing any more.
    Lost(Cut),
    /// There was no connection, for this reason.
    None(String),
}

/// A connection that was silent.
#[derive(Debug, Clone)]
pub(super) struct Silence {
    /// Time for which it was to be silent.
    pub(super) planned: Duration,
    pub(super) outcome: Outcome,
    /// Moment at which the silence began.
    pub(super) begun: Instant,
    pub(super) pings: Arrivals,
    pub(super) messages: Arrivals,
    /// Name of the connection at the far end.
    pub(super) id: Option<String>,
}

impl Silence {
    pub(super) fn json(&self) -> Value {
        let (outcome, after) = match &self.outcome {
            Outcome::Open => ("open", None),
            Outcome::Cut(after, _) => ("cut", Some(*after)),
            Outcome::Lost(_) => ("lost", None),
            Outcome::None(_) => ("none", None),
        };
        json!({
            "silence_s": seconds(self.planned),
            "outcome": outcome,
            "cut_after_s": after.map(seconds),
            "id": self.id,
        })
    }

    /// One for which there was no connection.
    fn none(planned: Duration, reason: String) -> Self {
        Self {
            planned,
            outcome: Outcome::None(reason),
            begun: Instant::now(),
            pings: Arrivals::default(),
            messages: Arrivals::default(),
            id: None,
        }
    }

    fn of(session: &Session, planned: Duration, begun: Instant, outcome: Outcome) -> Self {
        Self {
            planned,
            outcome,
            begun,
            pings: session.pings,
            messages: session.messages,
            id: session.id.clone(),
        }
    }
}

/// Waits for the end of a connection up to a moment, and passes over what comes. Returns the time
/// from `begun` until it ended, and how.
pub(super) async fn watch(
    session: &mut Session,
    begun: Instant,
    end: Instant,
) -> Option<(Duration, Cut)> {
    let cut = loop {
        match session.next_by(end).await {
            Some(Event::Cut(cut)) => break cut,
            Some(_) => {}
            None => {
                break Cut {
                    close: Some(session.close()?.clone()),
                    tcp: TcpEnd::Open,
                };
            }
        }
    };
    // TCP may end later than the Close says that the connection is over.
    let ended = session.closed_at().unwrap_or_else(Instant::now);
    Some((ended.saturating_duration_since(begun), cut))
}

impl Probe {
    /// Opens a connection and asks it once, so that its timers begin anew. Returns the moment of
    /// that.
    ///
    /// # Errors
    /// When there is no connection, in words.
    pub(super) async fn begin_silence(
        &self,
        liveness: Liveness,
    ) -> Result<(Session, Instant), String> {
        let opened = self.open(false).await;
        let (mut session, _) = opened.map_err(|error| error.to_string())?;
        // From before the question on, so that no timeout seems shorter than it is.
        let begun = Instant::now();
        let text = self.text("before the silence");
        let asked = ask(&mut session, liveness, &text, self.config.timeout).await;
        asked.map_err(|lost| format!("the first message was sent, and {lost}"))?;
        (session.pings, session.messages) = Default::default();
        Ok((session, begun))
    }

    /// Is silent for a time, and asks the connection then.
    pub(super) async fn stay_silent(&self, liveness: Liveness, planned: Duration) -> Silence {
        let (mut session, begun) = match self.begin_silence(liveness).await {
            Ok(begun) => begun,
            Err(reason) => return Silence::none(planned, reason),
        };
        let cut = watch(&mut session, begun, begun + planned).await;
        let (pings, messages) = (session.pings, session.messages);
        let outcome = match cut {
            Some((after, cut)) => Outcome::Cut(after, cut),
            None => self.ask_after(&mut session, liveness).await,
        };
        let silence = Silence {
            pings,
            messages,
            ..Silence::of(&session, planned, begun, outcome)
        };
        if matches!(silence.outcome, Outcome::Open) {
            self.leave(session).await;
        }
        silence
    }

    async fn ask_after(&self, session: &mut Session, liveness: Liveness) -> Outcome {
        let text = self.text("after the silence");
        match ask(session, liveness, &text, self.config.timeout).await {
            Ok(_) => Outcome::Open,
            Err(lost) => Outcome::Lost(lost.into_cut()),
        }
    }

    /// Leaves Pings unanswered until the connection is cut, or for `most`; or until `silent` says
    /// that nothing more is to come, if no Ping has come.
    pub(super) async fn leave_pings(&self, most: Duration, silent: &Notify) -> Option<Silence> {
        let (mut session, begun) = self.begin_silence(Liveness::None).await.ok()?;
        session.answers_pings = false;
        let end = begun + most;
        let stopped = {
            let watching = watch(&mut session, begun, end);
            tokio::pin!(watching);
            tokio::select! {
                cut = &mut watching => Ok(cut),
                () = silent.notified() => Err(()),
            }
        };
        let cut = match stopped {
            Ok(cut) => cut,
            Err(()) if session.pings.count == 0 => None,
            Err(()) => watch(&mut session, begun, end).await,
        };
        let outcome = match cut {
            Some((after, cut)) => Outcome::Cut(after, cut),
            None => Outcome::Open,
        };
        let silence = Silence::of(&session, most, begun, outcome);
        if matches!(silence.outcome, Outcome::Open) {
            self.leave(session).await;
        }
        Some(silence)
    }
}
