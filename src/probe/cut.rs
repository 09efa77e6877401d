//! Ends of connections, as this side saw them.

use std::fmt;
use std::io::{self, ErrorKind};

use serde_json::{Value, json};

use crate::net::linger::PeerEnd;

/// A Close from the far end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Close {
    /// The code; `None` if it has none.
    pub(super) code: Option<u16>,
    pub(super) reason: String,
}

impl Close {
    /// Reads the payload of a Close (RFC 6455, section 5.5.1).
    pub(super) fn parse(payload: &[u8]) -> Self {
        match payload.split_first_chunk() {
            Some((code, reason)) => Self {
                code: Some(u16::from_be_bytes(*code)),
                reason: String::from_utf8_lossy(reason).into_owned(),
            },
            None => Self {
                code: None,
                reason: String::new(),
            },
        }
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "Close {code}")?,
            None => f.write_str("Close without a code")?,
        }
        match &self.reason[..] {
            "" => Ok(()),
            reason => write!(f, " ({reason:?})"),
        }
    }
}

/// The end of TCP, or of the stream over HTTP/2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TcpEnd {
    /// FIN, or END_STREAM.
    Fin,
    /// RST, or RST_STREAM.
    Rst,
    /// It did not come in time.
    Open,
    /// The operating system gave the connection up.
    Timeout,
    /// A frame broke the protocol, so that nothing more was read.
    Violation(&'static str),
    Other(String),
}

impl From<io::Error> for TcpEnd {
    fn from(error: io::Error) -> Self {
        match PeerEnd::by_error(&error) {
            Some(PeerEnd::Closed) => Self::Fin,
            Some(PeerEnd::Reset) => Self::Rst,
            Some(PeerEnd::Late) => Self::Timeout,
            None if error.kind() == ErrorKind::UnexpectedEof => Self::Fin,
            None => Self::Other(error.to_string()),
        }
    }
}

impl TcpEnd {
    /// The word of the report.
    fn word(&self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Open => "open",
            Self::Timeout => "timeout",
            Self::Violation(_) => "violation",
            Self::Other(_) => "error",
        }
    }
}

impl fmt::Display for TcpEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fin => f.write_str("FIN"),
            Self::Rst => f.write_str("RST"),
            Self::Open => f.write_str("silence"),
            Self::Timeout => f.write_str("a timeout of TCP"),
            Self::Violation(rule) => write!(f, "a breach of the protocol: {rule}"),
            Self::Other(error) => f.write_str(error),
        }
    }
}

/// The end of a connection by the far end, or by what lies between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) close: Option<Close>,
    pub(super) tcp: TcpEnd,
}

impl Cut {
    /// A connection on which nothing is answered any more.
    pub(super) const SILENCE: Self = Self {
        close: None,
        tcp: TcpEnd::Open,
    };

    pub(super) fn json(&self) -> Value {
        json!({
            "close": self.close.as_ref().map(|close| json!({
                "code": close.code,
                "reason": close.reason,
            })),
            "tcp": self.tcp.word(),
        })
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.close, &self.tcp) {
            (None, TcpEnd::Fin | TcpEnd::Rst) => write!(f, "{} without a Close", self.tcp),
            (None, tcp) => tcp.fmt(f),
            (Some(close), TcpEnd::Open) => close.fmt(f),
            (Some(close), tcp) => write!(f, "{close}, then {tcp}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_told_by_its_close_and_the_end_of_tcp() {
        let close = |payload: &[u8]| Some(Close::parse(payload));
        for (close, tcp, shown) in [
            (None, TcpEnd::Fin, "FIN without a Close"),
            (None, TcpEnd::Rst, "RST without a Close"),
            (None, TcpEnd::Open, "silence"),
            (close(b""), TcpEnd::Fin, "Close without a code, then FIN"),
            (close(b"\x0f\xa1bye"), TcpEnd::Open, "Close 4001 (\"bye\")"),
            (close(b"\x03\xe8"), TcpEnd::Rst, "Close 1000, then RST"),
        ] {
            assert_eq!(Cut { close, tcp }.to_string(), shown);
        }
    }

    #[test]
    fn errors_of_sockets_are_ends_of_tcp() {
        for (kind, end) in [
            (ErrorKind::ConnectionReset, TcpEnd::Rst),
            (ErrorKind::BrokenPipe, TcpEnd::Rst),
            (ErrorKind::UnexpectedEof, TcpEnd::Fin),
            (ErrorKind::TimedOut, TcpEnd::Timeout),
        ] {
            assert_eq!(TcpEnd::from(io::Error::from(kind)), end);
        }
    }
}
