//! Flags that the server and the proxy have in common.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory};

use super::Cli;
use super::environment::Sources;
use super::values::{ApiListen, api_listen, duration, kept, memory, threads};
use crate::config::{ApiConfig, ApiToken, CertificateSource, Peers};
use crate::net::address::Address;

/// All addresses to listen on: those of --listen and the bare ones, or the default if there are
/// none.
///
/// # Errors
/// When one is given twice.
pub(super) fn addresses(
    listed: Vec<Address>,
    bare: Vec<Address>,
    default: Address,
    sources: &Sources,
) -> Result<Vec<Address>, clap::Error> {
    let mut addresses = [listed, bare].concat();
    if addresses.is_empty() {
        addresses.push(default);
    }
    for (n, address) in addresses.iter().enumerate() {
        if addresses[..n]
            .iter()
            .any(|earlier| is_same(earlier, address))
        {
            let name = sources.name("listen", "--listen");
            let complaint = format!("{name}: the address {address} is there twice");
            return Err(Cli::command().error(ErrorKind::ArgumentConflict, complaint));
        }
    }
    Ok(addresses)
}

/// Whether the two cannot both be listened on.
fn is_same(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Tcp { port: 0, .. }, _) => false,
        (Address::Unix(one), Address::Unix(other)) => one.path == other.path,
        _ => one == other,
    }
}

/// Times that connections have to begin, and to end on shutdown; and the number of threads.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct LifetimeArgs {
    /// Time for a request's head
    ///
    /// It is counted from accept until the head has arrived, over TLS too.
    #[arg(
        long,
        hide_short_help = true,
        env = "ECHOBEAT_HANDSHAKE_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s"
    )]
    #[arg(value_parser = duration)]
    pub(super) handshake_timeout: Duration,

    /// Time to end on shutdown
    ///
    /// WebSockets that have not ended by then are cut. The server closes a thousand a second, or
    /// more if that would take longer than half of this time.
    #[arg(
        long,
        env = "ECHOBEAT_DRAIN",
        value_name = "DURATION",
        default_value = "10s"
    )]
    #[arg(value_parser = duration)]
    pub(super) drain: Duration,

    /// Worker threads [default: one a core]
    ///
    /// There may be 1 to 1024.
    #[arg(long, env = "ECHOBEAT_THREADS", value_name = "N", value_parser = threads)]
    pub(super) threads: Option<usize>,
}

/// TLS, which all addresses speak or none does, and HTTP/2 without TLS.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "TLS and HTTP/2")]
pub(super) struct TransportArgs {
    /// Certificate, in PEM: speak TLS
    ///
    /// The certificates that signed it follow in the file. SIGHUP has it read again.
    #[arg(long, env = "ECHOBEAT_TLS_CERT", value_name = "FILE")]
    #[arg(requires = "tls_key", conflicts_with = "tls_self_signed")]
    tls_cert: Option<PathBuf>,

    /// Private key of the certificate, in PEM
    ///
    /// It is PKCS#8, PKCS#1 or SEC1, without a passphrase. SIGHUP has it read again.
    #[arg(long, env = "ECHOBEAT_TLS_KEY", value_name = "FILE")]
    #[arg(requires = "tls_cert", conflicts_with = "tls_self_signed")]
    tls_key: Option<PathBuf>,

    /// TLS, with a certificate made at the start
    ///
    /// It is for localhost, 127.0.0.1, ::1, and every host that is listened on.
    #[arg(long, env = "ECHOBEAT_TLS_SELF_SIGNED")]
    tls_self_signed: bool,

    /// Directory that keeps that certificate
    ///
    /// The next start finds it there, and clients need not be told to trust another.
    #[arg(long, env = "ECHOBEAT_TLS_SELF_SIGNED_DIR", value_name = "DIR")]
    #[arg(requires = "tls_self_signed", conflicts_with_all = ["tls_cert", "tls_key"])]
    #[arg(hide_short_help = true)]
    tls_self_signed_dir: Option<PathBuf>,

    /// TLS with faults, by the name that clients ask for
    ///
    /// It is a new certificate for every name. The first label of the name chooses the fault:
    /// expired.localhost, not-yet-valid, wrong-host, untrusted-root, incomplete-chain, client-cert,
    /// tls1-2, tls1-3, no-alpn, reset, stall. Any other name has none.
    #[arg(long, env = "ECHOBEAT_TLS_FAULTS")]
    #[arg(conflicts_with_all = ["tls_cert", "tls_key", "tls_self_signed", "tls_self_signed_dir"])]
    tls_faults: bool,

    /// File for the authority of these certificates, in PEM
    ///
    /// It is written at every start. A client that trusts it sees no fault but the one that it asks
    /// for.
    #[arg(long, env = "ECHOBEAT_TLS_FAULTS_ROOT", value_name = "FILE")]
    #[arg(requires = "tls_faults", hide_short_help = true)]
    #[arg(conflicts_with_all = ["tls_cert", "tls_key", "tls_self_signed", "tls_self_signed_dir"])]
    tls_faults_root: Option<PathBuf>,

