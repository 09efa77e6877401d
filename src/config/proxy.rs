//! Settings of the proxy, among them the server that it stands in front of.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::Authority;

use super::{ApiConfig, CertificateSource, Peers};
use crate::net::address::{self, Address, AddressError};
use crate::scenario::TunnelScenario;

/// Settings of a reverse proxy. The defaults are those of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Addresses to listen on.
    pub listen: Vec<Address>,
    /// The certificate for TLS with clients, which all addresses then speak; `None`: none does.
    pub tls: Option<CertificateSource>,
    /// Whether HTTP/2 is spoken without TLS too, with clients that begin with it.
    pub h2c: bool,
    /// Peers whose connections begin with a header of the PROXY protocol, version 1 or 2, which
    /// names the client; other connections of theirs are refused.
    pub proxy_protocol: Vec<Peers>,
    /// Peers whose `X-Forwarded-Proto` is passed on, and whose `X-Forwarded-For` and `Forwarded`
    /// (RFC 7239) name the client in the log.
    pub trusted_proxies: Vec<Peers>,
    /// The server that requests go to.
    pub upstream: Upstream,
    /// PEM file of the authorities that may vouch for an `https` upstream; `None`: the system's.
    pub upstream_ca: Option<PathBuf>,
    /// The `Host` that the upstream is sent.
    pub upstream_host: UpstreamHost,
    /// Time to resolve the upstream's name and to connect to it, over TLS too.
    pub connect_timeout: Duration,
    /// Time that may pass with neither the head of a response nor any progress of the request.
    pub response_timeout: Duration,
    /// Silence in both directions that ends a tunnel; `None`: none does.
    pub idle_timeout: Option<Duration>,
    /// Tunnels and requests at the same time; one more is refused with 503.
    pub max_connections: usize,
    /// Longest time for which a client or the upstream may take nothing of what it is sent.
    pub send_timeout: Duration,
    /// Time from accept, or from the last answer, until a request's head has arrived whole.
    pub handshake_timeout: Duration,
    /// Time that tunnels and requests have to end on shutdown.
    pub drain: Duration,
    /// Settings of the HTTP API, if there is to be one: it shows tunnels and their messages, and puts
    /// messages in.
    pub api: Option<ApiConfig>,
    /// Faults of every WebSocket.
    pub scenario: TunnelScenario,
    /// Whether a request may ask for faults of its WebSocket, in the parameter `echobeat-do` or the
    /// header `Echobeat-Do`, which are not forwarded.
    pub faults_by_url: bool,
    /// Longest time for which a tunnel stalls because a fault asks for that.
    pub fault_timeout: Duration,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            listen: vec![Address::local(8082)],
            tls: None,
            h2c: false,
            proxy_protocol: Vec::new(),
            trusted_proxies: Vec::new(),
            upstream: Upstream::default(),
            upstream_ca: None,
            upstream_host: UpstreamHost::default(),
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(30),
            idle_timeout: None,
            max_connections: default_max_tunnels(),
            send_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            api: None,
            scenario: TunnelScenario::default(),
            faults_by_url: false,
            fault_timeout: Duration::from_secs(600),
        }
    }
}

/// Half of the default of a server, because a tunnel takes two files.
pub(crate) fn default_max_tunnels() -> usize {
    (super::default_max_connections() / 2).max(1)
}

/// The server behind a proxy: `http://host:port/base`, `https://…`, or `unix:PATH`. `host:port` and
/// `port`, which is one of 127.0.0.1, mean HTTP too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// HTTP over TCP.
    Http {
        /// Whether HTTP is spoken over TLS.
        tls: bool,
        /// The host, with its port if that is not 80, or 443 over TLS.
        authority: Authority,
        /// Base path that requests' paths are joined to: empty, or `/` and more without a `/` at
        /// its end.
        base: String,
    },
    /// HTTP over a Unix domain socket.
    Unix(PathBuf),
}

