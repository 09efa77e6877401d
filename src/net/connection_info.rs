//! The peer of a connection, and the protocols that it is spoken to in.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use tracing::{Span, info_span};

/// The peer of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Tcp(SocketAddr),
    /// A client that a proxy in front has named, of which there is no port.
    Host(IpAddr),
    Local,
}

impl Peer {
    /// A peer at this address. An IPv4 address is shown as one even over an IPv6 socket (RFC 4291,
    /// section 2.5.5.2).
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self::Tcp(match address.ip().to_canonical() {
            mapped @ IpAddr::V4(_) => SocketAddr::new(mapped, address.port()),
            // Kept unchanged, because a link-local address has a scope.
            IpAddr::V6(_) => address,
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Host(ip) => ip.fmt(f),
            Self::Local => f.write_str("unix"),
        }
    }
}

/// The peer of a connection and its protocols, as the log names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionInfo {
    /// Number of the connection: a server counts them from 1.
    pub(crate) number: u64,
    pub(crate) peer: Peer,
    /// The version of HTTP, once it is known.
    pub(crate) http: Option<Http>,
    /// The number of the stream over HTTP/2 (RFC 9113, section 5.1.1).
    pub(crate) stream: Option<NonZeroU32>,
    pub(crate) tls: Option<TlsVersion>,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsVersion {
    Tls12,
    Tls13,
}

impl TlsVersion {
    /// The number of the version, as it is usually written.
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

impl ConnectionInfo {
    pub(crate) fn new(number: u64, peer: Peer) -> Self {
        Self {
            number,
            peer,
            http: None,
            stream: None,
            tls: None,
        }
    }

    /// The info of the same connection, with this version of HTTP.
    pub(crate) fn over(self, http: Http) -> Self {
        Self {
            http: Some(http),
            ..self
        }
    }

    /// The info of the stream of this number in the same connection.
    pub(crate) fn on_stream(self, number: u32) -> Self {
        Self {
            stream: NonZeroU32::new(number),
            ..self
        }
    }

    /// The span of its log lines. It is made anew for each of them: a span that is kept would take
    /// memory for as long as the connection lasts.
    pub(crate) fn span(&self) -> Span {
        let transport = self.http.map(|http| match http {
            Http::One => "h1",
            Http::Two => "h2",
        });
        let tls = self.tls.map(TlsVersion::number);
        info_span!(
            "connection",
            conn = self.number,
            peer = %self.peer,
            transport,
            stream = self.stream.map(NonZeroU32::get),
            tls
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_of_ipv4_is_named_as_such_and_others_as_they_are() {
        for (address, named) in [
            ("192.0.2.1:5", "192.0.2.1:5"),
            ("[::ffff:192.0.2.1]:5", "192.0.2.1:5"),
            ("[::1]:5", "[::1]:5"),
            ("[::c000:201]:5", "[::c000:201]:5"),
            ("[fe80::1%3]:5", "[fe80::1%3]:5"),
        ] {
            assert_eq!(Peer::at(address.parse().unwrap()).to_string(), named);
        }
    }
}
