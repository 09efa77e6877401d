//! The command line: flags and environment variables, validated into a [`ServerConfig`] or a
//! [`ProxyConfig`].

mod proxy;

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};

use crate::address::Address;
use crate::config::{
    self, CertificateSource, Origin, ProxyConfig, ServerConfig, Subprotocol, UpgradePath,
};
use crate::logging::LogArgs;

/// The longest duration that a flag takes: what is longer is as good as off.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// The shortest duration that a flag takes, and the resolution of tokio's timer.
const SHORTEST: Duration = Duration::from_millis(1);

/// The largest message that a flag allows.
const LARGEST_MESSAGE: ByteSize = ByteSize::gib(1);

const EXAMPLES: &str = "\
Examples:
  echobeat                                   ws://127.0.0.1:8002/, for this machine alone
  echobeat 0.0.0.0:9000 --heartbeat off      all interfaces, echo alone
  echobeat --path /ws --subprotocol chat     one path, one subprotocol
  echobeat -l 127.0.0.1:0 -l unix:echo.sock  any free port, and a Unix socket
  echobeat proxy                             ws://127.0.0.1:8082/, for the one of the first line
  echobeat --tls-self-signed                 wss://127.0.0.1:8002/, with a certificate made now

Durations are written 500ms, 3s, 2m, and are from 1ms to 30days; sizes 64KiB, 16MiB. What may be
repeated may also be a list with commas. Flags override environment variables.";

/// A WebSocket server to test against: it echoes every message, and sends `heart beat` every 3 s.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    serve: ServeArgs,

    #[command(flatten)]
    tls: TlsArgs,

    /// What is logged, and how
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum Command {
    /// Stand in front of a WebSocket server, as a reverse proxy
    Proxy(proxy::ProxyArgs),
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The echo server.
    Server(ServerConfig),
    /// The reverse proxy.
    Proxy(ProxyConfig),
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct ServeArgs {
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

    /// Speak HTTP/2 without TLS too, with clients that begin with it, as meshes do
    #[arg(long, env = "ECHOBEAT_H2C", value_parser = BoolishValueParser::new())]
    #[arg(conflicts_with_all = ["tls_cert", "tls_self_signed"])]
    h2c: bool,

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

    /// Time from accept until the request's head has arrived, over TLS too
    #[arg(
        long,
        env = "ECHOBEAT_HANDSHAKE_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s"
    )]
    #[arg(value_parser = duration)]
    handshake_timeout: Duration,

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

    /// Time that sessions have to end on shutdown; their closes are spread over its first half
    #[arg(
        long,
        env = "ECHOBEAT_DRAIN",
        value_name = "DURATION",
        default_value = "10s"
    )]
    #[arg(value_parser = duration)]
    drain: Duration,

    /// Threads to run on, up to 1024 [default: one a core]
    #[arg(long, env = "ECHOBEAT_THREADS", value_name = "N")]
    #[arg(value_parser = threads)]
    threads: Option<usize>,
}

/// TLS, which all addresses speak, or none does.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "TLS")]
struct TlsArgs {
    /// Speak TLS: PEM file of the certificate, followed by those that signed it; read again on
    /// SIGHUP
    #[arg(long, env = "ECHOBEAT_TLS_CERT", value_name = "FILE")]
    #[arg(requires = "tls_key", conflicts_with = "tls_self_signed")]
    tls_cert: Option<PathBuf>,

    /// PEM file of the certificate's private key, without a passphrase; read again on SIGHUP
    #[arg(long, env = "ECHOBEAT_TLS_KEY", value_name = "FILE")]
    #[arg(requires = "tls_cert", conflicts_with = "tls_self_signed")]
    tls_key: Option<PathBuf>,

    /// Speak TLS with a certificate made at the start, for this machine and every --listen host
    #[arg(long, env = "ECHOBEAT_TLS_SELF_SIGNED")]
    #[arg(value_parser = BoolishValueParser::new())]
    tls_self_signed: bool,

    /// Directory to keep that certificate in from one start to the next
    #[arg(long, env = "ECHOBEAT_TLS_SELF_SIGNED_DIR", value_name = "DIR")]
    #[arg(requires = "tls_self_signed")]
    tls_self_signed_dir: Option<PathBuf>,
}

impl TlsArgs {
    fn into_source(self) -> Option<CertificateSource> {
        match (self.tls_cert, self.tls_key) {
            (Some(certificate), Some(key)) => Some(CertificateSource::Files { certificate, key }),
            _ => self
                .tls_self_signed
                .then_some(CertificateSource::SelfSigned {
                    directory: self.tls_self_signed_dir,
                }),
        }
    }
}

impl Cli {
    /// The number of worker threads asked for.
    #[must_use]
    pub fn threads(&self) -> Option<usize> {
        match &self.command {
            Some(Command::Proxy(args)) => args.threads,
            None => self.serve.threads,
        }
    }

    /// What is to be logged, and how.
    #[must_use]
    pub fn log(&self) -> &LogArgs {
        match &self.command {
            Some(Command::Proxy(args)) => &args.log,
            None => &self.log,
        }
    }

    /// The server or the proxy that the command line describes.
    #[must_use]
    pub fn into_role(self) -> Role {
        match self.command {
            Some(Command::Proxy(args)) => Role::Proxy(args.into_config()),
            None => Role::Server(self.into_server_config()),
        }
    }

    fn into_server_config(self) -> ServerConfig {
        let args = self.serve;
        let mut listen = args.listen;
        listen.extend(args.addresses);
        if listen.is_empty() {
            listen.push(Address::default());
        }
        ServerConfig {
            listen,
            tls: self.tls.into_source(),
            h2c: args.h2c,
            paths: args.path,
            heartbeat: args.heartbeat.0,
            heartbeat_text: args.heartbeat_text,
            subprotocols: args.subprotocol,
            allowed_origins: args.allow_origin,
            max_message_size: args.max_message_size,
            max_connections: args
                .max_connections
                .unwrap_or_else(config::default_max_connections),
            handshake_timeout: args.handshake_timeout,
            ping_interval: args.ping_interval.0,
            ping_timeout: args.ping_timeout,
            send_timeout: args.send_timeout,
            close_timeout: args.close_timeout,
            drain: args.drain,
        }
    }
}

/// A duration, or `off`. (A plain `Option` would mean to clap that the flag may be left out.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interval(Option<Duration>);

fn interval(text: &str) -> Result<Interval, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(Interval(None));
    }
    match duration(text) {
        Ok(duration) => Ok(Interval(Some(duration))),
        Err(hint) => Err(format!("{hint}, or off")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if (SHORTEST..=LONGEST).contains(&duration) => Ok(duration),
        Ok(_) => Err("a duration is from 1ms to 30days".to_owned()),
        Err(_) => Err("write a duration as 500ms, 3s, or 2m".to_owned()),
    }
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err("write a number from 1".to_owned()),
    }
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1024) => Ok(number),
        _ => Err("write a number from 1 to 1024".to_owned()),
    }
}

fn message_size(text: &str) -> Result<usize, String> {
    let size: ByteSize = text.parse()?;
    match usize::try_from(size.as_u64()) {
        Ok(bytes @ 1..) if size <= LARGEST_MESSAGE => Ok(bytes),
        _ => Err("a message is from 1 byte to 1GiB".to_owned()),
    }
}

#[cfg(test)]
mod tests;
