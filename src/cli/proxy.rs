//! The command line of `echobeat proxy`.

use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::{Interval, connections, duration, interval, threads};
use crate::address::Address;
use crate::config::{self, ProxyConfig, Upstream};
use crate::logging::LogArgs;

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct ProxyArgs {
    /// Where to listen: host:port, port 0 for any free one, or unix:PATH; may be repeated
    #[arg(
        short,
        long,
        env = "ECHOBEAT_LISTEN",
        value_name = "ADDR",
        value_delimiter = ','
    )]
    #[arg(default_value = "127.0.0.1:8082")]
    listen: Vec<Address>,

    /// Server to stand in front of: http://host:port/base, ws://…, or unix:PATH
    #[arg(long, env = "ECHOBEAT_UPSTREAM", value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:8002")]
    upstream: Upstream,

    /// Send the client's Host on, and not the upstream's own
    #[arg(long, env = "ECHOBEAT_PRESERVE_HOST", value_parser = BoolishValueParser::new())]
    preserve_host: bool,

    /// Time to connect to the upstream; later clients get 504
    #[arg(
        long,
        env = "ECHOBEAT_CONNECT_TIMEOUT",
        value_name = "DURATION",
        default_value = "5s"
    )]
    #[arg(value_parser = duration)]
    connect_timeout: Duration,

    /// Time for the upstream to answer, once a request stands still; later clients get 504
    #[arg(
        long,
        env = "ECHOBEAT_RESPONSE_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s"
    )]
    #[arg(value_parser = duration)]
    response_timeout: Duration,

    /// Silence in both directions that ends a WebSocket, or off
    #[arg(
        long,
        env = "ECHOBEAT_IDLE_TIMEOUT",
        value_name = "DURATION",
        default_value = "off"
    )]
    #[arg(value_parser = interval)]
    idle_timeout: Interval,

    /// Requests and WebSockets at the same time; one more gets 503 [default: half of the open-file
    /// limit less 64]
    #[arg(long, env = "ECHOBEAT_MAX_CONNECTIONS", value_name = "N", value_parser = connections)]
    max_connections: Option<usize>,

    /// Time from accept until a request's head has arrived
    #[arg(
        long,
        env = "ECHOBEAT_HANDSHAKE_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s"
    )]
    #[arg(value_parser = duration)]
    handshake_timeout: Duration,

    /// Time that WebSockets have to end on shutdown, before they are cut
    #[arg(
        long,
        env = "ECHOBEAT_DRAIN",
        value_name = "DURATION",
        default_value = "10s"
    )]
    #[arg(value_parser = duration)]
    drain: Duration,

    /// Threads to run on, up to 1024 [default: one a core]
    #[arg(long, env = "ECHOBEAT_THREADS", value_name = "N", value_parser = threads)]
    pub(super) threads: Option<usize>,

    #[command(flatten)]
    pub(super) log: LogArgs,
}

impl ProxyArgs {
    pub(super) fn into_config(self) -> ProxyConfig {
        ProxyConfig {
            listen: self.listen,
            upstream: self.upstream,
            preserve_host: self.preserve_host,
            connect_timeout: self.connect_timeout,
            response_timeout: self.response_timeout,
            idle_timeout: self.idle_timeout.0,
            max_connections: self
                .max_connections
                .unwrap_or_else(config::default_max_tunnels),
            handshake_timeout: self.handshake_timeout,
            drain: self.drain,
        }
    }
}
