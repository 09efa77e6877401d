//! The command line of the server.

use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::shared::{LifetimeArgs, TransportArgs};
use super::values::{Interval, connections, duration, interval, message_size, scenario};
use crate::address::Address;
use crate::config::{self, Origin, ServerConfig, Subprotocol, UpgradePath};
use crate::scenario::Scenario;

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct ServeArgs {
    /// Where to listen: host:port, port 0 for any free one, or unix:PATH; may be repeated
    /// [default: 127.0.0.1:8002]
    #[arg(
        short,
        long,
        env = "ECHOBEAT_LISTEN",
        value_name = "ADDR",
        value_delimiter = ','
    )]
    listen: Vec<Address>,

    /// The same as --listen
    #[arg(value_name = "ADDR")]
    addresses: Vec<Address>,

    /// Path that upgrades to WebSocket, others answer 404; may be repeated [default: every path]
    #[arg(long, env = "ECHOBEAT_PATH", value_delimiter = ',')]
    path: Vec<UpgradePath>,

    /// Interval of the heart beat, or off
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

    /// Subprotocol to select if the client offers it, first come first; may be repeated
    /// [default: the client's first offer]
    #[arg(
        long,
        env = "ECHOBEAT_SUBPROTOCOL",
        value_name = "NAME",
        value_delimiter = ','
    )]
    subprotocol: Vec<Subprotocol>,

    /// Origin whose pages may connect, others get 403; may be repeated. Clients that send no Origin
    /// are no browsers, and may connect always [default: any]
    #[arg(
        long,
        env = "ECHOBEAT_ALLOW_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    allow_origin: Vec<Origin>,

    /// Largest message, from 1 byte to 1GiB; a larger one closes with 1009
    #[arg(
        long,
        env = "ECHOBEAT_MAX_MESSAGE_SIZE",
        value_name = "SIZE",
        default_value = "16MiB"
    )]
    #[arg(value_parser = message_size)]
    max_message_size: usize,

    /// Sessions at the same time; one more gets 503 [default: the open-file limit less 64]
    #[arg(long, env = "ECHOBEAT_MAX_CONNECTIONS", value_name = "N")]
    #[arg(value_parser = connections)]
    max_connections: Option<usize>,

    /// Silence after which the peer is sent a Ping, or off; the first comes somewhat earlier
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
        env = "ECHOBEAT_PING_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s"
    )]
    #[arg(value_parser = duration)]
    ping_timeout: Duration,

    /// Time that a write may make no progress, before the peer is dropped
    #[arg(
        long,
        env = "ECHOBEAT_SEND_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s"
    )]
    #[arg(value_parser = duration)]
    send_timeout: Duration,

    /// Time that the peer has to answer a Close
    #[arg(
        long,
        env = "ECHOBEAT_CLOSE_TIMEOUT",
        value_name = "DURATION",
        default_value = "5s"
    )]
    #[arg(value_parser = duration)]
    close_timeout: Duration,

    /// What to do otherwise than a good server, for every client, such as delay:200ms,fin@3msg; the
    /// parameter do of a URL says it for one
    #[arg(long = "do", env = "ECHOBEAT_DO", value_name = "STEPS", value_parser = scenario)]
    #[arg(conflicts_with = "no_faults")]
    scenario: Option<Scenario>,

    /// Time that a session may stall, be deaf or leave a Close unanswered, when it is asked to
    #[arg(
        long,
        env = "ECHOBEAT_FAULT_TIMEOUT",
        value_name = "DURATION",
        default_value = "10m"
    )]
    #[arg(value_parser = duration)]
    fault_timeout: Duration,

    /// Answer 403 to URLs with a do
    #[arg(long, env = "ECHOBEAT_NO_FAULTS", value_parser = BoolishValueParser::new())]
    no_faults: bool,
}

impl ServeArgs {
    pub(super) fn into_config(
        self,
        transport: TransportArgs,
        lifetime: &LifetimeArgs,
    ) -> ServerConfig {
        let mut listen = self.listen;
        listen.extend(self.addresses);
        if listen.is_empty() {
            listen.push(Address::default());
        }
        ServerConfig {
            listen,
            h2c: transport.h2c,
            tls: transport.into_source(),
            paths: self.path,
            heartbeat: self.heartbeat.0,
            heartbeat_text: self.heartbeat_text,
            subprotocols: self.subprotocol,
            allowed_origins: self.allow_origin,
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
        }
    }
}
