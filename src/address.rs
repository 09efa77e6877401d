//! Addresses: what a user writes, and where a server then really listens.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where to listen: `host:port`, with port 0 for any free one, or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A host name or IP address (IPv6 in brackets), and a port.
    Tcp {
        /// The host as written, resolved when the server binds.
        host: String,
        /// The port; 0 for any free one.
        port: u16,
    },
    /// The path of a Unix domain socket.
    Unix(PathBuf),
}

impl Default for Address {
    fn default() -> Self {
        Self::local(8002)
    }
}

impl Address {
    /// This machine alone, on `port`.
    pub(crate) fn local(port: u16) -> Self {
        Self::Tcp {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port,
        }
    }

    /// What to try where this cannot be listened on.
    fn advice(&self, failure: ErrorKind) -> &'static str {
        match (self, failure) {
            (Self::Unix(_), _) => "",
            (_, ErrorKind::AddrInUse) => {
                "; does another echobeat run there? Try another port, or port 0 for any free one"
            }
            (_, ErrorKind::AddrNotAvailable) => {
                "; this address is not one of this machine's. Try 0.0.0.0 for all that are"
            }
            (_, ErrorKind::PermissionDenied) => {
                "; ports below 1024 may need privileges. Try a higher one"
            }
            _ => "",
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err(AddressError::NoPath),
                path => Ok(Self::Unix(path.into())),
            };
        }
        if text.contains("://") {
            return Err(AddressError::Scheme);
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        match host {
            "" => Err(AddressError::NoHost),
            _ if host.contains(':') && !bracketed => Err(AddressError::Unbracketed),
            _ => Ok(Self::Tcp {
                host: host.to_owned(),
                port: port.parse().map_err(|_| AddressError::BadPort)?,
            }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a text is no [`Address`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// There is no colon.
    #[error("a port is missing: write host:port, such as 127.0.0.1:8002, or unix:PATH")]
    NoPort,
    /// What follows the last colon is no port.
    #[error("the port must be a number from 0 (any free one) to 65535")]
    BadPort,
    /// Nothing precedes the colon.
    #[error("a host is missing: write 127.0.0.1 for this machine alone, 0.0.0.0 for all")]
    NoHost,
    /// An IPv6 address without its brackets.
    #[error("write an IPv6 address in brackets, such as [::1]:8002")]
    Unbracketed,
    /// A URL.
    #[error("write host:port alone, without a scheme such as ws://")]
    Scheme,
    /// Nothing follows `unix:`.
    #[error("a path is missing after unix:")]
    NoPath,
}

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}{}", .address.advice(.source.kind()))]
pub struct BindError {
    /// The address that was asked for.
    pub address: Address,
    /// What the operating system says.
    pub source: io::Error,
}

/// Where a server listens, once it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP address, with its real port.
    Tcp(SocketAddr),
    /// The same, over TLS.
    Tls(SocketAddr),
    /// The path of a Unix domain socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// The TCP address, unless this is a Unix domain socket.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) | Self::Tls(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// What to connect a WebSocket client on this machine to, for `path`, which begins with `/`:
    /// `ws://127.0.0.1:8002/path`, `wss://…`, or `unix:` and the socket's own path.
    #[must_use]
    pub fn websocket_url(&self, path: &str) -> String {
        self.url(["ws", "wss"], path)
    }

    /// What to open in a browser on this machine: `http://127.0.0.1:8002/`, `https://…`, or `unix:`
    /// and the socket's path.
    #[must_use]
    pub fn http_url(&self) -> String {
        self.url(["http", "https"], "/")
    }

    fn url(&self, [plain, over_tls]: [&str; 2], path: &str) -> String {
        match self {
            Self::Tcp(address) => format!("{plain}://{}{path}", reachable(*address)),
            Self::Tls(address) => format!("{over_tls}://{}{path}", reachable(*address)),
            Self::Unix(_) => self.to_string(),
        }
    }

    /// The same, where TLS is spoken.
    pub(crate) fn over_tls(self) -> Self {
        match self {
            Self::Tcp(address) => Self::Tls(address),
            other => other,
        }
    }
}

/// The address as it is listened on, which for all interfaces is `0.0.0.0:8002` or `[::]:8002`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) | Self::Tls(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// "All interfaces" is no address to connect to; the loopback interface is one of them.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_they_are_written() {
        for text in [
            "127.0.0.1:8002",
            "localhost:0",
            "[::1]:65535",
            "unix:/run/echobeat.sock",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn bad_addresses_say_what_is_wrong() {
        for (text, error) in [
            ("", AddressError::NoPort),
            ("localhost", AddressError::NoPort),
            (":8002", AddressError::NoHost),
            ("::1:8002", AddressError::Unbracketed),
            ("ws://127.0.0.1:8002", AddressError::Scheme),
            ("127.0.0.1:", AddressError::BadPort),
            ("127.0.0.1:65536", AddressError::BadPort),
            ("127.0.0.1:http", AddressError::BadPort),
            ("unix:", AddressError::NoPath),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn urls_of_all_interfaces_name_one_that_can_be_reached() {
        let url = |address: &str| Endpoint::Tcp(address.parse().unwrap()).websocket_url("/ws");
        assert_eq!(url("0.0.0.0:80"), "ws://127.0.0.1:80/ws");
        assert_eq!(url("[::]:80"), "ws://[::1]:80/ws");
        assert_eq!(url("192.0.2.1:80"), "ws://192.0.2.1:80/ws");
        let over_tls = Endpoint::Tcp("0.0.0.0:80".parse().unwrap()).over_tls();
        assert_eq!(over_tls.websocket_url("/ws"), "wss://127.0.0.1:80/ws");
        assert_eq!(over_tls.http_url(), "https://127.0.0.1:80/");
    }
}
