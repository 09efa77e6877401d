//! Metrics in a build without the feature `metrics`: nothing is counted.

use std::time::Duration;

use hyper::StatusCode;

use crate::net::connection_info::ConnectionInfo;
use crate::runtime::counter::Counter;
use crate::telemetry::api::ApiMetrics;
use crate::telemetry::cluster::ClusterMetrics;
use crate::telemetry::rejects::Rejects;
use crate::ws::close::End;
use crate::ws::deflate::PermessageDeflate;

pub(crate) use super::tally::{Tally, Traffic};

/// Media type of an exposition.
pub(crate) const CONTENT_TYPE: &str = "text/plain";

/// Metrics of a server, which nobody can ask for.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Heart beats that were sent.
    pub(crate) heart_beats: Counter,
    /// Pings that were sent.
    pub(crate) pings: Counter,
    /// Writes that had to wait for a peer.
    pub(crate) stalls: Counter,
}

impl Metrics {
    pub(crate) fn new(_accept_errors: Counter) -> Self {
        Self::default()
    }

    pub(crate) fn show_rejects(&mut self, _: &Rejects) {}

    pub(crate) fn show_api(&mut self, _: &ApiMetrics) {}

    pub(crate) fn show_cluster(&mut self, _: &ClusterMetrics) {}

    pub(crate) fn begin(
        &self,
        _: ConnectionInfo,
        _handshake: Duration,
        _: Option<PermessageDeflate>,
    ) -> SessionGuard {
        SessionGuard
    }

    pub(crate) fn end(&self, _: &End, _lasted: Duration) {}

    pub(crate) fn refuse(&self, _: StatusCode) {}

    pub(crate) fn add(&self, _: &Tally) {}

    pub(crate) fn exposition(&self, _is_draining: bool) -> String {
        String::new()
    }
}

/// Guard of an open session.
#[derive(Debug)]
pub(crate) struct SessionGuard;

/// Does nothing: this is a guard like that of a build with metrics.
impl Drop for SessionGuard {
    fn drop(&mut self) {}
}
