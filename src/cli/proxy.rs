//! The command line of `echobeat proxy`.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory};

use super::Cli;
use super::environment::Sources;
use super::shared::{ApiArgs, BalancerArgs, LifetimeArgs, TransportArgs, addresses};
use super::values::{Interval, connections, duration, interval, tunnel_scenario};
use crate::config::{self, ProxyConfig, Upstream, UpstreamHost};
use crate::net::address::Address;
use crate::scenario::TunnelScenario;
use crate::telemetry::logging::LogArgs;

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct ProxyArgs {
    /// Address to listen on, written as ADDR; may be repeated
    #[arg(
        short,
        long,
        hide_short_help = true,
        env = "ECHOBEAT_LISTEN",
        value_name = "ADDR",
        value_delimiter = ','
    )]
    listen: Vec<Address>,

    /// Address to listen on [default: 127.0.0.1:8082]
    ///
    /// It is a port of 127.0.0.1, for this machine alone; host:port, with port 0 for any free one;
    /// or unix:PATH.
    #[arg(value_name = "ADDR")]
    addresses: Vec<Address>,

    /// Upstream
    ///
    /// It is http://host:port/base, https://…, ws://…, wss://…, host:port, a port of this machine,
    /// or unix:PATH.
    #[arg(long, env = "ECHOBEAT_UPSTREAM", value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:8002")]
    upstream: Upstream,

    /// Authorities to trust, in PEM
    ///
    /// They vouch for an https upstream [default: the system's].
    #[arg(long, env = "ECHOBEAT_UPSTREAM_CA", value_name = "FILE")]
    upstream_ca: Option<PathBuf>,

    /// Host sent to the upstream
    ///
    /// It is client for the client's own, upstream for that of --upstream, or any other name.
    #[arg(long, env = "ECHOBEAT_UPSTREAM_HOST", value_name = "HOST")]
    #[arg(default_value = "client")]
    upstream_host: UpstreamHost,

    /// Time to connect
    ///
    /// It is for the name, TCP and TLS of the upstream; after it the client gets 504.
    #[arg(
        long,
        env = "ECHOBEAT_CONNECT_TIMEOUT",
        value_name = "DURATION",
        default_value = "5s"
    )]
    #[arg(value_parser = duration)]
    connect_timeout: Duration,

    /// Time to answer a request
    ///
    /// It begins once the request stands still; after it the client gets 504.
    #[arg(
        long,
        env = "ECHOBEAT_RESPONSE_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s"
    )]
    #[arg(value_parser = duration)]
    response_timeout: Duration,

    /// Silence that ends a tunnel
    ///
    /// A WebSocket ends once nothing has come from either side for that long.
    #[arg(
        long,
        env = "ECHOBEAT_IDLE_TIMEOUT",
        value_name = "DURATION",
        default_value = "off"
    )]
    #[arg(value_parser = interval)]
    idle_timeout: Interval,

    /// Time that a write may make no progress
    ///
    /// A client, or an upstream, that takes nothing for that long ends the request or the
    /// WebSocket.
    #[arg(
        long,
        hide_short_help = true,
        env = "ECHOBEAT_SEND_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s"
    )]
    #[arg(value_parser = duration)]
    send_timeout: Duration,

    /// Requests at once [default: by ulimit -n]
    ///
    /// WebSockets count too, and one more gets 503. Each takes two files, so the default is half of
    /// the open-file limit, after 64 are taken off.
    #[arg(long, env = "ECHOBEAT_MAX_CONNECTIONS", value_name = "N", value_parser = connections)]
    pub(super) max_connections: Option<usize>,

    /// Faults for every WebSocket
    ///
    /// They are steps in which the proxy misbehaves, such as delay:200ms,up.drop:10%. With up. before
    /// it, a step is for the way to the upstream.
    #[arg(long = "do", env = "ECHOBEAT_DO", value_name = "STEPS", value_parser = tunnel_scenario)]
    scenario: Option<TunnelScenario>,

    /// Faults by URL
    ///
    /// A request may ask for faults of its WebSocket, in the parameter echobeat-do of its URL or the
    /// header Echobeat-Do. Neither is forwarded.
    #[arg(long, env = "ECHOBEAT_FAULTS_BY_URL")]
    faults_by_url: bool,

    /// Time for stall
    ///
    /// A WebSocket that is asked to stall ends after it.
    #[arg(
        long,
        hide_short_help = true,
        env = "ECHOBEAT_FAULT_TIMEOUT",
        value_name = "DURATION",
        default_value = "10m"
    )]
    #[arg(value_parser = duration)]
    fault_timeout: Duration,

    #[command(flatten)]
    api: ApiArgs,

    #[command(flatten)]
    pub(super) lifetime: LifetimeArgs,

    #[command(flatten)]
    transport: TransportArgs,

    #[command(flatten)]
    balancers: BalancerArgs,

    #[command(flatten)]
    pub(super) log: LogArgs,
}

impl ProxyArgs {
    pub(super) fn into_config(self, sources: &Sources) -> Result<ProxyConfig, clap::Error> {
        let upstream_ca = self.authorities(sources)?;
        let default = Address::local(8082);
        Ok(ProxyConfig {
            listen: addresses(self.listen, self.addresses, default, sources)?,
            h2c: self.transport.h2c,
            tls: self.transport.into_source(),
            proxy_protocol: self.balancers.proxy_protocol,
            trusted_proxies: self.balancers.trust_proxy,
            upstream: self.upstream,
            upstream_ca,
            upstream_host: self.upstream_host,
            connect_timeout: self.connect_timeout,
            response_timeout: self.response_timeout,
            idle_timeout: self.idle_timeout.0,
            max_connections: self
                .max_connections
                .unwrap_or_else(config::default_max_tunnels),
            send_timeout: self.send_timeout,
            handshake_timeout: self.lifetime.handshake_timeout,
            drain: self.lifetime.drain,
            api: self.api.into_config(sources)?,
            scenario: self.scenario.unwrap_or_default(),
            faults_by_url: self.faults_by_url,
            fault_timeout: self.fault_timeout,
        })
    }

    /// Returns the file of authorities. It is an error to give one for an upstream that is not
    /// https, because nothing would be verified.
    fn authorities(&self, sources: &Sources) -> Result<Option<PathBuf>, clap::Error> {
        let upstream = &self.upstream;
        let name = sources.name("upstream_ca", "--upstream-ca");
        match &self.upstream_ca {
            Some(_) if !upstream.is_tls() => {
                // The command line wins over variables, as everywhere.
                if sources.is_given("upstream") && !sources.is_given("upstream_ca") {
                    return Ok(None);
                }
                let complaint = format!("{name} is for an https upstream, and this is {upstream}");
                Err(Cli::command().error(ErrorKind::ArgumentConflict, complaint))
            }
            authorities => Ok(authorities.clone()),
        }
    }
}
