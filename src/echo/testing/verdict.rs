//! The verdict on a connection that has ended.

use std::fmt;

use crate::registry::connection::{self, Status};
use crate::registry::record::{CloseContent, Direction};

/// Verdict on a connection that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// The log's word for the end: `closed` if the client began to close, `api` if the test closed
    /// or cut the connection, `eof` if the client ended TCP without a Close, `lost` if it reset TCP,
    /// and so on.
    pub why: String,
    /// The end as a sentence.
    pub reason: String,
    /// The close code of the connection (RFC 6455, section 7.1.5): 1005 for a Close without a code,
    /// 1006 without a Close.
    pub code: u16,
    /// Whether both sides sent Close.
    pub clean: bool,
    /// The side that sent Close first, if any did.
    pub first_close: Option<Side>,
    /// The Close that came from the client.
    pub received_close: Option<Close>,
    /// The Close that went to the client.
    pub sent_close: Option<Close>,
    /// Way in which TCP ended, if that is known.
    pub tcp: Option<TcpEnd>,
}

/// A side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Side {
    /// The client, which is tested.
    Client,
    /// The test server.
    Server,
}

/// Code and reason of a Close.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Close {
    /// `None`: there was none, or one that may not be sent.
    pub code: Option<u16>,
    /// Empty, if there was none.
    pub reason: String,
}

/// Way in which TCP ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TcpEnd {
    /// In order.
    Fin,
    /// With a reset, by this side.
    Rst(Side),
    /// With a client that was waited for in vain.
    Timeout,
}

impl From<Status> for Verdict {
    fn from(status: Status) -> Self {
        let (why, reason, code, clean) = match status.end {
            Some(end) => (end.why.to_owned(), end.reason, end.code, end.is_clean),
            None => {
                let reason = "client left before the answer to its upgrade";
                ("lost".to_owned(), reason.to_owned(), 1006, false)
            }
        };
        Self {
            why,
            reason,
            code,
            clean,
            first_close: status.closes.first.map(|direction| match direction {
                Direction::In => Side::Client,
                Direction::Out => Side::Server,
            }),
            received_close: status.closes.received.map(Close::from),
            sent_close: status.closes.sent.map(Close::from),
            tcp: status.tcp.map(TcpEnd::from),
        }
    }
}

impl From<CloseContent> for Close {
    fn from(CloseContent { code, reason }: CloseContent) -> Self {
        Self { code, reason }
    }
}

impl From<connection::TcpEnd> for TcpEnd {
    fn from(tcp: connection::TcpEnd) -> Self {
        match tcp {
            connection::TcpEnd::Fin => Self::Fin,
            connection::TcpEnd::Rst(connection::Side::Peer) => Self::Rst(Side::Client),
            connection::TcpEnd::Rst(connection::Side::Server) => Self::Rst(Side::Server),
            connection::TcpEnd::Timeout => Self::Timeout,
        }
    }
}

/// The end as a sentence, with its word and its code.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            why, reason, code, ..
        } = self;
        write!(f, "{why}: {reason} ({code})")
    }
}