    /// HTTP/2 without TLS too
    ///
    /// It is for clients that begin with it ("prior knowledge"), as meshes do.
    #[arg(long, env = "ECHOBEAT_H2C")]
    #[arg(conflicts_with_all = ["tls_cert", "tls_key", "tls_self_signed", "tls_self_signed_dir"])]
    #[arg(conflicts_with_all = ["tls_faults", "tls_faults_root"])]
    pub(super) h2c: bool,
}

/// Load balancers and proxies in front, which say who their client is.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Load balancers and proxies in front")]
pub(super) struct BalancerArgs {
    /// Balancer that speaks the PROXY protocol
    ///
    /// It is an address, a network such as 10.0.0.0/8, or unix for Unix sockets; may be repeated.
    /// Its connections must begin with a header of version 1 or 2, which names the client.
    #[arg(
        long,
        hide_short_help = true,
        env = "ECHOBEAT_PROXY_PROTOCOL",
        value_name = "FROM",
        value_delimiter = ','
    )]
    pub(super) proxy_protocol: Vec<Peers>,

    /// Proxy whose X-Forwarded-For and Forwarded are believed
    ///
    /// It is an address, a network such as 10.0.0.0/8, or unix for Unix sockets; may be repeated.
    /// echobeat proxy passes on its X-Forwarded-Proto too.
    #[arg(
        long,
        hide_short_help = true,
        env = "ECHOBEAT_TRUST_PROXY",
        value_name = "FROM",
        value_delimiter = ','
    )]
    pub(super) trust_proxy: Vec<Peers>,
}

impl TransportArgs {
    pub(super) fn into_source(self) -> Option<CertificateSource> {
        match (self.tls_cert, self.tls_key) {
            (Some(certificate), Some(key)) => Some(CertificateSource::Files { certificate, key }),
            _ if self.tls_self_signed => Some(CertificateSource::SelfSigned {
                directory: self.tls_self_signed_dir,
            }),
            _ => self.tls_faults.then_some(CertificateSource::Faults {
                root: self.tls_faults_root,
            }),
        }
    }
}

/// The HTTP API.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct ApiArgs {
    /// HTTP API: connections, messages, pushes
    ///
    /// GET /connections lists the connections, and POST to one pushes a message to it. The API is
    /// served on every address, or on addresses of its own; may be repeated for those. Without a
    /// token, pages of other origins are refused.
    #[arg(
        long,
        env = "ECHOBEAT_API",
        value_name = "ADDR",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "on",
        value_delimiter = ','
    )]
    #[arg(value_parser = api_listen)]
    api: Vec<ApiListen>,

    /// Token that the API asks for
    ///
    /// Requests must have Authorization: Bearer TOKEN.
    #[arg(
        long,
        hide_short_help = true,
        env = "ECHOBEAT_API_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        requires = "api"
    )]
    api_token: Option<ApiToken>,

    /// Closed connections that the API can be asked about
    #[arg(
        long,
        hide_short_help = true,
        env = "ECHOBEAT_API_KEEP_CLOSED",
        value_name = "N",
        default_value = "1000"
    )]
    #[arg(value_parser = kept)]
    api_keep_closed: usize,

    /// Messages that the API keeps for each connection
    ///
    /// No more than 1 MiB of them is kept, whatever their number.
    #[arg(
        long,
        hide_short_help = true,
        env = "ECHOBEAT_API_KEEP_MESSAGES",
        value_name = "N",
        default_value = "1000"
    )]
    #[arg(value_parser = kept)]
    api_keep_messages: usize,

    /// Memory for the messages that the API keeps
    #[arg(
        long,
        hide_short_help = true,
        env = "ECHOBEAT_API_MEMORY",
        value_name = "SIZE",
        default_value = "64MiB"
    )]
    #[arg(value_parser = memory)]
    api_memory: usize,
}

impl ApiArgs {
    /// Settings of the API, if there is to be one.
    ///
    /// # Errors
    /// When it is to be on all addresses, and on some of its own.
    pub(super) fn into_config(self, sources: &Sources) -> Result<Option<ApiConfig>, clap::Error> {
        let listen = api_addresses(self.api, sources)?;
        Ok(listen.map(|listen| ApiConfig {
            listen,
            token: self.api_token,
            keep_closed: self.api_keep_closed,
            keep_messages: self.api_keep_messages,
            memory: self.api_memory,
            ..ApiConfig::default()
        }))
    }
}

/// Addresses that are the API's own, or none if it is served on all; `None` if there is no API.
///
/// # Errors
/// When it is to be on all addresses, and on some of its own.
fn api_addresses(
    given: Vec<ApiListen>,
    sources: &Sources,
) -> Result<Option<Vec<Address>>, clap::Error> {
    let is_everywhere = given.contains(&ApiListen::Everywhere);
    let own = given.into_iter().filter_map(|listen| match listen {
        ApiListen::On(address) => Some(address),
        ApiListen::Everywhere | ApiListen::Off => None,
    });
    let own: Vec<_> = own.collect();
    if is_everywhere && !own.is_empty() {
        let name = sources.name("api", "--api");
        let complaint = format!("{name}: it is served on every address, or on those of its own");
        return Err(Cli::command().error(ErrorKind::ArgumentConflict, complaint));
    }
    Ok((is_everywhere || !own.is_empty()).then_some(own))
}
