//! Addresses to listen on as a user writes them, and the endpoints that a server really listens on.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

mod unix;

pub use unix::UnixAddress;
pub(crate) use unix::{Written, after_prefix, parse_path};

/// Prefix before the number of a file descriptor.
const PASSED_PREFIX: &str = "fd:";

/// Address to listen on: `port`, which is one of 127.0.0.1, `host:port`, with port 0 for any free
/// one, `unix:PATH`, or `fd:3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A host name or IP address (IPv6 in brackets), and a port.
    Tcp {
        /// The host as written, resolved when the server binds.
        host: String,
        /// The port; 0 for any free one.
        port: u16,
    },
    /// A Unix domain socket.
    Unix(UnixAddress),
    /// A socket that systemd passes to the program, by the number of its file descriptor; the first
    /// is 3. It stays open when the program ends.
    Passed(u32),
}

impl Default for Address {
    fn default() -> Self {
        Self::local(8002)
    }
}

impl Address {
    /// A port of 127.0.0.1 alone. `::1` is left out: port 0 would mean two ports, and clients that
    /// connect to `localhost` try 127.0.0.1 too.
    pub(crate) fn local(port: u16) -> Self {
        Self::Tcp {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port,
        }
    }

    /// Advice after a failure to listen on this address.
    fn advice(&self, failure: ErrorKind) -> &'static str {
        match (self, failure) {
            (Self::Unix(_) | Self::Passed(_), _) => "",
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
        if let Some(socket) = after_prefix(text) {
            return socket.parse().map(Self::Unix);
        }
        if let Some(descriptor) = text.strip_prefix(PASSED_PREFIX) {
            return parse_descriptor(descriptor).map(Self::Passed);
        }
        if text.contains("://") {
            return Err(AddressError::Scheme);
        }
        if is_number(text) {
            return parse_port(text).map(Self::local);
        }
        if text.ends_with(']') || text.parse::<Ipv6Addr>().is_ok() {
            return Err(AddressError::Unbracketed);
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
        check_host(host)?;
        Ok(Self::Tcp {
            host: host.to_owned(),
            port: parse_port(port)?,
        })
    }
}

fn parse_descriptor(text: &str) -> Result<u32, AddressError> {
    match text.parse() {
        Ok(descriptor @ 3..) if is_number(text) => Ok(descriptor),
        _ => Err(AddressError::BadDescriptor),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Parses a port of digits alone: Rust's own numbers may have a plus sign.
pub(crate) fn parse_port(text: &str) -> Result<u16, AddressError> {
    match text.parse() {
        Ok(port) if is_number(text) => Ok(port),
        _ => Err(AddressError::BadPort),
    }
}

/// Refuses a host that no resolver could look up.
fn check_host(host: &str) -> Result<(), AddressError> {
    let in_brackets = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match (host, in_brackets) {
        ("" | "*", _) => Err(AddressError::NoHost),
        // A zone may follow: fe80::1%eth0.
        (_, Some(ip)) => match ip.split('%').next().unwrap_or(ip).parse::<Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => Err(AddressError::Unbracketed),
        },
        _ if host.contains(':') => Err(AddressError::Unbracketed),
        _ if host
            .contains(|c: char| c.is_whitespace() || c.is_control() || "/?#@[]".contains(c)) =>
        {
            Err(AddressError::BadHost)
        }
        _ => Ok(()),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(socket) => socket.fmt(f),
            Self::Passed(descriptor) => write!(f, "{PASSED_PREFIX}{descriptor}"),
        }
    }
}

/// Reasons for which a text is no [`Address`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is not a number, and has no colon.
    #[error(
        "an address is a port of this machine such as 9000, host:port such as 0.0.0.0:9000, or \
         unix:PATH"
    )]
    NoPort,
    /// The text after the last colon is no port.
    #[error("the port must be a number from 0 (any free one) to 65535")]
    BadPort,
    /// Nothing, or a star, stands before the colon.
    #[error(
        "a host is missing: write a port alone for this machine, 0.0.0.0:port for all interfaces, \
         or [::]:port for those of IPv6 too"
    )]
    NoHost,
    /// The host is neither a possible name nor an IP address.
    #[error("a host is a name or an IP address, such as localhost or 0.0.0.0")]
    BadHost,
    /// An IPv6 address without its brackets, or without a port.
    #[error("write an IPv6 address in brackets and with a port, such as [::1]:8002")]
    Unbracketed,
    /// A URL.
    #[error("write host:port alone, without a scheme such as ws://")]
    Scheme,
    /// Nothing follows `unix:`.
    #[error("a path is missing after unix:")]
    NoPath,
    /// The path is not UTF-8, or has a NUL byte.
    #[error("the path after unix: must be UTF-8, without NUL bytes; a % itself is written %25")]
    BadPath,
    /// The part after the question mark is neither a mode nor a group, or repeats one.
    #[error(
        "write unix:PATH?mode=0660&group=NAME, of which either may be left out; a ? of the path \
         itself is written %3F"
    )]
    BadAccess,
    /// The mode is not a number of three octal digits.
    #[error("a mode is three octal digits, such as 0660: who may write to the socket may connect")]
    BadMode,
    /// The text after `fd:` is no number from 3 on.
    #[error("write fd:3 for the first socket that systemd passes, and fd:4 for the second")]
    BadDescriptor,
}

