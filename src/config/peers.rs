//! Peers that are believed when they say who their client is.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::SettingError;
use crate::net::connection_info::Peer;

/// Peers by their address: `192.0.2.1`, a network such as `10.0.0.0/8` (RFC 4632, section 3.1), or
/// `unix` for all that connect by a Unix domain socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peers(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Network(IpNet),
    Unix,
}

impl Peers {
    /// Whether a peer is one of these.
    pub(crate) fn contains(self, peer: Peer) -> bool {
        match (self.0, peer) {
            (Kind::Network(network), Peer::Tcp(address)) => network.contains(&address.ip()),
            (Kind::Network(network), Peer::Host(ip)) => network.contains(&ip),
            (Kind::Unix, peer) => peer == Peer::Local,
            (Kind::Network(_), Peer::Local) => false,
        }
    }
}

impl FromStr for Peers {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        if text == "unix" {
            return Ok(Self(Kind::Unix));
        }
        let network = match text.parse::<IpAddr>() {
            Ok(ip) => IpNet::from(ip.to_canonical()),
            Err(_) => text.parse::<IpNet>().map_err(|_| SettingError::Peers)?,
        };
        match network.addr() {
            // A peer of IPv4 counts as such, so this would match none.
            IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => Err(SettingError::Peers),
            _ => Ok(Self(Kind::Network(network.trunc()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_an_address_a_network_or_those_of_unix_sockets() {
        let tcp = |address: &str| Peer::at(address.parse().unwrap());
        for (peers, inside, outside) in [
            ("192.0.2.1", tcp("192.0.2.1:5"), tcp("192.0.2.2:5")),
            ("10.1.2.3/8", tcp("10.9.9.9:5"), tcp("11.0.0.0:5")),
            ("0.0.0.0/0", tcp("[::ffff:192.0.2.1]:5"), tcp("[::1]:5")),
            ("::ffff:10.0.0.1", tcp("10.0.0.1:5"), Peer::Local),
            ("2001:db8::/32", tcp("[2001:db8::1]:5"), tcp("[::1]:5")),
            ("10.0.0.0/8", Peer::Host([10, 0, 0, 1].into()), Peer::Local),
            ("unix", Peer::Local, tcp("127.0.0.1:5")),
        ] {
            let peers: Peers = peers.parse().unwrap();
            assert!(peers.contains(inside), "{peers:?} {inside}");
            assert!(!peers.contains(outside), "{peers:?} {outside}");
        }
        for bad in [
            "",
            "localhost",
            "10.0.0.0/33",
            "10/8",
            "::ffff:0:0/96",
            "10.0.0.1:80",
        ] {
            assert_eq!(bad.parse::<Peers>(), Err(SettingError::Peers), "{bad}");
        }
    }
}
