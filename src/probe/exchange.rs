//! A message and its echo, a Ping and its Pong.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::cut::Cut;
use super::frames::Incoming;
use super::session::{Event, Session};
use crate::ws::frames::{FIN, TEXT};

/// A way to find out whether a connection still carries anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Liveness {
    /// A message comes back.
    Echo,
    /// A Ping is answered.
    Ping,
    /// Neither.
    None,
}

impl Liveness {
    pub(super) fn of(echoes: bool, answers_pings: bool) -> Self {
        match (echoes, answers_pings) {
            (true, _) => Self::Echo,
            (false, true) => Self::Ping,
            (false, false) => Self::None,
        }
    }
}

/// Reasons for which an answer is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lost {
    /// It did not come in time. So many other messages did.
    Missing(u32),
    /// It came, and differs from what was sent.
    Changed(&'static str),
    Cut(Cut),
    /// There was no connection, for this reason.
    NoConnection(String),
}

impl Lost {
    /// The end of the connection, or the silence on it.
    pub(super) fn into_cut(self) -> Cut {
        match self {
            Self::Cut(cut) => cut,
            Self::Missing(_) | Self::Changed(_) | Self::NoConnection(_) => Cut::SILENCE,
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(0) => f.write_str("nothing came back"),
            Self::Missing(others) => write!(f, "it did not come back ({others} others came)"),
            Self::Changed(how) => write!(f, "it came back {how}"),
            Self::Cut(cut) => write!(f, "the connection ended: {cut}"),
            Self::NoConnection(reason) => write!(f, "there was no connection: {reason}"),
        }
    }
}

/// An echo, with the time that it took.
#[derive(Debug)]
pub(super) struct Echo {
    pub(super) message: Incoming,
    pub(super) time: Duration,
}

/// Sends what is queued, and waits until this message comes back. Others, such as heart beats, are
/// passed over.
pub(super) async fn await_echo(
    session: &mut Session,
    opcode: u8,
    payload: &[u8],
    patience: Duration,
) -> Result<Echo, Lost> {
    let begun = Instant::now();
    let mut others = 0;
    loop {
        let message = match session.next_by(begun + patience).await {
            Some(Event::Message(message)) => message,
            Some(Event::Ping | Event::Pong(_)) => continue,
            Some(Event::Cut(cut)) => return Err(Lost::Cut(cut)),
            None => return Err(given_up(session, others)),
        };
        match difference(&message, opcode, payload) {
            Some("") => {
                let time = begun.elapsed();
                return Ok(Echo { message, time });
            }
            Some(how) => return Err(Lost::Changed(how)),
            None => others += 1,
        }
    }
}

/// The loss when time is over: a Close may have come, and TCP not have ended.
fn given_up(session: &Session, others: u32) -> Lost {
    match session.close() {
        Some(close) => Lost::Cut(Cut {
            close: Some(close.clone()),
            ..Cut::SILENCE
        }),
        None => Lost::Missing(others),
    }
}

/// The way in which a message differs from its original: empty if it does not, and `None` if it is
/// another message. Those of a probe begin with its marker.
fn difference(message: &Incoming, opcode: u8, payload: &[u8]) -> Option<&'static str> {
    let start = payload.len().min(MARKER);
    let is_same = message.payload == payload;
    match message.payload.get(..start) == Some(&payload[..start]) {
        _ if is_same && message.opcode == opcode => Some(""),
        _ if is_same && message.opcode == TEXT => Some("as text"),
        _ if is_same => Some("as binary"),
        true if start == MARKER && message.payload.len() < payload.len() => Some("shorter"),
        true if start == MARKER && message.payload.len() > payload.len() => Some("longer"),
        true if start == MARKER => Some("changed"),
        _ => None,
    }
}

/// Bytes by which a message of the probe is known.
const MARKER: usize = "echobeat probe 01234567".len();

/// Sends a text message, and waits for its echo.
pub(super) async fn echo_text(
    session: &mut Session,
    text: &str,
    patience: Duration,
) -> Result<Echo, Lost> {
    session.queue(FIN | TEXT, text.as_bytes());
    await_echo(session, TEXT, text.as_bytes(), patience).await
}

/// Sends a Ping, and waits for its Pong. Returns the time that it took.
pub(super) async fn ping(
    session: &mut Session,
    payload: &str,
    patience: Duration,
) -> Result<Duration, Lost> {
    let begun = Instant::now();
    session.queue_ping(payload.as_bytes());
    loop {
        match session.next_by(begun + patience).await {
            Some(Event::Pong(pong)) if pong == payload.as_bytes() => return Ok(begun.elapsed()),
            Some(Event::Cut(cut)) => return Err(Lost::Cut(cut)),
            Some(_) => {}
            None => return Err(given_up(session, 0)),
        }
    }
}

/// Finds out whether the connection still carries anything, and returns the time that an answer
/// took. Where there are no answers, nothing is sent.
pub(super) async fn ask(
    session: &mut Session,
    liveness: Liveness,
    text: &str,
    patience: Duration,
) -> Result<Duration, Lost> {
    match liveness {
        Liveness::Echo => {
            let echo = echo_text(session, text, patience).await?;
            Ok(echo.time)
        }
        Liveness::Ping => ping(session, text, patience).await,
        Liveness::None => Ok(Duration::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_the_same_or_changed_and_others_are_neither() {
        let sent = b"echobeat probe 01234567 and more";
        let differs = |opcode, payload: &'static [u8]| {
            let message = Incoming {
                opcode,
                payload: payload.into(),
                frames: 1,
                is_compressed: false,
            };
            difference(&message, TEXT, sent)
        };
        assert_eq!(differs(TEXT, sent), Some(""));
        assert_eq!(differs(2, sent), Some("as binary"));
        assert_eq!(differs(TEXT, &sent[..30]), Some("shorter"));
        assert_eq!(
            differs(TEXT, b"echobeat probe 01234567 and MORE"),
            Some("changed")
        );
        assert_eq!(differs(TEXT, b"heart beat"), None);
        assert_eq!(differs(TEXT, b"echobeat probe 76543210 and more"), None);
    }
}
