//! Settings of a probe, and what a run in CI expects of it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::uri::{Authority, PathAndQuery};
use hyper::{HeaderMap, Uri};

use super::ApiToken;
use super::expectation::Expectation;
use super::proxy::{UpstreamError, check_authority, http_url, is_secure};
use crate::net::address::Address;
use crate::ws::subprotocol::Subprotocol;

/// Settings of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeConfig {
    /// The WebSocket to examine.
    pub url: ProbeUrl,
    /// Address that is connected to in place of the URL's host.
    pub connect_to: Option<Address>,
    /// Authorities that may vouch for the server's certificate.
    pub trust: Trust,
    /// Header lines of each handshake, beside those that it needs.
    pub headers: HeaderMap,
    /// Subprotocols that are offered, in this order.
    pub subprotocols: Vec<Subprotocol>,
    /// Whether all checks are made over HTTP/2 (RFC 8441).
    pub http2: bool,
    /// Longest time for each step: a connection, a handshake, an answer.
    pub timeout: Duration,
    /// The largest message that is tried, in bytes.
    pub max_message: usize,
    /// The longest silence that is tried; `None`: none is.
    pub max_idle: Option<Duration>,
    /// The API of the echobeat at the far end, if there is one.
    pub api: Option<ProbeUrl>,
    /// Token for that API.
    pub api_token: Option<ApiToken>,
    /// Results without which the probe fails.
    pub expectations: Vec<Expectation>,
}

/// Settings of a health check: one GET, which is to be answered with 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthConfig {
    /// The URL to get.
    pub url: ProbeUrl,
    /// Address that is connected to in place of the URL's host.
    pub connect_to: Option<Address>,
    /// Authorities that may vouch for the server's certificate.
    pub trust: Trust,
    /// Header lines of the request.
    pub headers: HeaderMap,
    /// Time for all of it.
    pub timeout: Duration,
}

/// Authorities that may vouch for a server's certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those of the system.
    #[default]
    System,
    /// Those in a PEM file.
    File(PathBuf),
    /// None is needed: any certificate will do.
    Anyone,
}

/// URL of a probe: `ws://host:port/path?query`, `wss://…`, or with `http` and `https`. `host:port`
/// and `port`, which is one of 127.0.0.1, mean `ws`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeUrl {
    tls: bool,
    authority: Authority,
    target: PathAndQuery,
}

impl ProbeUrl {
    /// Whether TLS is spoken.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host, in brackets if it is an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        self.authority.host()
    }

    pub(crate) fn port(&self) -> u16 {
        let usual = if self.tls { 443 } else { 80 };
        self.authority.port_u16().unwrap_or(usual)
    }

    /// The host, with the port if it is written.
    pub(crate) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// Path and query.
    pub(crate) fn target(&self) -> &str {
        self.target.as_str()
    }

    /// The URL of `path`, which begins with a slash, below this one.
    pub(crate) fn below(&self, path: &str) -> Result<Self, ProbeUrlError> {
        let base = self.target.path().trim_end_matches('/');
        let target = format!("{base}{path}").parse();
        Ok(Self {
            target: target.map_err(|_| ProbeUrlError::NoUrl)?,
            ..self.clone()
        })
    }
}

impl FromStr for ProbeUrl {
    type Err = ProbeUrlError;

    fn from_str(text: &str) -> Result<Self, ProbeUrlError> {
        // hyper drops what follows a #.
        if text.contains('#') {
            return Err(ProbeUrlError::Extra);
        }
        let (tls, url) = match text.split_once("://") {
            Some((scheme, rest)) => (is_secure(scheme)?, format!("http://{rest}")),
            None => (false, http_url(text)?),
        };
        let url: Uri = url.parse().map_err(|_| ProbeUrlError::NoUrl)?;
        let authority = url.authority().ok_or(ProbeUrlError::NoUrl)?.clone();
        if authority.as_str().contains('@') {
            return Err(ProbeUrlError::Extra);
        }
        check_authority(&authority)?;
        // With a slash before a query that has no path.
        let query = url.query().map(|query| format!("?{query}"));
        let target = format!("{}{}", url.path(), query.unwrap_or_default());
        Ok(Self {
            tls,
            authority,
            target: target.parse().map_err(|_| ProbeUrlError::NoUrl)?,
        })
    }
}

impl fmt::Display for ProbeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority, self.target())
    }
}

