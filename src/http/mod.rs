//! HTTP/1.1 and HTTP/2 on a connection, whose requests a handler answers.
//!
//! | room | purpose |
//! |---|---|
//! | [`http1`] | HTTP/1.1, by hyper but for an upgrade that comes first |
//! | [`inbound`] | the stream that hyper reads, request by request |
//! | [`head`] | the head of a request: what is wrong with it, where its body ends, the request itself |
//! | [`forwarded`] | the client of a request, as proxies in front name it |
//! | [`progress`] | whether requests come and are answered |
//! | [`chunks`] | where a chunked body ends |
//! | [`http2`] | HTTP/2, by h2: many requests on a connection |
//! | [`preface`] | which of the two a cleartext connection speaks |
//! | [`redact`] | secrets of a request, redacted so that they can only be compared |
//! | [`refusal`] | refusals, before they are answers |
//! | [`response`] | answers of our own, and their bytes in HTTP/1.1 |
//! | [`body`] | bodies of answers: whole, or as they come |

pub(crate) mod body;
mod chunks;
pub(crate) mod forwarded;
pub(crate) mod head;
pub(crate) mod http1;
#[cfg_attr(not(feature = "http2"), path = "no_http2.rs")]
pub(crate) mod http2;
mod inbound;
pub(crate) mod preface;
pub(crate) mod progress;
pub(crate) mod redact;
mod refusal;
pub(crate) mod response;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::net::connection_info::ConnectionInfo;
use crate::telemetry::rejects::{Cause, Rejects};
pub(crate) use http2::{exchange, stream};
pub(crate) use refusal::Refusal;

/// Time that a connection without a session has left when the drain begins.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// Settings of one connection: its deadlines, its name in the log, and more.
pub(crate) struct HttpContext {
    pub(crate) info: ConnectionInfo,
    /// Moment by which the first head must have come.
    pub(crate) first_by: Instant,
    /// Time for a later head to come, and for an answer to be taken.
    pub(crate) patience: Duration,
    /// Time that an answer over HTTP/1.1 may make no progress; `None`: the stream sees to that.
    pub(crate) send_timeout: Option<Duration>,
    /// Whether requests of HTTP/1.1 keep their headers' names as they were written.
    pub(crate) preserves_case: bool,
    /// Counts of the connections that were turned away.
    pub(crate) rejects: Arc<Rejects>,
}

impl HttpContext {
    /// Notes that the client has left without a request: over TLS, some clients do so when they do
    /// not trust the certificate.
    fn note_silence(&self) {
        if self.info.tls.is_some() {
            let reason = "The client left after the TLS handshake, without a request: does it trust \
                the certificate?";
            self.rejects.note(self.info, Cause::Untrusted, reason);
        }
    }
}