impl Upstream {
    /// Whether the upstream speaks TLS.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Http { tls: true, .. })
    }

    /// The authority of requests to the upstream.
    pub(crate) fn authority(&self) -> Authority {
        match self {
            Self::Http { authority, .. } => authority.clone(),
            Self::Unix(_) => Authority::from_static("localhost"),
        }
    }

    /// Base path that requests' paths are joined to.
    pub(crate) fn base(&self) -> &str {
        match self {
            Self::Http { base, .. } => base,
            Self::Unix(_) => "",
        }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self::Http {
            tls: false,
            authority: Authority::from_static("127.0.0.1:8002"),
            base: String::new(),
        }
    }
}

impl FromStr for Upstream {
    type Err = UpstreamError;

    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        if let Some(path) = address::after_prefix(text) {
            return socket(path);
        }
        // hyper drops what follows a # in a URL.
        if text.contains(['?', '#', '@']) {
            return Err(UpstreamError::Extra);
        }
        let (tls, url) = match text.split_once("://") {
            Some((scheme, rest)) => (is_secure(scheme)?, format!("http://{rest}")),
            // An address as --listen takes it.
            None => (false, http_url(text)?),
        };
        let url: Uri = url.parse().map_err(|_| UpstreamError::NoUrl)?;
        let authority = url.authority().ok_or(UpstreamError::NoUrl)?.clone();
        check_authority(&authority)?;
        Ok(Self::Http {
            tls,
            authority,
            base: url.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// The URL of `host:port`, with or without a path behind it, or of a port of this machine.
pub(super) fn http_url(address: &str) -> Result<String, UpstreamError> {
    let is_port = !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_digit());
    let host = address.split('/').next().unwrap_or(address);
    let has_port = host.contains(':') && !host.ends_with(']');
    match (is_port, has_port) {
        (true, _) => Ok(format!("http://{}:{address}", Ipv4Addr::LOCALHOST)),
        (_, true) => Ok(format!("http://{address}")),
        _ => Err(UpstreamError::NoUrl),
    }
}

fn socket(path: &str) -> Result<Upstream, UpstreamError> {
    match address::parse_path(path) {
        Ok(_) if path.contains('?') => Err(UpstreamError::Extra),
        Ok(path) => Ok(Upstream::Unix(path)),
        Err(AddressError::NoPath) => Err(UpstreamError::NoPath),
        Err(_) => Err(UpstreamError::BadPath),
    }
}

pub(super) fn is_secure(scheme: &str) -> Result<bool, UpstreamError> {
    match &scheme.to_ascii_lowercase()[..] {
        "http" | "ws" => Ok(false),
        "https" | "wss" => Ok(true),
        _ => Err(UpstreamError::NoUrl),
    }
}

/// Refuses an authority that nobody could connect to. hyper accepts any digits as a port, and uses
/// the default port if they are out of range.
pub(super) fn check_authority(authority: &Authority) -> Result<(), UpstreamError> {
    let host = authority.host();
    let port = authority.as_str().strip_prefix(host).unwrap_or_default();
    match port.strip_prefix(':') {
        _ if host.is_empty() => Err(UpstreamError::NoUrl),
        Some(port) => match address::parse_port(port) {
            Ok(0) | Err(_) => Err(UpstreamError::BadPort),
            Ok(_) => Ok(()),
        },
        None => Ok(()),
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http {
                tls,
                authority,
                base,
            } => {
                let scheme = if *tls { "https" } else { "http" };
                write!(f, "{scheme}://{authority}{base}")
            }
            Self::Unix(path) => address::Written(path).fmt(f),
        }
    }
}

/// The `Host` of the requests to an upstream: `client`, `upstream`, or a name. The upstream's
/// certificate must be for its own name in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum UpstreamHost {
    /// The host that the client has asked for.
    #[default]
    Client,
    /// The upstream's own host.
    Upstream,
    /// This name.
    Name(Authority),
}

impl FromStr for UpstreamHost {
    type Err = UpstreamHostError;

    fn from_str(text: &str) -> Result<Self, UpstreamHostError> {
        match text {
            "client" => Ok(Self::Client),
            "upstream" => Ok(Self::Upstream),
            name if name.contains('@') => Err(UpstreamHostError),
            name => name.parse().map(Self::Name).map_err(|_| UpstreamHostError),
        }
    }
}

