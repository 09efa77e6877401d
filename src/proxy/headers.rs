//! Rewriting the headers of requests and responses that are forwarded: pure functions.

use std::net::IpAddr;

use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT,
    FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use hyper::http::uri::{Authority, PathAndQuery};
use hyper::{Method, StatusCode, Version};

use super::hop::{Hop, value};
use crate::config::Upstream;
use crate::handshake::has_token;
use crate::net::connection_info::Peer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Headers that are for the next hop alone, besides those that `Connection` names (RFC 9110,
/// section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Headers that this proxy adds to, or that others act on before a body comes.
const HEAD_ALONE: [HeaderName; 12] = [
    AUTHORIZATION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    COOKIE,
    EXPECT,
    FORWARDED,
    HOST,
    VIA,
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    X_FORWARDED_PROTO,
];

/// The client of a request, and the way in which it asked.
pub(super) struct Asked<'a> {
    pub(super) peer: Peer,
    pub(super) version: Version,
    /// Whether the client is a proxy whose `X-Forwarded-Proto` is believed.
    pub(super) is_trusted: bool,
    /// Whether the client speaks TLS.
    pub(super) tls: bool,
    /// The host of an absolute request target, which overrides `Host`.
    pub(super) authority: Option<&'a Authority>,
}

/// Turns the headers of a client's request into those of the request to the upstream.
pub(super) fn forward_request(headers: &mut HeaderMap, asked: &Asked<'_>, hop: &Hop) {
    // Without user information, which Host may not have (RFC 9110, section 4.2.4).
    let target = asked.authority.map(|authority| authority.as_str());
    let target = target.and_then(|target| value(target.rsplit('@').next()?));
    let host = target.or_else(|| headers.get(HOST).cloned());
    let proto = if asked.tls { "https" } else { "http" };
    let takes_trailers = has_token(headers.get_all(TE), "trailers");
    remove_hop_by_hop(headers);
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("TE"));
    }
    if asked.version < Version::HTTP_11 {
        // A client of HTTP/1.0 could not be sent a 100 (RFC 9110, section 10.1.1).
        headers.remove(EXPECT);
    }
    join_cookies(headers);
    let client = match asked.peer {
        Peer::Tcp(address) => Some(address.ip()),
        Peer::Host(ip) => Some(ip),
        Peer::Local => None,
    };
    // Readers that count from the right must find an element for this hop, even without an address.
    let named = client.map_or("unknown".to_owned(), |ip| ip.to_string());
    append(headers, X_FORWARDED_FOR, &named);
    drop_unfinished(headers, &FORWARDED);
    append(headers, FORWARDED, &forwarded(client, host.as_ref(), proto));
    append(headers, VIA, &hop.via(asked.version));
    if !asked.is_trusted || !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    }
    match &host {
        Some(host) => headers.insert(X_FORWARDED_HOST, host.clone()),
        None => headers.remove(X_FORWARDED_HOST),
    };
    if let Some(host) = hop.host(host) {
        headers.insert(HOST, host);
    }
}

