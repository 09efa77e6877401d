//! Expectations of a probe: the names of its checks, and bounds of what it measures.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

/// A check of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Check {
    /// The handshake succeeds.
    Handshake,
    /// A WebSocket can be had over HTTP/2 (RFC 8441).
    Http2,
    /// A subprotocol that was offered is selected.
    Subprotocol,
    /// The far end sends messages back.
    Echo,
    /// Time from a message to its echo.
    RoundTrip,
    /// A Ping is answered.
    Ping,
    /// A text message passes unchanged.
    Text,
    /// A binary message passes unchanged.
    Binary,
    /// A message in fragments passes unchanged.
    Fragments,
    /// A compressed message passes unchanged (RFC 7692).
    Deflate,
    /// A Close is answered with its code.
    Close,
    /// Size of the largest message that passes.
    Size,
    /// Silence after which a connection is cut.
    Idle,
    /// Pings from here keep a connection open.
    KeepalivePing,
    /// Messages keep a connection open.
    KeepaliveData,
    /// Pings from the far end keep a connection open.
    PingFromThere,
    /// A connection that does not answer Pings.
    UnansweredPing,
    /// The far end, asked by its API, saw what was seen here.
    FarEnd,
}

impl Check {
    /// All checks, in the order in which they are made.
    pub const ALL: [Self; 18] = [
        Self::Handshake,
        Self::Subprotocol,
        Self::Http2,
        Self::Echo,
        Self::RoundTrip,
        Self::Ping,
        Self::Text,
        Self::Binary,
        Self::Fragments,
        Self::Deflate,
        Self::Close,
        Self::Size,
        Self::Idle,
        Self::KeepalivePing,
        Self::KeepaliveData,
        Self::PingFromThere,
        Self::UnansweredPing,
        Self::FarEnd,
    ];

    /// The name, as `--expect` and the report have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Http2 => "h2",
            Self::Subprotocol => "subprotocol",
            Self::Echo => "echo",
            Self::RoundTrip => "round-trip",
            Self::Ping => "ping",
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Fragments => "fragments",
            Self::Deflate => "deflate",
            Self::Close => "close",
            Self::Size => "size",
            Self::Idle => "idle",
            Self::KeepalivePing => "keepalive-ping",
            Self::KeepaliveData => "keepalive-data",
            Self::PingFromThere => "ping-from-there",
            Self::UnansweredPing => "unanswered-ping",
            Self::FarEnd => "far-end",
        }
    }
}

/// A value that a check measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantity {
    /// A time.
    Time(Duration),
    /// A size in bytes.
    Bytes(u64),
}

impl Quantity {
    fn parse(check: Check, text: &str) -> Result<Self, ExpectationError> {
        match check {
            Check::Size => match text.parse::<ByteSize>() {
                Ok(size) => Ok(Self::Bytes(size.as_u64())),
                Err(_) => Err(ExpectationError::BadSize),
            },
            Check::Idle | Check::RoundTrip => match humantime::parse_duration(text) {
                Ok(time) => Ok(Self::Time(time)),
                Err(_) => Err(ExpectationError::BadTime),
            },
            _ => Err(ExpectationError::NoQuantity(check.name())),
        }
    }

    fn is_at_least(self, bound: Self) -> bool {
        match (self, bound) {
            (Self::Time(time), Self::Time(bound)) => time >= bound,
            (Self::Bytes(bytes), Self::Bytes(bound)) => bytes >= bound,
            _ => false,
        }
    }
}

/// Side of a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    AtLeast,
    AtMost,
}

/// An expectation: a check that passes, such as `ping`, or a bound of what it measures, such as
/// `idle>=60s`.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// The check that it is about.
    pub check: Check,
    bound: Option<(Bound, Quantity)>,
    text: String,
}

// A size or a time is never NaN.
impl Eq for Expectation {}

impl Expectation {
    /// Whether it asks for more than `most`, the largest value that the check can measure.
    #[must_use]
    pub fn exceeds(&self, most: Quantity) -> bool {
        matches!(self.bound, Some((Bound::AtLeast, bound)) if !most.is_at_least(bound))
    }

    /// Whether a result meets it: `is_passed` says whether the check passes, and `measured` what it
    /// has measured.
    #[must_use]
    pub fn is_met(&self, is_passed: bool, measured: Option<Quantity>) -> bool {
        match (self.bound, measured) {
            (None, _) => is_passed,
            (Some(_), None) => false,
            (Some((Bound::AtLeast, bound)), Some(measured)) => measured.is_at_least(bound),
            (Some((Bound::AtMost, bound)), Some(measured)) => bound.is_at_least(measured),
        }
    }
}

impl FromStr for Expectation {
    type Err = ExpectationError;

    fn from_str(text: &str) -> Result<Self, ExpectationError> {
        let split = |sign| text.split_once(sign);
        let (name, bound) = match (split(">="), split("<=")) {
            (Some((name, value)), _) => (name, Some((Bound::AtLeast, value))),
            (None, Some((name, value))) => (name, Some((Bound::AtMost, value))),
            (None, None) => (text, None),
        };
        let is_named = |check: &&Check| check.name() == name.trim();
        let check = *Check::ALL.iter().find(is_named).ok_or_else(unknown)?;
        let bound = match bound {
            None => None,
            Some((bound, value)) => Some((bound, Quantity::parse(check, value.trim())?)),
        };
        Ok(Self {
            check,
            bound,
            text: text.to_owned(),
        })
    }
}

fn unknown() -> ExpectationError {
    let names: Vec<_> = Check::ALL.iter().map(|check| check.name()).collect();
    ExpectationError::Unknown(names.join(", "))
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reasons for which a text is no [`Expectation`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpectationError {
    /// The text names no check.
    #[error("write one of {0}; idle>=60s, round-trip<=50ms and size>=1MiB have bounds")]
    Unknown(String),
    /// The check measures nothing.
    #[error("{0} passes or not: idle, round-trip and size alone have bounds")]
    NoQuantity(&'static str),
    /// The bound is no time.
    #[error("write a bound of time as 500ms, 60s or 5m")]
    BadTime,
    /// The bound is no size.
    #[error("write a bound of size as 64KiB, 1MiB or 65536")]
    BadSize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_is_a_check_or_a_bound_of_one() {
        let seconds = |seconds| Some(Quantity::Time(Duration::from_secs(seconds)));
        for (text, is_passed, measured, is_met) in [
            ("ping", true, None, true),
            ("ping", false, None, false),
            ("idle>=60s", false, seconds(60), true),
            ("idle>=60s", false, seconds(59), false),
            ("idle >= 1m", false, None, false),
            ("round-trip<=50ms", true, seconds(1), false),
            ("round-trip<=2s", true, seconds(1), true),
            ("size>=1MiB", false, Some(Quantity::Bytes(1 << 20)), true),
            ("size>=1MiB", false, Some(Quantity::Bytes(65_536)), false),
        ] {
            let expectation: Expectation = text.parse().unwrap();
            assert_eq!(expectation.is_met(is_passed, measured), is_met, "{text}");
            assert_eq!(expectation.to_string(), text);
        }
    }

    #[test]
    fn a_wrong_expectation_is_explained() {
        for (text, explained) in [
            ("pong", "write one of handshake,"),
            ("", "write one of handshake,"),
            ("idle=60s", "write one of handshake,"),
            ("ping>=1s", "ping passes or not"),
            ("idle>=much", "a bound of time"),
            ("size>=60s", "a bound of size"),
        ] {
            let error = text.parse::<Expectation>().unwrap_err().to_string();
            assert!(error.contains(explained), "{text}: {error}");
        }
    }
}