/// Failure to listen on an address.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}{}", .address.advice(.source.kind()))]
pub struct BindError {
    /// The address that was asked for.
    pub address: Address,
    /// The error of the operating system.
    pub source: io::Error,
}

/// An endpoint that a server listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP address, with its real port.
    Tcp(SocketAddr),
    /// A TCP address on which TLS is spoken, with its real port.
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

    /// The URL for a WebSocket client on this machine, with `path`, which begins with `/`:
    /// `ws://127.0.0.1:8002/path`, `wss://…`, or `unix:` and the socket's own path.
    #[must_use]
    pub fn websocket_url(&self, path: &str) -> String {
        self.url(["ws", "wss"], path)
    }

    /// The URL for a browser on this machine: `http://127.0.0.1:8002/`, `https://…`, or `unix:` and
    /// the socket's path.
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

    /// The endpoint, with TLS if it is one of TCP.
    pub(crate) fn over_tls(self) -> Self {
        match self {
            Self::Tcp(address) => Self::Tls(address),
            other => other,
        }
    }
}

/// The address that is listened on, which for all interfaces is `0.0.0.0:8002` or `[::]:8002`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) | Self::Tls(address) => address.fmt(f),
            Self::Unix(path) => Written(path).fmt(f),
        }
    }
}

/// An address to connect to. "All interfaces" is none, so the loopback interface stands for them.
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
            "[fe80::1%eth0]:80",
            "unix:/run/echobeat.sock",
            "unix:/run/echobeat.sock?mode=0660&group=www-data",
            "fd:3",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_port_alone_is_one_of_this_machine() {
        for (text, port) in [("9000", 9000), ("0", 0), ("65535", 65535), ("00080", 80)] {
            assert_eq!(text.parse::<Address>(), Ok(Address::local(port)), "{text}");
        }
    }

    #[test]
    fn bad_addresses_say_what_is_wrong() {
        for (text, error) in [
            ("", AddressError::NoPort),
            ("localhost", AddressError::NoPort),
            ("127.0.0.1", AddressError::NoPort),
            ("server", AddressError::NoPort),
            ("-1", AddressError::NoPort),
            ("+80", AddressError::NoPort),
            ("8e3", AddressError::NoPort),
            ("/run/echobeat.sock", AddressError::NoPort),
            ("65536", AddressError::BadPort),
            ("99999999999999999999", AddressError::BadPort),
            (":8002", AddressError::NoHost),
            ("*:8002", AddressError::NoHost),
            ("::", AddressError::Unbracketed),
            ("::1", AddressError::Unbracketed),
            ("[::1]", AddressError::Unbracketed),
            ("[::1", AddressError::Unbracketed),
            ("::1:8002", AddressError::Unbracketed),
            ("[]:8002", AddressError::Unbracketed),
            ("[localhost]:8002", AddressError::Unbracketed),
            ("a b:8002", AddressError::BadHost),
            ("user@host:8002", AddressError::BadHost),
            ("/run/echobeat:80", AddressError::BadHost),
            ("ws://127.0.0.1:8002", AddressError::Scheme),
            ("127.0.0.1:", AddressError::BadPort),
            ("127.0.0.1:65536", AddressError::BadPort),
            ("127.0.0.1:http", AddressError::BadPort),
            ("127.0.0.1:+80", AddressError::BadPort),
            ("127.0.0.1:80/ws", AddressError::BadPort),
            ("unix:a?mode=888", AddressError::BadMode),
            ("unix:", AddressError::NoPath),
            ("fd:", AddressError::BadDescriptor),
            ("fd:2", AddressError::BadDescriptor),
            ("fd:+3", AddressError::BadDescriptor),
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
