//! Settings of the server, the proxy and a probe, validated, with their defaults.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hyper::Uri;

use crate::net::address::Address;
use crate::platform;
use crate::scenario::Scenario;
use crate::ws::subprotocol::Subprotocol;

mod api;
mod cluster;
mod expectation;
mod origin;
#[cfg_attr(not(feature = "cli"), path = "no_peers.rs")]
mod peers;
mod probe;
mod proxy;
pub(crate) use api::ApiSettings;
pub use api::{ApiConfig, ApiToken};
pub(crate) use cluster::Login;
pub use cluster::{ClusterConfig, NatsUrl, NodeName, SubjectPrefix};
pub use expectation::{Check, Expectation, ExpectationError, Quantity};
pub use origin::Origin;
pub(crate) use origin::{is_own, is_own_host};
pub use peers::Peers;
pub use probe::{
    HeaderLine, HeaderLineError, HealthConfig, ProbeConfig, ProbeUrl, ProbeUrlError, Trust,
};
pub(crate) use proxy::default_max_tunnels;
pub use proxy::{ProxyConfig, Upstream, UpstreamError, UpstreamHost, UpstreamHostError};

/// File descriptors that [`ServerConfig::max_connections`] leaves free by default, for listeners,
/// the runtime, and connections that are refused or have not upgraded yet.
pub(crate) const SPARE_FILES: usize = 64;

/// Settings of a [`Server`](crate::Server).
///
/// The defaults are those of the command line.
///
/// ```
/// use echobeat::ServerConfig;
///
/// let config = ServerConfig {
///     listen: vec!["127.0.0.1:0".parse().unwrap()],
///     heartbeat: None,
///     ..ServerConfig::default()
/// };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Addresses to listen on.
    pub listen: Vec<Address>,
    /// The certificate for TLS, which all addresses then speak; `None`: none does.
    pub tls: Option<CertificateSource>,
    /// Whether HTTP/2 is spoken without TLS too, with clients that begin with it ("prior
    /// knowledge").
    pub h2c: bool,
    /// Peers whose connections begin with a header of the PROXY protocol, version 1 or 2, which
    /// names the client; other connections of theirs are refused. Addresses of the API's own have no
    /// such header.
    pub proxy_protocol: Vec<Peers>,
    /// Peers whose `X-Forwarded-For` and `Forwarded` (RFC 7239) are believed.
    pub trusted_proxies: Vec<Peers>,
    /// Paths that upgrade to WebSocket; empty: every path does.
    pub paths: Vec<UpgradePath>,
    /// Interval of the heart beat, counted from the upgrade; `None` turns it off.
    pub heartbeat: Option<Duration>,
    /// Text of a heart beat, which is a text message.
    pub heartbeat_text: String,
    /// Subprotocols to select from, in order of preference; empty: the client's first offer.
    pub subprotocols: Vec<Subprotocol>,
    /// Origins that may connect; empty: any. A request without `Origin` comes from no browser and
    /// is always allowed. So is this server's own page, if it is opened by an address, as
    /// localhost, by this machine's name, or by a host of [`listen`](Self::listen).
    pub allowed_origins: Vec<Origin>,
    /// Whether permessage-deflate (RFC 7692) is accepted, if a client offers it.
    pub compression: Compression,
    /// The largest message that is echoed, in bytes of payload, which count
    /// uncompressed; a larger one closes with 1009. A limit above 4 GiB
    /// counts as 4 GiB.
    pub max_message_size: usize,
    /// Sessions at the same time; one more is refused with 503.
    pub max_connections: usize,
    /// Time from accept until the request head has arrived whole, over TLS too.
    pub handshake_timeout: Duration,
    /// Silence after which the peer is sent a Ping; `None` turns keepalive off. Some come earlier:
    /// the first one by up to a half, and one that goes out with a heart beat by up to a quarter.
    pub ping_interval: Option<Duration>,
    /// Time after a Ping within which some byte must arrive; otherwise the peer counts as dead.
    pub ping_timeout: Duration,
    /// Time that a write may take without any progress.
    pub send_timeout: Duration,
    /// Time that the peer has to answer our Close.
    pub close_timeout: Duration,
    /// Time that a session may stall, be deaf or leave a Close unanswered, if a scenario asks for
    /// that.
    pub fault_timeout: Duration,
    /// Time that sessions have to end on shutdown. A thousand a second are closed, or more if all
    /// of them would not be closed in the first half of this time.
    pub drain: Duration,
    /// Steps in which the server misbehaves, for every connection.
    pub scenario: Scenario,
    /// Whether a request may ask for a scenario of its own; otherwise it gets 403.
    pub faults: bool,
    /// The HTTP API; `None`: there is none, and nothing is kept for it.
    pub api: Option<ApiConfig>,
    /// The cluster of which this server is a node; `None`: it is alone. It takes an API too.
    pub cluster: Option<ClusterConfig>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: vec![Address::default()],
            tls: None,
            h2c: false,
            proxy_protocol: Vec::new(),
            trusted_proxies: Vec::new(),
            paths: Vec::new(),
            heartbeat: Some(Duration::from_secs(3)),
            heartbeat_text: "heart beat".to_owned(),
            subprotocols: Vec::new(),
            allowed_origins: Vec::new(),
            compression: Compression::On,
            max_message_size: 16 << 20,
            max_connections: default_max_connections(),
            handshake_timeout: Duration::from_secs(10),
            ping_interval: Some(Duration::from_secs(25)),
            ping_timeout: Duration::from_secs(10),
            send_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            fault_timeout: Duration::from_secs(600),
            drain: Duration::from_secs(10),
            scenario: Scenario::default(),
            faults: true,
            api: None,
            cluster: None,
        }
    }
}