/// Turns the headers of the upstream's response into those of the answer to the client.
pub(super) fn forward_response(
    status: StatusCode,
    version: Version,
    headers: &mut HeaderMap,
    hop: &Hop,
) {
    let upgrade = headers.get(UPGRADE).cloned();
    remove_hop_by_hop(headers);
    // An Upgrade that says what is required, or agreed on, is meant for the client (RFC 9110,
    // section 15.5.22).
    let tells = matches!(
        status,
        StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED
    );
    if let Some(upgrade) = upgrade.filter(|_| tells) {
        headers.insert(UPGRADE, upgrade);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    append(headers, VIA, &hop.via(version));
}

/// Joins the upstream's base path with a path and query, with one slash between them. `OPTIONS *`
/// asks for no path (RFC 9112, section 3.2.4).
pub(super) fn join(
    upstream: &Upstream,
    method: &Method,
    target: Option<&PathAndQuery>,
) -> Option<PathAndQuery> {
    let base = upstream.base();
    match target.map_or("/", PathAndQuery::as_str) {
        "*" => (method == Method::OPTIONS).then(|| PathAndQuery::from_static("*")),
        target if target.starts_with('/') => format!("{base}{target}").parse().ok(),
        target => format!("{base}/{target}").parse().ok(),
    }
}

/// Turns the trailers of a message into those of the one that is forwarded. Fields that say how a
/// message is framed, routed or answered are for its head alone (RFC 9110, section 6.5.1).
pub(super) fn forward_trailers(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    for name in &HEAD_ALONE {
        trailers.remove(name);
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Joins the lines of cookies, because HTTP/2 may have split them (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<_> = headers.get_all(COOKIE).iter().collect();
    if let [_, _, ..] = lines[..] {
        let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
        set(headers, COOKIE, &lines.join(&b"; "[..]));
    }
}

/// Drops a list that ends within a quoted string: what is appended would become part of that
/// string.
fn drop_unfinished(headers: &mut HeaderMap, name: &HeaderName) {
    let lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let quotes = lines.flatten().filter(|byte| **byte == b'"').count();
    if quotes % 2 == 1 {
        headers.remove(name);
    }
}

/// Appends an element to a list, and makes the list one line.
fn append(headers: &mut HeaderMap, name: HeaderName, element: &str) {
    let lines = headers.get_all(&name).iter().map(HeaderValue::as_bytes);
    let list: Vec<_> = lines.chain([element.as_bytes()]).collect();
    let list = list.join(&b", "[..]);
    set(headers, name, &list);
}

/// Makes a header one line, made of values that were valid.
fn set(headers: &mut HeaderMap, name: HeaderName, line: &[u8]) {
    if let Ok(line) = HeaderValue::from_bytes(line) {
        headers.insert(name, line);
    }
}

/// An element of `Forwarded` (RFC 7239, section 4).
fn forwarded(client: Option<IpAddr>, host: Option<&HeaderValue>, proto: &str) -> String {
    let client = match client {
        Some(IpAddr::V4(ip)) => ip.to_string(),
        Some(IpAddr::V6(ip)) => format!("\"[{ip}]\""),
        None => "unknown".to_owned(),
    };
    // No host needs an escape in a quoted string: a text that needs one is no host.
    let plain = |host: &&str| !host.contains(['"', '\\']);
    match host.and_then(|host| host.to_str().ok()).filter(plain) {
        Some(host) => format!("for={client};host=\"{host}\";proto={proto}"),
        None => format!("for={client};proto={proto}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::hop::tests::hop;

    fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
        let lines = lines.iter();
        lines
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn forward(lines: &[(&'static str, &str)], peer: &str, host: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let asked = Asked {
            peer: peer.parse().map_or(Peer::Local, Peer::Tcp),
            version: Version::HTTP_11,
            is_trusted: false,
            tls: false,
            authority: None,
        };
        forward_request(&mut headers, &asked, &hop(host));
        headers
    }

    #[test]
    fn trailers_are_cleared_of_headers_for_one_hop() {
        let mut trailers = HeaderMap::new();
        for name in [
            "x-ok",
            "x-forwarded-for",
            "connection",
            "x-named",
            "expect",
            "te",
        ] {
            let value = if name == "connection" { "x-named" } else { "1" };
            trailers.insert(name, HeaderValue::from_static(value));
        }
        forward_trailers(&mut trailers);
        let left: Vec<_> = trailers.keys().collect();
        assert_eq!(left, ["x-ok"]);
    }

    #[test]
    fn a_list_that_ends_within_a_quoted_string_is_begun_anew() {
        for (list, is_kept) in [
            ("for=192.0.2.1", true),
            ("for=\"[::1]\"", true),
            ("for=\"1.1.1.1", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED, HeaderValue::from_static(list));
            drop_unfinished(&mut headers, &FORWARDED);
            assert_eq!(headers.contains_key(FORWARDED), is_kept, "{list}");
        }
    }

    #[test]
    fn a_request_says_who_asked_and_what_is_for_one_hop_goes() {
        let forwarded = forward(
            &[
                ("host", "front.test:1"),
                ("cookie", "a=b"),
                ("connection", "close, X-Secret"),
                ("connection", "upgrade"),
                ("x-secret", "1"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "close"),
                ("te", "trailers"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-for", "7.7.7.7"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "forged.test"),
                ("forwarded", "for=6.6.6.6"),
                ("via", "1.1 other"),
            ],
            "192.0.2.1:5",
            "upstream",
        );
        let expected = map(&[
            ("host", "127.0.0.1:8002"),
            ("cookie", "a=b"),
            ("te", "trailers"),
            ("connection", "TE"),
            ("x-forwarded-for", "6.6.6.6, 7.7.7.7, 192.0.2.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "front.test:1"),
            (
                "forwarded",
                "for=6.6.6.6, for=192.0.2.1;host=\"front.test:1\";proto=http",
            ),
            ("via", "1.1 other, 1.1 echobeat"),
        ]);
        assert_eq!(forwarded, expected);
    }

    #[test]
    fn hosts_and_clients_of_every_kind_are_named() {
        let headers = forward(&[("host", "front.test")], "[2001:db8::1]:5", "client");
        assert_eq!(headers[HOST], "front.test");
        assert_eq!(headers[X_FORWARDED_FOR], "2001:db8::1");
        let element = "for=\"[2001:db8::1]\";host=\"front.test\";proto=http";
        assert_eq!(headers[FORWARDED], element);
        let headers = forward(&[], "a Unix socket", "client");
        assert_eq!(headers[HOST], "127.0.0.1:8002");
        assert_eq!(headers[FORWARDED], "for=unknown;proto=http");
        let headers = forward(&[("host", "front.test")], "[::1]:5", "other.test:1");
        assert_eq!(headers[HOST], "other.test:1");
        assert_eq!(headers[X_FORWARDED_HOST], "front.test");
    }

    #[test]
    fn what_came_over_http2_and_tls_says_so_with_its_cookies_in_one_line() {
        let mut headers = HeaderMap::new();
        for cookie in ["a=b", "c=d"] {
            headers.append(COOKIE, cookie.parse().unwrap());
        }
        let authority = "front.test".parse().unwrap();
        let asked = Asked {
            peer: Peer::Local,
            version: Version::HTTP_2,
            is_trusted: false,
            tls: true,
            authority: Some(&authority),
        };
        forward_request(&mut headers, &asked, &hop("client"));
        let expected = map(&[
            ("host", "front.test"),
            ("cookie", "a=b; c=d"),
            ("x-forwarded-for", "unknown"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "front.test"),
            ("forwarded", "for=unknown;host=\"front.test\";proto=https"),
            ("via", "2.0 echobeat"),
        ]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn a_user_in_the_target_is_kept_from_the_host() {
        let authority = "user:secret@front.test:1".parse().unwrap();
        let asked = Asked {
            peer: Peer::Local,
            version: Version::HTTP_11,
            is_trusted: false,
            tls: false,
            authority: Some(&authority),
        };
        let mut headers = map(&[("host", "other.test")]);
        forward_request(&mut headers, &asked, &hop("client"));
        assert_eq!(headers[HOST], "front.test:1");
        assert_eq!(headers[X_FORWARDED_HOST], "front.test:1");
    }

    #[test]
    fn a_response_keeps_upgrade_where_it_is_for_the_client() {
        for (status, kept) in [(101, true), (426, true), (200, false)] {
            let mut headers = map(&[("upgrade", "websocket"), ("connection", "upgrade")]);
            let status = StatusCode::from_u16(status).unwrap();
            forward_response(status, Version::HTTP_11, &mut headers, &hop("client"));
            assert_eq!(headers.contains_key(UPGRADE), kept, "{status}");
            assert_eq!(headers.contains_key(CONNECTION), kept, "{status}");
        }
    }

    #[test]
    fn paths_are_joined_with_one_slash() {
        for (base, target, joined) in [
            ("", "/", "/"),
            ("", "/a?b=c", "/a?b=c"),
            ("/base", "/", "/base/"),
            ("/base", "/a/?b", "/base/a/?b"),
            ("/base", "//a", "/base//a"),
        ] {
            let upstream = format!("http://upstream.test{base}").parse().unwrap();
            let target = target.parse().unwrap();
            let joined_to = join(&upstream, &Method::GET, Some(&target)).unwrap();
            assert_eq!(joined_to.as_str(), joined);
        }
        let (upstream, all) = ("http://a/base".parse().unwrap(), "*".parse().unwrap());
        let options = join(&upstream, &Method::OPTIONS, Some(&all));
        assert_eq!(options.unwrap().as_str(), "*");
        assert_eq!(join(&upstream, &Method::GET, Some(&all)), None);
    }
}
