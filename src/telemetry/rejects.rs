//! Connections that are rejected before a request is understood. They are counted, and logged at a
//! limited rate, with a reason that says what to do.

use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info};

use crate::net::connection_info::ConnectionInfo;
use crate::runtime::counter::Counter;

/// Log lines of one cause that may be written in a burst.
const BURST: u32 = 10;

/// Time after which one more line may be written.
const PACE: Duration = Duration::from_secs(10);

/// Cause of a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// TLS on a port without it.
    TlsOnPlain,
    /// Something other than TLS on a port with it.
    PlainOnTls,
    /// A client that does not trust the certificate, or seems not to.
    Untrusted,
    /// A TLS handshake that fails for another reason.
    Tls,
    /// A TLS handshake with a fault that was asked for.
    TlsFault,
    /// HTTP/2 on a connection that does not support it.
    Http2,
    /// A header of the PROXY protocol.
    ProxyProtocol,
    /// A connection that should have begun with such a header.
    NoProxyProtocol,
    /// A protocol other than HTTP, or none.
    NotHttp,
    /// A request that cannot be parsed.
    BadRequest,
}

const CAUSES: [Cause; 10] = [
    Cause::TlsOnPlain,
    Cause::PlainOnTls,
    Cause::Untrusted,
    Cause::Tls,
    Cause::TlsFault,
    Cause::Http2,
    Cause::ProxyProtocol,
    Cause::NoProxyProtocol,
    Cause::NotHttp,
    Cause::BadRequest,
];

impl Cause {
    fn label(self) -> &'static str {
        match self {
            Self::TlsOnPlain => "tls_on_plain_port",
            Self::PlainOnTls => "plain_on_tls_port",
            Self::Untrusted => "certificate_not_trusted",
            Self::Tls => "tls",
            Self::TlsFault => "tls_fault",
            Self::Http2 => "http2",
            Self::ProxyProtocol => "proxy_protocol",
            Self::NoProxyProtocol => "proxy_protocol_missing",
            Self::NotHttp => "not_http",
            Self::BadRequest => "bad_request",
        }
    }
}

/// Rejected connections of one server or proxy.
#[derive(Debug, Default)]
pub(crate) struct Rejects {
    counts: [Counter; CAUSES.len()],
    lines: [Mutex<Allowance>; CAUSES.len()],
}

impl Rejects {
    /// The count of each cause, by its label.
    pub(crate) fn counts(&self) -> [(&'static str, Counter); CAUSES.len()] {
        CAUSES.map(|cause| (cause.label(), self.counts[cause as usize].clone()))
    }

    /// Counts a rejected connection, and logs it with the number of lines that were left out since
    /// the last one.
    pub(crate) fn note(&self, info: ConnectionInfo, cause: Cause, reason: &str) {
        self.counts[cause as usize].inc();
        let mut allowance = self.lines[cause as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let allowed = allowance.take(Instant::now());
        drop(allowance);
        let (parent, cause) = (&info.span(), cause.label());
        match allowed {
            Some(0) => info!(parent: parent, cause, reason, "rejected"),
            Some(suppressed) => info!(parent: parent, cause, reason, suppressed, "rejected"),
            None => debug!(parent: parent, cause, reason, "rejected"),
        }
    }
}

/// Allowance of log lines for one cause.
#[derive(Debug)]
struct Allowance {
    left: u32,
    /// Moment at which it last grew.
    since: Option<Instant>,
    /// Lines left out since the last one that was written.
    suppressed: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            left: BURST,
            since: None,
            suppressed: 0,
        }
    }
}

impl Allowance {
    /// Allows a line, and returns the number of lines left out before it, or `None` if this line is
    /// to be left out too.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let since = *self.since.get_or_insert(now);
        let grown = now.duration_since(since).as_secs() / PACE.as_secs();
        if grown > 0 {
            let grown = u32::try_from(grown).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(grown).min(BURST);
            self.since = Some(now);
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Some(mem::take(&mut self.suppressed))
            }
            None => {
                self.suppressed += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gets_a_few_lines_and_the_next_one_counts_it() {
        let mut allowance = Allowance::default();
        let begun = Instant::now();
        let flood = (0..1_000).filter_map(|_| allowance.take(begun)).count();
        assert_eq!(flood, BURST as usize);
        assert_eq!(allowance.take(begun + PACE / 2), None);
        assert_eq!(allowance.take(begun + PACE), Some(1_000 - 10 + 1));
        assert_eq!(allowance.take(begun + PACE), None);
        let quiet = begun + PACE * 1_000;
        assert_eq!(allowance.take(quiet), Some(1));
        let again = (0..1_000).filter_map(|_| allowance.take(quiet)).count();
        assert_eq!(again, BURST as usize - 1);
    }

    #[test]
    fn every_cause_has_an_allowance_and_a_count_of_its_own() {
        for (index, cause) in CAUSES.into_iter().enumerate() {
            assert_eq!(cause as usize, index);
        }
        let mut labels = CAUSES.map(Cause::label);
        labels.sort_unstable();
        assert!(labels.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