/// Answer to a client that offers permessage-deflate (RFC 7692).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// None: messages are not compressed.
    Off,
    /// Every message is compressed by itself, so that an idle session takes no memory for it.
    #[default]
    On,
    /// Messages are compressed with the help of earlier ones, unless the client is against it. Each
    /// session keeps the ends of what it has received and sent.
    Takeover,
}

/// The open-file limit of this process less 64, and at least 1.
pub(crate) fn default_max_connections() -> usize {
    platform::open_file_limit()
        .saturating_sub(SPARE_FILES)
        .max(1)
}

/// Source of a server's certificate and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// PEM files, read at the start and at every [reload](crate::Acceptor::reload).
    Files {
        /// The server's certificate, followed by those that signed it.
        certificate: PathBuf,
        /// Its key: PKCS#8, PKCS#1 or SEC1, without a passphrase.
        key: PathBuf,
    },
    /// A certificate made here, for this machine's own names and all hosts that are listened on.
    SelfSigned {
        /// Directory that keeps it from one start to the next; `None`: it is not kept.
        directory: Option<PathBuf>,
    },
    /// Certificates made here for every name that a client asks for (by SNI, RFC 6066), with the
    /// fault that its first label names, as `expired.localhost` does; `docs/tls.md` lists the
    /// faults. The authority that issues them is a new one at every start and reload.
    Faults {
        /// File that the authority's certificate is written to, in PEM, for clients to trust;
        /// `None`: it is not written.
        root: Option<PathBuf>,
    },
}

/// The certificate, and the files that it is read from.
impl fmt::Display for CertificateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files { certificate, key } => {
                let (certificate, key) = (certificate.display(), key.display());
                write!(f, "the certificate in {certificate} and the key in {key}")
            }
            Self::SelfSigned { directory: None } => f.write_str("a self-signed certificate"),
            Self::SelfSigned {
                directory: Some(directory),
            } => write!(f, "the self-signed certificate in {}", directory.display()),
            Self::Faults { root: None } => f.write_str("certificates with faults"),
            Self::Faults { root: Some(root) } => {
                write!(f, "certificates with faults, and {}", root.display())
            }
        }
    }
}

/// A path that upgrades, such as `/ws`: absolute, as it stands in a request, without a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradePath(String);

impl UpgradePath {
    /// Whether `path`, the path of a request, is this one.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.0 == path
    }
}

impl FromStr for UpgradePath {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        match text.parse::<Uri>() {
            Ok(uri) if text.starts_with('/') && uri.path() == text => Ok(Self(text.to_owned())),
            _ => Err(SettingError::Path),
        }
    }
}

impl fmt::Display for UpgradePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reasons for which a text is not a valid setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// See [`UpgradePath`].
    #[error("a path begins with / and has neither query nor spaces, such as /ws")]
    Path,
    /// See [`Origin`].
    #[error(
        "an origin is scheme://host or scheme://host:port without a path, such as \
         https://app.example.com, https://*.example.com for all hosts below, or null"
    )]
    Origin,
    /// An origin that is a lone `*`.
    #[error("any origin may connect if no origin is given: leave the * out")]
    AnyOrigin,
    /// See [`ApiToken`].
    #[error("a token has visible ASCII characters and no spaces, and is not empty")]
    Token,
    /// See [`Peers`].
    #[error(
        "peers are an IP address such as 192.0.2.1, a network such as 10.0.0.0/8, or unix for those \
         of Unix sockets"
    )]
    Peers,
    /// See [`NatsUrl`].
    #[error("the URL of a NATS server is nats://host:port, or tls:// for TLS, without a path")]
    NatsUrl,
    /// See [`NodeName`].
    #[error("a node has a name of 1 to 64 letters, digits, - and _")]
    NodeName,
    /// See [`SubjectPrefix`].
    #[error("a prefix has up to 64 letters, digits, - and _, with dots between its parts")]
    SubjectPrefix,
    /// An origin with the scheme of a WebSocket.
    #[error("an origin is that of a page: https:// or http://, not wss:// or ws://")]
    SocketOrigin,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        for good in ["/", "/ws", "/a/b%20c", "/a,b"] {
            assert!(good.parse::<UpgradePath>().is_ok(), "{good:?}");
        }
        for bad in ["", "ws", "/ws?x=1", "/a b", "http://host/ws", "*"] {
            assert!(bad.parse::<UpgradePath>().is_err(), "{bad:?}");
        }
    }
}
