//! The command line of a node of a cluster.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::duration;
use crate::config::{ClusterConfig, NatsUrl, NodeName, SubjectPrefix};

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct ClusterArgs {
    /// NATS server: be one of many nodes
    ///
    /// It is nats://host:port, or tls://host:port, perhaps with user:password@ or token@ before the
    /// host; may be repeated for other servers of the same NATS. The API then shows the connections of
    /// all nodes, and pushes to all of them.
    #[arg(
        long,
        env = "ECHOBEAT_NATS",
        hide_env_values = true,
        value_name = "URL",
        value_delimiter = ',',
        requires = "api"
    )]
    nats: Vec<NatsUrl>,

    /// Credentials for NATS: a file with a JWT and the seed of an nkey
    #[arg(
        long,
        hide_short_help = true,
        env = "ECHOBEAT_NATS_CREDS",
        value_name = "FILE"
    )]
    #[arg(requires = "nats")]
    nats_creds: Option<PathBuf>,

    /// First part of the subjects
    ///
    /// Nodes with the same one are one cluster.
    #[arg(
        long,
        hide_short_help = true,
        env = "ECHOBEAT_NATS_PREFIX",
        value_name = "PREFIX",
        default_value = "echobeat"
    )]
    nats_prefix: SubjectPrefix,

    /// Name of this node [default: this machine's, and a random part]
    #[arg(
        long,
        hide_short_help = true,
        env = "ECHOBEAT_NODE",
        value_name = "NAME"
    )]
    #[arg(requires = "nats")]
    node: Option<NodeName>,

    /// Time that another node has to answer
    #[arg(
        long,
        hide_short_help = true,
        env = "ECHOBEAT_NATS_TIMEOUT",
        value_name = "DURATION",
        default_value = "1s"
    )]
    #[arg(value_parser = duration)]
    nats_timeout: Duration,

    /// No start without NATS
    ///
    /// Else a node works alone for as long as NATS is away.
    #[arg(long, hide_short_help = true, env = "ECHOBEAT_NATS_REQUIRED")]
    #[arg(requires = "nats")]
    nats_required: bool,
}

impl ClusterArgs {
    pub(super) fn into_config(self) -> Option<ClusterConfig> {
        if self.nats.is_empty() {
            return None;
        }
        Some(ClusterConfig {
            servers: self.nats,
            credentials: self.nats_creds,
            prefix: self.nats_prefix,
            node: self.node.unwrap_or_else(NodeName::unique),
            timeout: self.nats_timeout,
            is_required: self.nats_required,
        })
    }
}
