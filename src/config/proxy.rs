//! What a proxy is told: where it listens, and whom it stands in front of.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::Authority;

use super::CertificateSource;
use crate::address::Address;

/// How a reverse proxy listens and behaves. The defaults are those of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Where to listen; one proxy can listen on several addresses.
    pub listen: Vec<Address>,
    /// The certificate for TLS with clients, which all addresses then speak; `None`: none does.
    pub tls: Option<CertificateSource>,
    /// Whether HTTP/2 is spoken without TLS too, with clients that begin with it.
    pub h2c: bool,
    /// The server that requests go to.
    pub upstream: Upstream,
    /// PEM file of the authorities that may vouch for an `https` upstream; `None`: the system's.
    pub upstream_ca: Option<PathBuf>,
    /// Whether the upstream is sent the client's `Host`, and not its own.
    pub preserve_host: bool,
    /// Time to resolve the upstream's name and to connect to it, over TLS too.
    pub connect_timeout: Duration,
    /// Time in which neither the head of a response comes nor the request goes on.
    pub response_timeout: Duration,
    /// Silence in both directions that ends a tunnel; `None`: none does.
    pub idle_timeout: Option<Duration>,
    /// Tunnels and requests at the same time; one more is refused with 503.
    pub max_connections: usize,
    /// Time in which a client or the upstream takes nothing of what it is sent: it is given up.
    pub send_timeout: Duration,
    /// Time from accept, or from the last answer, until a request's head has arrived whole.
    pub handshake_timeout: Duration,
    /// Time that tunnels and requests have to end on shutdown.
    pub drain: Duration,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            listen: vec![Address::local(8082)],
            tls: None,
            h2c: false,
            upstream: Upstream::default(),
            upstream_ca: None,
            preserve_host: false,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(30),
            idle_timeout: None,
            max_connections: default_max_tunnels(),
            send_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(10),
        }
    }
}

/// Half of what a server may have: a tunnel takes two files.
pub(crate) fn default_max_tunnels() -> usize {
    (super::default_max_connections() / 2).max(1)
}

/// The server behind a proxy: `http://host:port/base`, `https://…`, or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// HTTP over TCP.
    Http {
        /// Whether it is over TLS as well.
        tls: bool,
        /// The host, with its port if that is not 80, or 443 over TLS.
        authority: Authority,
        /// What paths are joined to: empty, or with a slash before it and none behind it.
        base: String,
    },
    /// HTTP over a Unix domain socket.
    Unix(PathBuf),
}

impl Upstream {
    /// Whether it is spoken to over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Http { tls: true, .. })
    }

    /// The authority of its requests.
    pub(crate) fn authority(&self) -> Authority {
        match self {
            Self::Http { authority, .. } => authority.clone(),
            Self::Unix(_) => Authority::from_static("localhost"),
        }
    }

    /// What paths are joined to.
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
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err(UpstreamError::NoPath),
                path => Ok(Self::Unix(path.into())),
            };
        }
        // Where hyper reads a URL, it drops what follows a #.
        if text.contains(['?', '#', '@']) {
            return Err(UpstreamError::Extra);
        }
        let uri: Uri = text.parse().map_err(|_| UpstreamError::NoUrl)?;
        let tls = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(UpstreamError::NoUrl),
        };
        match uri.authority() {
            Some(authority) if !authority.host().is_empty() => Ok(Self::Http {
                tls,
                authority: authority.clone(),
                base: uri.path().trim_end_matches('/').to_owned(),
            }),
            _ => Err(UpstreamError::NoUrl),
        }
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
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a text is no [`Upstream`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// It is no URL of a known kind.
    #[error("write a URL such as http://127.0.0.1:8002, wss://host/base, or unix:PATH")]
    NoUrl,
    /// A URL with more than an upstream has.
    #[error("an upstream has neither a query, nor a fragment, nor a user")]
    Extra,
    /// Nothing follows `unix:`.
    #[error("a path is missing after unix:")]
    NoPath,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_urls_or_sockets() {
        for (text, shown) in [
            ("http://127.0.0.1:8002", "http://127.0.0.1:8002"),
            ("http://localhost/", "http://localhost"),
            ("ws://[::1]:80/a/b/", "http://[::1]:80/a/b"),
            ("https://a.example:8443", "https://a.example:8443"),
            ("wss://a.example/", "https://a.example"),
            ("unix:/run/echo.sock", "unix:/run/echo.sock"),
        ] {
            assert_eq!(text.parse::<Upstream>().unwrap().to_string(), shown);
        }
        for (text, error) in [
            ("", UpstreamError::NoUrl),
            ("127.0.0.1:8002", UpstreamError::NoUrl),
            ("/path", UpstreamError::NoUrl),
            ("ftp://host", UpstreamError::NoUrl),
            ("http://", UpstreamError::NoUrl),
            ("http://host/?query", UpstreamError::Extra),
            ("http://host/#fragment", UpstreamError::Extra),
            ("http://user@host/", UpstreamError::Extra),
            ("unix:", UpstreamError::NoPath),
        ] {
            assert_eq!(text.parse::<Upstream>(), Err(error), "{text:?}");
        }
    }
}
