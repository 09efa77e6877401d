//! Errors of a test server.

use std::io;
use std::time::Duration;

use humantime::format_duration;

use crate::serve::accept::StartError;

/// Error of a [`TestServer`](super::TestServer), or of something that a test waits for in vain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The thread of a [blocking](super::blocking) server does not start.
    #[error("the thread of the server did not start: {0}")]
    Thread(io::Error),
    /// The deadline has passed.
    #[error("waited {} for {wanted}: {found}", format_duration(*deadline))]
    Deadline {
        /// The deadline.
        deadline: Duration,
        /// Thing that was waited for.
        wanted: String,
        /// State of the server when the deadline passed, in words.
        found: String,
    },
    /// The session has ended before the message that was waited for.
    #[error("connection {id} has no message {}, for it has ended ({end})", returned + 1)]
    Ended {
        /// Name of the connection.
        id: String,
        /// Number of its messages that were returned.
        returned: usize,
        /// The end of its session, in words.
        end: String,
    },
    /// The session is over, so that nothing more can be sent.
    #[error("connection {id} is not open any more ({end})")]
    NotOpen {
        /// Name of the connection.
        id: String,
        /// The end of its session, in words.
        end: String,
    },
    /// Messages are not kept, because there are too many, or they are too large.
    #[error("messages of connection {id} are not kept ({records}): they are too many or too large")]
    NotKept {
        /// Name of the connection.
        id: String,
        /// Number of the messages, control frames and echoes among them.
        records: u64,
    },
    /// The connection of this name is closed, and not kept any more.
    #[error("connection {0} is not kept any more")]
    Forgotten(String),
    /// The connection of this name has too many messages that were pushed and not sent yet.
    #[error("connection {0} has not taken what was pushed before: its client does not read")]
    Full(String),
    /// A code that may not be sent in a Close.
    #[error("a close code is 1000 to 1003, 1007 to 1014, or 3000 to 4999, and not {0}")]
    CloseCode(u16),
    /// A reason of this many bytes does not fit into a Close.
    #[error("the reason of a Close has at most 123 bytes, and not {0}")]
    CloseReason(usize),
}