/// Reasons for which a text is no [`ProbeUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeUrlError {
    /// The text is neither a URL of a known kind nor an address.
    #[error(
        "write a URL such as ws://127.0.0.1:8002/path or wss://host/, or host:port, or a port of \
         this machine"
    )]
    NoUrl,
    /// The port is not one that a server can have.
    #[error("the port must be a number from 1 to 65535")]
    BadPort,
    /// The URL has a part that a WebSocket's has not: a fragment or a user.
    #[error("a URL of a WebSocket has neither a fragment nor a user: no # or @")]
    Extra,
}

impl From<UpstreamError> for ProbeUrlError {
    fn from(error: UpstreamError) -> Self {
        match error {
            UpstreamError::BadPort => Self::BadPort,
            _ => Self::NoUrl,
        }
    }
}

/// A header line of the user's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderLine {
    /// The name.
    pub name: HeaderName,
    /// The value.
    pub value: HeaderValue,
}

/// Names that the handshake itself sets, or that would end it early.
const RESERVED: [HeaderName; 9] = [
    CONNECTION,
    CONTENT_LENGTH,
    SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING,
    UPGRADE,
];

impl FromStr for HeaderLine {
    type Err = HeaderLineError;

    fn from_str(text: &str) -> Result<Self, HeaderLineError> {
        let (name, value) = text.split_once(':').ok_or(HeaderLineError::NotALine)?;
        let name: HeaderName = name.parse().map_err(|_| HeaderLineError::NotALine)?;
        if RESERVED.contains(&name) {
            return Err(HeaderLineError::Reserved);
        }
        let value = value.trim_matches([' ', '\t']).parse();
        let value = value.map_err(|_| HeaderLineError::NotALine)?;
        Ok(Self { name, value })
    }
}

/// Reasons for which a text is no [`HeaderLine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderLineError {
    /// The text has no colon, or a name or value that no header can have.
    #[error("write a header as 'Name: value'")]
    NotALine,
    /// The handshake sets the header.
    #[error("the probe sets this header itself")]
    Reserved,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_those_of_websockets() {
        for (text, shown) in [
            ("ws://127.0.0.1:8002", "ws://127.0.0.1:8002/"),
            ("wss://a.example/b?c=d", "wss://a.example/b?c=d"),
            ("https://a.example?c", "wss://a.example/?c"),
            ("HTTP://[::1]:80/@x", "ws://[::1]:80/@x"),
            ("9001", "ws://127.0.0.1:9001/"),
            ("localhost:9001/ws", "ws://localhost:9001/ws"),
        ] {
            assert_eq!(text.parse::<ProbeUrl>().unwrap().to_string(), shown);
        }
        for (text, error) in [
            ("", ProbeUrlError::NoUrl),
            ("localhost", ProbeUrlError::NoUrl),
            ("ftp://a.example", ProbeUrlError::NoUrl),
            ("ws://", ProbeUrlError::NoUrl),
            ("ws://a.example:0", ProbeUrlError::BadPort),
            ("ws://a.example/#b", ProbeUrlError::Extra),
            ("ws://user@a.example/", ProbeUrlError::Extra),
        ] {
            assert_eq!(text.parse::<ProbeUrl>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_path_goes_below_that_of_a_url() {
        let url: ProbeUrl = "http://a.example/api/?x".parse().unwrap();
        assert_eq!(url.below("/b?c").unwrap().target(), "/api/b?c");
        let url: ProbeUrl = "wss://a.example".parse().unwrap();
        assert_eq!((url.port(), url.target()), (443, "/"));
        assert_eq!(url.below("/b").unwrap().target(), "/b");
        assert_eq!(url.below("/ b"), Err(ProbeUrlError::NoUrl));
    }

    #[test]
    fn header_lines_are_those_that_a_handshake_may_have() {
        let line: HeaderLine = "Authorization:  Bearer a:b ".parse().unwrap();
        assert_eq!(line.name.as_str(), "authorization");
        assert_eq!(line.value, "Bearer a:b");
        for (text, error) in [
            ("no colon", HeaderLineError::NotALine),
            ("a b: c", HeaderLineError::NotALine),
            ("a: b\r\nc: d", HeaderLineError::NotALine),
            ("Upgrade: x", HeaderLineError::Reserved),
            ("sec-websocket-key: x", HeaderLineError::Reserved),
        ] {
            assert_eq!(text.parse::<HeaderLine>(), Err(error), "{text:?}");
        }
    }
}
