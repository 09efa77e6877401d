//! The client of a request, as proxies in front of the server name it: by `X-Forwarded-For`, or by
//! `Forwarded` (RFC 7239).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::header::{FORWARDED, GetAll, HeaderMap, HeaderName, HeaderValue};

use crate::config::Peers;
use crate::net::connection_info::{ConnectionInfo, Peer};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whether a peer is one of these.
pub(crate) fn is_trusted(peer: Peer, trusted: &[Peers]) -> bool {
    trusted.iter().any(|peers| peers.contains(peer))
}

/// The connection of a request as log lines name it: with the client, as [`client`] finds it.
pub(crate) fn info(headers: &HeaderMap, info: ConnectionInfo, trusted: &[Peers]) -> ConnectionInfo {
    ConnectionInfo {
        peer: client(headers, info.peer, trusted),
        ..info
    }
}

/// The client of a request that came from `peer`, which is the client itself unless it is trusted.
///
/// Proxies append the address that a request came to them from, so lists are read from their end: up
/// to the first address that is not trusted, or that is none. Most proxies write one of the two
/// headers, and pass on the other as a client sent it. So if there are both, and they do not agree,
/// neither is believed.
fn client(headers: &HeaderMap, peer: Peer, trusted: &[Peers]) -> Peer {
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let walk = |addresses: Option<Vec<_>>| Some(walk(peer, addresses?, trusted));
    let listed = walk(addresses(headers.get_all(X_FORWARDED_FOR), |line| {
        line.split(',').map(|node| address(node.trim())).collect()
    }));
    let forwarded = walk(addresses(headers.get_all(FORWARDED), |line| {
        split(line, ',').into_iter().map(forwarded_for).collect()
    }));
    match (listed, forwarded) {
        (Some(listed), Some(forwarded)) if listed != forwarded => peer,
        (Some(client), _) | (None, Some(client)) => client,
        (None, None) => peer,
    }
}

/// Follows addresses from the last one on, for as long as they are trusted.
fn walk(peer: Peer, addresses: Vec<Option<IpAddr>>, trusted: &[Peers]) -> Peer {
    let mut client = peer;
    for address in addresses.into_iter().rev() {
        let Some(address) = address else {
            break;
        };
        client = Peer::Host(address.to_canonical());
        if !is_trusted(client, trusted) {
            break;
        }
    }
    client
}

/// The addresses in a list, which may have several lines; `None` if there is no list. Elements
/// without an address are `None`.
fn addresses(
    lines: GetAll<'_, HeaderValue>,
    parse: fn(&str) -> Vec<Option<IpAddr>>,
) -> Option<Vec<Option<IpAddr>>> {
    let mut addresses = Vec::new();
    for line in lines {
        match line.to_str() {
            Ok(line) => addresses.extend(parse(line)),
            Err(_not_ascii) => addresses.push(None),
        }
    }
    (!addresses.is_empty()).then_some(addresses)
}

/// Splits a text, except within quoted strings (RFC 9110, section 5.6.4).
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(|c| {
        let was_escaped = is_escaped;
        is_escaped = is_quoted && c == '\\' && !was_escaped;
        if c == '"' && !was_escaped {
            is_quoted = !is_quoted;
        }
        c == separator && !is_quoted
    });
    parts.map(str::trim).collect()
}

/// The address of the parameter `for` in an element of `Forwarded` (RFC 7239, section 5.2).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = split(element, ';')
        .into_iter()
        .filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    let unquoted = node
        .strip_prefix('"')
        .and_then(|node| node.strip_suffix('"'));
    address(unquoted.unwrap_or(node))
}

/// The address of a node, which may have a port (RFC 7239, section 6).
fn address(node: &str) -> Option<IpAddr> {
    if let Ok(ip) = node.parse::<IpAddr>() {
        return Some(ip);
    }
    match node.strip_prefix('[') {
        Some(node) => node.split_once(']')?.0.parse::<Ipv6Addr>().map(IpAddr::V6),
        None => node.split_once(':')?.0.parse::<Ipv4Addr>().map(IpAddr::V4),
    }
    .ok()
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    /// The client of a request from 10.0.0.1 with these headers, if 10.0.0.0/8 is trusted.
    fn seen(lines: &[(HeaderName, &'static str)]) -> String {
        from("10.0.0.1:5", lines)
    }

    fn from(peer: &str, lines: &[(HeaderName, &'static str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "unix".parse().unwrap()];
        let peer = match peer {
            "unix" => Peer::Local,
            address => Peer::at(address.parse().unwrap()),
        };
        client(&headers, peer, &trusted).to_string()
    }

    #[test]
    fn lists_are_read_from_their_end_up_to_the_first_that_is_not_trusted() {
        for (list, client) in [
            ("192.0.2.1", "192.0.2.1"),
            ("198.51.100.9, 192.0.2.1", "192.0.2.1"),
            ("198.51.100.9, 192.0.2.1,10.0.0.2", "192.0.2.1"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("192.0.2.1, unknown", "10.0.0.1:5"),
            ("192.0.2.1, unknown, 10.0.0.2", "10.0.0.2"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.1,", "10.0.0.1:5"),
            ("", "10.0.0.1:5"),
            ("\"198.51.100.9, 192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(seen(&[(X_FORWARDED_FOR, list)]), client, "{list}");
        }
        let lines = [
            (X_FORWARDED_FOR, "198.51.100.9, 192.0.2.1"),
            (X_FORWARDED_FOR, "10.0.0.2"),
        ];
        assert_eq!(seen(&lines), "192.0.2.1");
    }

    #[test]
    fn forwarded_names_the_client_in_its_parameter_for() {
        for (list, client) in [
            ("for=192.0.2.1", "192.0.2.1"),
            (
                "For=\"192.0.2.1:4711\";proto=https;by=203.0.113.43",
                "192.0.2.1",
            ),
            ("proto=http; for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=198.51.100.9, for=192.0.2.1, for=10.0.0.2", "192.0.2.1"),
            ("for=192.0.2.1;host=\"a,for=198.51.100.9\"", "192.0.2.1"),
            ("for=192.0.2.1;host=\"a\\\",for=198.51.100.9\"", "192.0.2.1"),
            ("for=192.0.2.1, for=_hidden, for=10.0.0.2", "10.0.0.2"),
            ("for=192.0.2.1, proto=https", "10.0.0.1:5"),
            ("host=\"a, for=192.0.2.1", "10.0.0.1:5"),
        ] {
            assert_eq!(seen(&[(FORWARDED, list)]), client, "{list}");
        }
    }

    #[test]
    fn headers_that_do_not_agree_are_not_believed() {
        let listed = (X_FORWARDED_FOR, "192.0.2.1");
        for (forwarded, client) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("for=198.51.100.9", "10.0.0.1:5"),
            ("for=unknown", "10.0.0.1:5"),
        ] {
            let lines = [listed.clone(), (FORWARDED, forwarded)];
            assert_eq!(seen(&lines), client, "{forwarded}");
        }
    }

    #[test]
    fn only_a_trusted_peer_is_believed() {
        let listed = [(X_FORWARDED_FOR, "192.0.2.1")];
        assert_eq!(from("unix", &listed), "192.0.2.1");
        assert_eq!(from("11.0.0.1:5", &listed), "11.0.0.1:5");
        assert_eq!(seen(&[]), "10.0.0.1:5");
    }
}
