//! Checks of one connection each.
//!
//! | room | purpose |
//! |---|---|
//! | [`handshakes`] | status, headers, subprotocol, HTTP/2 |
//! | [`messages`] | text, binary, fragments, compression, Close |
//! | [`round_trips`] | echo, round trips, Ping |

mod handshakes;
mod messages;
mod round_trips;

use tokio::time::Instant;

use super::session::Session;
use super::{OpenError, Probe};
use crate::config::Check;
use crate::probe::report::Finding;

/// Close code of a session that is over (RFC 6455, section 7.4.1).
const NORMAL: u16 = 1000;

impl Probe {
    /// A text that begins with the marker of this probe.
    pub(super) fn text(&self, rest: &str) -> String {
        format!("{} {rest}", self.marker)
    }

    /// A session without extensions, or the finding that there is none.
    pub(super) async fn open_for(&self, check: Check) -> Result<Session, Finding> {
        match self.open(false).await {
            Ok((session, _)) => Ok(session),
            Err(error) => Err(no_session(check, &error)),
        }
    }

    /// Ends a session in order. Nobody waits long for a far end that does not.
    pub(super) async fn leave(&self, mut session: Session) {
        session.queue_close(NORMAL, "");
        let patience = self.config.timeout.min(std::time::Duration::from_secs(1));
        session.end_by(Instant::now() + patience).await;
    }
}

/// The finding of a check that had no session.
pub(super) fn no_session(check: Check, error: &OpenError) -> Finding {
    Finding::fail(check, format!("there was no connection for it: {error}"))
}
