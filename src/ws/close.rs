//! Ends of sessions: one table from an end to the Close frame that is sent, the word for it in the
//! log, and the way in which TCP is ended.

use std::error;
use std::io::{self, ErrorKind};

use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::net::linger::PeerEnd;
use crate::net::transport::Hangup;
use crate::ws::frames::Endless;

/// Reason why a session ended. Its text is the reason in our Close frame and in the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    /// The peer sent Close, with a code and a reason if it gave any.
    #[error("peer sent Close{}", said(.0.as_ref()))]
    Closed(Option<CloseFrame>),
    /// The peer sent Close with a code that may not be sent, and was answered with 1002.
    #[error("illegal close code")]
    IllegalCode,
    /// The peer broke the protocol.
    #[error("{0}")]
    Protocol(ProtocolError),
    /// The peer sent text, or a close reason, that is not UTF-8.
    #[error("text must be UTF-8")]
    NotUtf8,
    /// The peer sent a compressed message that cannot be decompressed.
    #[error("message does not decompress")]
    NotDeflate,
    /// The peer sent a message larger than this limit in bytes.
    #[error("message over {0} bytes")]
    TooBig(usize),
    /// The peer sent too many control frames or fragments.
    #[error("{0}")]
    Flood(&'static str),
    /// The peer began a message and did not continue it.
    #[error("message without progress")]
    Stuck,
    /// The session was dropped before its end, as happens to those that outlast a drain.
    #[error("cut by the shutdown")]
    Cut,
    /// The server is draining.
    #[error("server is shutting down")]
    Drained,
    /// The peer did not answer a Ping.
    #[error("no answer to Ping")]
    Dead,
    /// The peer took none of the bytes that were sent.
    #[error("peer does not read")]
    Stalled,
    /// The peer ended TCP without a Close.
    #[error("peer hung up without Close")]
    Eof,
    /// The connection failed.
    #[error("{0}")]
    Lost(io::Error),
    /// This step of a scenario ended the session, with this close code.
    #[error("asked for by the step {0}")]
    Fault(&'static str, u16),
    /// A request of the API closed the session with this Close.
    #[error("{}", api_reason(.0))]
    ApiClose(CloseFrame),
    /// A request of the API ended TCP without a Close.
    #[error("cut through the API")]
    ApiCut(Teardown),
}

/// The longest reason of a Close (RFC 6455, section 5.5): a control frame has 125 bytes, of which
/// the code takes two.
pub(crate) const MAX_REASON: usize = 123;

/// Whether a Close may be sent with this code (RFC 6455, section 7.4).
pub(crate) fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// All words that [`End::word`] returns.
pub(crate) const WORDS: [&str; 14] = [
    "closed",
    "protocol",
    "not-utf8",
    "not-deflate",
    "too-big",
    "flood",
    "stuck",
    "drained",
    "dead",
    "stalled",
    "eof",
    "lost",
    "fault",
    "api",
];

/// Way to end TCP once the last byte is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Teardown {
    /// Shut down the write side, and read on for a while: dropping a socket with unread input sends
    /// a reset, which can destroy the Close on its way.
    Linger,
    /// Drop the socket: there is no peer to wait for.
    Drop,
    /// Reset the connection: unsent bytes are discarded.
    Reset,
}

impl End {
    /// The word for it in log and metrics.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Closed(_) => "closed",
            Self::Protocol(_) | Self::IllegalCode => "protocol",
            Self::NotUtf8 => "not-utf8",
            Self::NotDeflate => "not-deflate",
            Self::TooBig(_) => "too-big",
            Self::Flood(_) => "flood",
            Self::Stuck => "stuck",
            Self::Drained | Self::Cut => "drained",
            Self::Dead => "dead",
            Self::Stalled => "stalled",
            Self::Eof => "eof",
            Self::Lost(_) => "lost",
            Self::Fault(..) => "fault",
            Self::ApiClose(_) | Self::ApiCut(_) => "api",
        }
    }

    /// The end that follows from the peer's Close.
    pub(crate) fn by_peer(frame: Option<CloseFrame>) -> Self {
        // The frame by which tungstenite replaces, and answers, a code that may not be sent.
        let illegal = |frame: &CloseFrame| {
            frame.code == CloseCode::Protocol && frame.reason.as_str() == "Protocol violation"
        };
        if frame.as_ref().is_some_and(illegal) {
            Self::IllegalCode
        } else {
            Self::Closed(frame)
        }
    }

    /// The Close frame that tells the peer of this end, if we are to send one.
    pub(crate) fn close_frame(&self) -> Option<CloseFrame> {
        let code = match self {
            Self::Protocol(_) => CloseCode::Protocol,
            Self::NotUtf8 | Self::NotDeflate => CloseCode::Invalid,
            Self::TooBig(_) => CloseCode::Size,
            Self::Flood(_) | Self::Stuck => CloseCode::Policy,
            Self::Drained => CloseCode::Away,
            Self::Dead => CloseCode::Error,
            Self::ApiClose(frame) => return Some(frame.clone()),
            Self::Closed(_) | Self::IllegalCode => return None,
            Self::Cut | Self::Stalled | Self::Eof | Self::Lost(_) => return None,
            Self::Fault(..) | Self::ApiCut(_) => return None,
        };
        let reason = self.to_string().into();
        Some(CloseFrame { code, reason })
    }

    /// The close code of the connection (RFC 6455, section 7.1.5): the peer's or ours, 1005 for a
    /// Close without a code, 1006 without a Close.
    pub(crate) fn code(&self) -> u16 {
        let code = match self {
            Self::Closed(Some(frame)) => frame.code,
            Self::Closed(None) => CloseCode::Status,
            Self::IllegalCode => CloseCode::Protocol,
            Self::Fault(_, code) => return *code,
            _ => self
                .close_frame()
                .map_or(CloseCode::Abnormal, |frame| frame.code),
        };
        code.into()
    }

    /// The way in which the peer ended TCP, if this end tells of it.
    pub(crate) fn peer_end(&self) -> Option<PeerEnd> {
        match self {
            Self::Eof => Some(PeerEnd::Closed),
            Self::Dead => Some(PeerEnd::Late),
            Self::Lost(error) => PeerEnd::by_error(error),
            _ => None,
        }
    }

    /// The way to end TCP after this end.
    pub(crate) fn teardown(&self) -> Teardown {
        match self {
            Self::Dead | Self::Lost(_) | Self::Cut => Teardown::Drop,
            Self::Stalled => Teardown::Reset,
            Self::ApiCut(teardown) => *teardown,
            _ => Teardown::Linger,
        }
    }
}

