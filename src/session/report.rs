//! Report of a session that has ended, and the session's last log line.

use std::time::Duration;

use tracing::info;

use crate::net::connection_info::ConnectionInfo;
use crate::registry::ConnectionHandle;
use crate::telemetry::metrics::Traffic;
use crate::ws::close::{End, Teardown};

/// Report of a session that has ended.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) end: End,
    /// Whether both sides sent Close.
    pub(crate) clean: bool,
    pub(crate) received: Traffic,
    pub(crate) sent: Traffic,
    pub(crate) lasted: Duration,
    /// Way to end the TCP connection that the session used.
    pub(crate) teardown: Teardown,
    /// The connection in the registry, if there is one.
    pub(crate) connection: Option<Box<ConnectionHandle>>,
}

impl Report {
    /// Logs the end of the session over the connection `info`.
    pub(super) fn log(&self, info: ConnectionInfo) {
        let Self {
            end,
            clean,
            received,
            sent,
            lasted,
            ..
        } = self;
        info!(
            parent: &info.span(),
            why = end.word(),
            code = end.code(),
            clean,
            reason = end.to_string(),
            messages_in = received.messages,
            bytes_in = received.bytes,
            messages_out = sent.messages,
            bytes_out = sent.bytes,
            seconds = lasted.as_millis() as f64 / 1e3,
            "end",
        );
    }
}
