//! The command line of `echobeat proxy`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory};

use super::Cli;
use super::shared::{LifetimeArgs, TransportArgs};
use super::values::{Interval, connections, duration, interval};
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

    /// Server to stand in front of: http://host:port/base, https://…, ws://…, wss://…, or unix:PATH
    #[arg(long, env = "ECHOBEAT_UPSTREAM", value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:8002")]
    upstream: Upstream,

    /// PEM file of the authorities that may vouch for an https upstream [default: the system's]
    #[arg(long, env = "ECHOBEAT_UPSTREAM_CA", value_name = "FILE")]
    upstream_ca: Option<PathBuf>,

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

    /// Write without progress, to the client or the upstream, that ends a request or a WebSocket
    #[arg(
        long,
        env = "ECHOBEAT_SEND_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s"
    )]
    #[arg(value_parser = duration)]
    send_timeout: Duration,

    /// Requests and WebSockets at the same time; one more gets 503 [default: half of the open-file
    /// limit less 64]
    #[arg(long, env = "ECHOBEAT_MAX_CONNECTIONS", value_name = "N", value_parser = connections)]
    max_connections: Option<usize>,

    #[command(flatten)]
    pub(super) lifetime: LifetimeArgs,

    #[command(flatten)]
    transport: TransportArgs,

    #[command(flatten)]
    pub(super) log: LogArgs,
}

impl ProxyArgs {
    pub(super) fn into_config(self) -> Result<ProxyConfig, clap::Error> {
        self.check_authorities()?;
        Ok(ProxyConfig {
            listen: self.listen,
            h2c: self.transport.h2c,
            tls: self.transport.into_source(),
            upstream: self.upstream,
            upstream_ca: self.upstream_ca,
            preserve_host: self.preserve_host,
            connect_timeout: self.connect_timeout,
            response_timeout: self.response_timeout,
            idle_timeout: self.idle_timeout.0,
            max_connections: self
                .max_connections
                .unwrap_or_else(config::default_max_tunnels),
            send_timeout: self.send_timeout,
            handshake_timeout: self.lifetime.handshake_timeout,
            drain: self.lifetime.drain,
        })
    }

    /// Who names authorities means to have the upstream verified.
    fn check_authorities(&self) -> Result<(), clap::Error> {
        if self.upstream_ca.is_none() || self.upstream.is_tls() {
            return Ok(());
        }
        let upstream = &self.upstream;
        let complaint = format!("--upstream-ca is for an https upstream, and this is {upstream}");
        Err(Cli::command().error(ErrorKind::ArgumentConflict, complaint))
    }
}
