//! The command line of the server.

use std::time::Duration;

use clap::Args;

use super::cluster::ClusterArgs;
use super::environment::Sources;
use super::shared::{ApiArgs, BalancerArgs, LifetimeArgs, TransportArgs, addresses};
use super::values::{
    Interval, compression, connections, duration, interval, message_size, scenario,
};
use crate::config::{self, Compression, Origin, ServerConfig, UpgradePath};
use crate::net::address::Address;
use crate::scenario::Scenario;
use crate::ws::subprotocol::Subprotocol;

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct ServeArgs {
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

    /// Address to listen on [default: 127.0.0.1:8002]
    ///
    /// It is a port of 127.0.0.1, for this machine alone; host:port, with port 0 for any free one;
    /// or unix:PATH.
    #[arg(value_name = "ADDR")]
    addresses: Vec<Address>,

    /// Path that upgrades [default: any]
    ///
    /// Others answer 404; may be repeated.
    #[arg(long, env = "ECHOBEAT_PATH", value_delimiter = ',')]
    path: Vec<UpgradePath>,

    /// Heart beat interval, or off
    ///
    /// The first is sent one interval after the upgrade.
    #[arg(
        long,
        env = "ECHOBEAT_HEARTBEAT",
        value_name = "DURATION",
        default_value = "3s"
    )]
    #[arg(value_parser = interval)]
    heartbeat: Interval,

    /// Text of the heart beat
    #[arg(
        long,
        env = "ECHOBEAT_HEARTBEAT_TEXT",
        value_name = "TEXT",
        default_value = "heart beat"
    )]
    heartbeat_text: String,

    /// Subprotocol to select, if it is offered
    ///
    /// May be repeated, in order of preference [default: the client's first offer].
    #[arg(
        long,
        env = "ECHOBEAT_SUBPROTOCOL",
        value_name = "NAME",
        value_delimiter = ','
    )]
    subprotocol: Vec<Subprotocol>,

    /// Origin that may connect [default: any]
    ///
    /// It is scheme://host, or scheme://*.host for all hosts below one. Pages of other origins get
    /// 403. May be repeated. Clients that send no Origin are not browsers, and may always connect;
    /// so may the server's own page, if it is opened by an address, as localhost, by this machine's
    /// name or by a host of --listen.
    #[arg(
        long,
        env = "ECHOBEAT_ALLOW_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    allow_origin: Vec<Origin>,

    /// Compression, if it is offered
    ///
    /// It is on, off, or takeover. A message that comes compressed goes back compressed. With
    /// takeover, messages are compressed with the help of earlier ones, and every session takes
    /// memory for that.
    #[arg(
        long,
        env = "ECHOBEAT_COMPRESSION",
        value_name = "HOW",
        default_value = "on"
    )]
    #[arg(value_parser = compression)]
    compression: Compression,

    /// Largest message
    ///
    /// It limits what clients send, from 1 byte to 1GiB; a larger message closes with 1009.
    #[arg(
        long,
        env = "ECHOBEAT_MAX_MESSAGE_SIZE",
        value_name = "SIZE",
        default_value = "16MiB"
    )]
    #[arg(value_parser = message_size)]
    max_message_size: usize,

    /// Sessions at once [default: by ulimit -n]
    ///
    /// One more gets 503. The default is the open-file limit, less 64.
    #[arg(long, env = "ECHOBEAT_MAX_CONNECTIONS", value_name = "N")]
    #[arg(value_parser = connections)]
    pub(super) max_connections: Option<usize>,

    /// Silence before a Ping, or off
    ///
    /// Some come earlier: the first one, and one that goes out with a heart beat.
    #[arg(
        long,
        env = "ECHOBEAT_PING_INTERVAL",
        value_name = "DURATION",
        default_value = "25s"
    )]
    #[arg(value_parser = interval)]
    ping_interval: Interval,

    /// Silence after a Ping that makes the peer count as dead
    #[arg(
        long,
        hide_short_help = true,
        env = "ECHOBEAT_PING_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s"
    )]
    #[arg(value_parser = duration)]
    ping_timeout: Duration,

    /// Time that a write may make no progress, before the peer is dropped
    #[arg(
        long,
        hide_short_help = true,
        env = "ECHOBEAT_SEND_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s"
    )]
    #[arg(value_parser = duration)]
    send_timeout: Duration,

    /// Time that the peer has to answer a Close
    #[arg(
        long,
        hide_short_help = true,
        env = "ECHOBEAT_CLOSE_TIMEOUT",
        value_name = "DURATION",
        default_value = "5s"
    )]
    #[arg(value_parser = duration)]
    close_timeout: Duration,

    /// Faults for every client
    ///
    /// They are steps in which the server misbehaves, such as delay:200ms,fin@3msg. The parameter
    /// do of a URL asks for them for one client.
    #[arg(long = "do", env = "ECHOBEAT_DO", value_name = "STEPS", value_parser = scenario)]
    #[arg(conflicts_with = "no_faults")]
    scenario: Option<Scenario>,

    /// Time for stall, deaf, noreply
    ///
    /// A session that is asked to stall, to be deaf, or to leave a Close unanswered ends after it.
    #[arg(
        long,
        hide_short_help = true,
        env = "ECHOBEAT_FAULT_TIMEOUT",
        value_name = "DURATION",
        default_value = "10m"
    )]
    #[arg(value_parser = duration)]
    fault_timeout: Duration,

    /// No faults by URL
    ///
    /// URLs with a parameter do get 403.
    #[arg(long, env = "ECHOBEAT_NO_FAULTS")]
    no_faults: bool,

    #[command(flatten)]
    api: ApiArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

impl ServeArgs {
    pub(super) fn into_config(
        self,
        transport: TransportArgs,
        balancers: BalancerArgs,
        lifetime: &LifetimeArgs,
        sources: &Sources,
    ) -> Result<ServerConfig, clap::Error> {
        let default = Address::default();
        Ok(ServerConfig {
            listen: addresses(self.listen, self.addresses, default, sources)?,
            h2c: transport.h2c,
            tls: transport.into_source(),
            proxy_protocol: balancers.proxy_protocol,
            trusted_proxies: balancers.trust_proxy,
            paths: self.path,
            heartbeat: self.heartbeat.0,
            heartbeat_text: self.heartbeat_text,
            subprotocols: self.subprotocol,
            allowed_origins: self.allow_origin,
            compression: self.compression,
            max_message_size: self.max_message_size,
            max_connections: self
                .max_connections
                .unwrap_or_else(config::default_max_connections),
            handshake_timeout: lifetime.handshake_timeout,
            ping_interval: self.ping_interval.0,
            ping_timeout: self.ping_timeout,
            send_timeout: self.send_timeout,
            close_timeout: self.close_timeout,
            fault_timeout: self.fault_timeout,
            drain: lifetime.drain,
            scenario: self.scenario.unwrap_or_default(),
            faults: !self.no_faults,
            api: self.api.into_config(sources)?,
            cluster: self.cluster.into_config(),
        })
    }
}