impl From<Hangup> for End {
    fn from(hangup: Hangup) -> Self {
        match hangup {
            Hangup::HalfClosed | Hangup::Closed => Self::Eof,
            Hangup::Reset => Self::Lost(ErrorKind::ConnectionReset.into()),
        }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Error::Io(error).into()
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => Self::Closed(None),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Eof,
            Error::Protocol(error) => Self::Protocol(error),
            Error::Utf8(_) => Self::NotUtf8,
            Error::Capacity(CapacityError::MessageTooLong { max_size, .. }) => {
                Self::TooBig(max_size)
            }
            // The error of rustls when TCP ends without a close_notify.
            Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => Self::Eof,
            Error::Io(error) if is::<Endless>(&error) => Self::Flood("fragments without end"),
            Error::Io(error) if is::<NotDeflate>(&error) => Self::NotDeflate,
            Error::Io(error) => Self::Lost(error),
            other => Self::Lost(io::Error::other(other)),
        }
    }
}

/// The reason in a peer's Close, quoted because it may contain anything.
fn said(frame: Option<&CloseFrame>) -> String {
    match frame.map(|frame| frame.reason.as_str()) {
        None | Some("") => String::new(),
        Some(reason) => format!(": {reason:?}"),
    }
}

/// The reason of a Close that was asked for, quoted because it may contain anything.
fn api_reason(frame: &CloseFrame) -> String {
    match frame.reason.as_str() {
        "" => "closed through the API".to_owned(),
        reason => format!("closed through the API: {reason:?}"),
    }
}

fn is<E: error::Error + 'static>(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<E>())
}

/// Error of a compressed message that cannot be decompressed.
#[derive(Debug, thiserror::Error)]
#[error("the message does not decompress")]
pub(crate) struct NotDeflate;

impl From<NotDeflate> for Error {
    fn from(error: NotDeflate) -> Self {
        Self::Io(io::Error::other(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_code_and_word() {
        let frame = |code: u16, reason: &'static str| CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        let lost = || io::Error::from(ErrorKind::ConnectionReset);
        let endless = io::Error::other(Endless::default());
        for (end, code, word) in [
            (End::by_peer(Some(frame(1000, "so long"))), 1000, "closed"),
            (End::by_peer(Some(frame(1002, "no"))), 1002, "closed"),
            (
                End::by_peer(Some(frame(1002, "Protocol violation"))),
                1002,
                "protocol",
            ),
            (End::by_peer(None), 1005, "closed"),
            (
                Error::Protocol(ProtocolError::NonZeroReservedBits).into(),
                1002,
                "protocol",
            ),
            (Error::Utf8(String::new()).into(), 1007, "not-utf8"),
            (Error::from(NotDeflate).into(), 1007, "not-deflate"),
            (
                Error::Capacity(CapacityError::MessageTooLong {
                    size: 2,
                    max_size: 1,
                })
                .into(),
                1009,
                "too-big",
            ),
            (Error::Io(endless).into(), 1008, "flood"),
            (End::Stuck, 1008, "stuck"),
            (End::Drained, 1001, "drained"),
            (End::Cut, 1006, "drained"),
            (End::Dead, 1011, "dead"),
            (End::Stalled, 1006, "stalled"),
            (
                Error::Protocol(ProtocolError::ResetWithoutClosingHandshake).into(),
                1006,
                "eof",
            ),
            (
                io::Error::from(ErrorKind::UnexpectedEof).into(),
                1006,
                "eof",
            ),
            (Error::Io(lost()).into(), 1006, "lost"),
            (End::Fault("close", 4001), 4001, "fault"),
            (End::ApiClose(frame(4002, "bye")), 4002, "api"),
            (End::ApiCut(Teardown::Reset), 1006, "api"),
        ] {
            assert_eq!((end.code(), end.word()), (code, word), "{end:?}");
            assert!(WORDS.contains(&word), "{word}");
        }
    }

    #[test]
    fn a_peers_reason_cannot_break_a_log_line() {
        let end = End::by_peer(Some(CloseFrame {
            code: CloseCode::Normal,
            reason: "a\nb\x1b[0m".into(),
        }));
        assert_eq!(end.to_string(), r#"peer sent Close: "a\nb\u{1b}[0m""#);
    }

    #[test]
    fn the_longest_reasons_fit_a_control_frame() {
        use tokio_tungstenite::tungstenite::protocol::frame::coding::Data;
        for end in [
            End::Protocol(ProtocolError::ControlFrameTooBig),
            End::Protocol(ProtocolError::ExpectedFragment(Data::Reserved(7))),
            End::TooBig(usize::MAX),
        ] {
            let reason = end.close_frame().unwrap().reason;
            // 125 bytes, of which two are the code (RFC 6455, section 5.5).
            assert!(reason.len() <= 123, "{reason}");
        }
    }
}
