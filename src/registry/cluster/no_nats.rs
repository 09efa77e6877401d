//! The cluster in a build without the feature `nats`: there is none, and a server that is to be a
//! node of one does not start.

use crate::config::ClusterConfig;
use crate::telemetry::cluster::ClusterMetrics;

/// A node of a cluster, which this build does not have.
#[derive(Debug, Clone)]
pub(crate) enum Cluster {}

impl Cluster {
    pub(crate) async fn connect(_: &ClusterConfig) -> Result<Self, String> {
        Err("this build is without it".to_owned())
    }

    pub(crate) fn is_connected(&self) -> bool {
        match *self {}
    }

    pub(crate) fn metrics(&self) -> &ClusterMetrics {
        match *self {}
    }

    pub(crate) async fn begin_to_leave(&self) {
        match *self {}
    }

    pub(crate) async fn leave(&self) {
        match *self {}
    }
}