impl fmt::Display for UpstreamHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("client"),
            Self::Upstream => f.write_str("upstream"),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// A text that is no [`UpstreamHost`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write client, upstream, or a name such as app.example or app.example:8080")]
pub struct UpstreamHostError;

/// Reasons for which a text is no [`Upstream`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// The text is neither a URL of a known kind nor an address.
    #[error(
        "an upstream is a URL such as http://127.0.0.1:8002 or wss://host/base, or host:port, or a \
         port of this machine, or unix:PATH"
    )]
    NoUrl,
    /// The port is not one that a server can have.
    #[error("the port must be a number from 1 to 65535")]
    BadPort,
    /// The URL has a part that no upstream has: a query, a fragment or a user.
    #[error("an upstream has neither a query, nor a fragment, nor a user: no ?, # or @")]
    Extra,
    /// Nothing follows `unix:`.
    #[error("a path is missing after unix:")]
    NoPath,
    /// The path of a Unix domain socket is not UTF-8, or has a NUL byte.
    #[error("the path after unix: must be UTF-8, without NUL bytes; a % itself is written %25")]
    BadPath,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_the_clients_the_upstreams_or_a_name() {
        for text in [
            "client",
            "upstream",
            "a.example",
            "a.example:81",
            "[::1]:80",
        ] {
            let host: UpstreamHost = text.parse().unwrap();
            assert_eq!(host.to_string(), text);
        }
        for text in ["", "http://a.example", "a b", "user@a.example", "a/b"] {
            assert_eq!(
                text.parse::<UpstreamHost>(),
                Err(UpstreamHostError),
                "{text:?}"
            );
        }
    }

    #[test]
    fn upstreams_are_urls_or_sockets() {
        for (text, shown) in [
            ("http://127.0.0.1:8002", "http://127.0.0.1:8002"),
            ("http://localhost/", "http://localhost"),
            ("ws://[::1]:80/a/b/", "http://[::1]:80/a/b"),
            ("https://a.example:8443", "https://a.example:8443"),
            ("wss://a.example/", "https://a.example"),
            ("HTTPS://a.example", "https://a.example"),
            ("9001", "http://127.0.0.1:9001"),
            ("localhost:9001", "http://localhost:9001"),
            ("localhost:9001/base", "http://localhost:9001/base"),
            ("[::1]:9001", "http://[::1]:9001"),
            ("unix:/run/echo.sock", "unix:/run/echo.sock"),
            ("http://9001", "http://9001"),
            ("unix:/run/what%3F.sock", "unix:/run/what%3F.sock"),
        ] {
            assert_eq!(text.parse::<Upstream>().unwrap().to_string(), shown);
        }
        for (text, error) in [
            ("", UpstreamError::NoUrl),
            ("localhost", UpstreamError::NoUrl),
            (":9001", UpstreamError::NoUrl),
            ("::1", UpstreamError::NoUrl),
            ("[::1]", UpstreamError::NoUrl),
            ("[::1]/base", UpstreamError::NoUrl),
            ("a b:80", UpstreamError::NoUrl),
            ("0", UpstreamError::BadPort),
            ("65536", UpstreamError::BadPort),
            ("localhost:", UpstreamError::BadPort),
            ("http://host:0/", UpstreamError::BadPort),
            ("http://host:65536", UpstreamError::BadPort),
            ("https://[::1]:x", UpstreamError::BadPort),
            ("/path", UpstreamError::NoUrl),
            ("ftp://host", UpstreamError::NoUrl),
            ("http://", UpstreamError::NoUrl),
            ("http://host/?query", UpstreamError::Extra),
            ("http://host/#fragment", UpstreamError::Extra),
            ("http://user@host/", UpstreamError::Extra),
            ("unix:", UpstreamError::NoPath),
            ("unix:a?mode=0660", UpstreamError::Extra),
            ("unix:a%00", UpstreamError::BadPath),
        ] {
            assert_eq!(text.parse::<Upstream>(), Err(error), "{text:?}");
        }
    }
}
