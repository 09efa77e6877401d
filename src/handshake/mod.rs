//! The handshake as a pure function, from a request to the response that accepts it, or to the
//! refusal: an upgrade by RFC 6455, section 4.2, or over HTTP/2 an extended CONNECT by RFC 8441.
//!
//! The checks are our own: tungstenite's read only the first `Connection` line, and want `Upgrade`
//! to be exactly `websocket`.

mod extensions;
mod faults;

use std::borrow::Cow;

use hyper::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, GetAll, HOST, HeaderMap, HeaderValue, ORIGIN,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::config::{self, Compression, ServerConfig};
use crate::http::Refusal;
use crate::http::http2::Protocol;
use crate::scenario::Scenario;
use crate::ws::deflate::PermessageDeflate;
use crate::ws::subprotocol::Subprotocol;
use extensions::{Offer, Policy};

pub(crate) use extensions::split as split_list;
pub(crate) use faults::{
    distorted as accept_by_step, no_accept_over_http2, refusal as refusal_by_step, scenario,
};

/// Most header lines of a request.
const MAX_HEADERS: usize = 64;

/// Most bytes of a request's head: its first line, and every header line.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// An accepted handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handshake {
    acceptance: Acceptance,
    /// The subprotocol selected, if any.
    pub(crate) subprotocol: Option<Subprotocol>,
    /// The client's offers, if there were some and none was selected.
    pub(crate) passed_over: Option<String>,
    /// The client's offer to compress messages, if there is one that is acceptable.
    offer: Option<Offer>,
    /// The extension that was agreed on, if any.
    pub(crate) deflate: Option<PermessageDeflate>,
    /// An extension that the response names in its place, though it was not offered.
    unasked: Option<&'static str>,
    /// Steps in which the session misbehaves.
    pub(crate) scenario: Scenario,
}

/// Form of the response that accepts a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Acceptance {
    /// A 101, with this value of `Sec-WebSocket-Accept`.
    Upgrade(Option<String>),
    /// A 200 to an extended CONNECT.
    Connect,
}

impl Handshake {
    /// The response that accepts the request: a 101, or a 200 to an extended CONNECT.
    pub(crate) fn response<B: Default>(&self) -> Response<B> {
        let mut response = Response::new(B::default());
        if let Acceptance::Upgrade(accept) = &self.acceptance {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            // Base64 and tokens are visible ASCII, so neither conversion fails.
            if let Some(Ok(accept)) = accept.as_deref().map(HeaderValue::from_str) {
                headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
            }
        }
        if let Some(Ok(name)) = self.subprotocol.as_ref().map(|name| name.as_str().parse()) {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name);
        }
        let deflate = self.deflate.map(|deflate| deflate.to_string());
        if let Some(Ok(value)) = self.unasked.or(deflate.as_deref()).map(str::parse) {
            let headers = response.headers_mut();
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, value);
        }
        response
    }
}

/// Whether a request asks for a session, in a valid way or not.
pub(crate) fn is_asked_for<B>(request: &Request<B>) -> bool {
    match request.version() {
        Version::HTTP_2 => request.extensions().get::<Protocol>().is_some(),
        _ => has_token(request.headers().get_all(UPGRADE), "websocket"),
    }
}

/// Answers a request that [asks for a session](is_asked_for).
pub(crate) fn answer<B>(request: &Request<B>, config: &ServerConfig) -> Result<Handshake, Refusal> {
    let headers = request.headers();
    check_head(request)?;
    let acceptance = match request.version() {
        Version::HTTP_2 => {
            check_connect(request)?;
            // HTTP/2 has no upgrade that could be required.
            check_version(headers, StatusCode::BAD_REQUEST)?;
            Acceptance::Connect
        }
        _ => {
            check_upgrade(request)?;
            check_version(headers, StatusCode::UPGRADE_REQUIRED).map_err(|refusal| {
                // RFC 9110, section 15.5.22.
                refusal.with(UPGRADE, "websocket")
            })?;
            Acceptance::Upgrade(Some(accept_key(headers)?))
        }
    };
    check_path(request.uri().path(), config)?;
    check_origin(request, config)?;
    let subprotocol = select_subprotocol(headers, &config.subprotocols);
    let offers: Vec<_> = offers(headers).collect();
    let scenario = faults::scenario(request.uri().query(), config)?;
    let offer = Offer::first(headers.get_all(SEC_WEBSOCKET_EXTENSIONS));
    Ok(Handshake {
        acceptance,
        passed_over: (subprotocol.is_none() && !offers.is_empty()).then(|| offers.join(", ")),
        subprotocol,
        offer,
        deflate: agreed(offer, config.compression, &scenario),
        unasked: None,
        scenario,
    })
}

/// Checks every request, upgrade or not: the head's size, and its `Host` (RFC 9112, section 3.2).
pub(crate) fn check_head<B>(request: &Request<B>) -> Result<(), Refusal> {
    let headers = request.headers();
    let lines: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum();
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    let first_line = request.method().as_str().len() + target + "  HTTP/1.1\r\n\r\n".len();
    if headers.len() > MAX_HEADERS || first_line + lines > MAX_HEAD_BYTES {
        return Err(Refusal::head_too_large());
    }
    if request.version() == Version::HTTP_2 {
        check_authority(request)?;
    }
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host) => Ok(()),
        (Some(_), None) => Err(bad_request("The Host header is not a host, or host:port.")),
        (Some(_), Some(_)) => Err(bad_request("There must be one Host header, not several.")),
        // HTTP/2 has it in :authority (RFC 9113, section 8.3.1).
        _ if request.version() == Version::HTTP_2 && request.uri().authority().is_some() => Ok(()),
        _ if request.version() < Version::HTTP_11 => Ok(()),
        _ => Err(bad_request("The Host header is missing.")),
    }
}

/// Whether a value of `Host` is one (RFC 9112, section 3.2): it may be empty.
fn is_host(value: &HeaderValue) -> bool {
    if value.is_empty() || is_plain_host(value.as_bytes()) {
        return true;
    }
    value.to_str().is_ok_and(is_authority)
}

/// Whether a text is a host, with a port or without one, and nothing else.
fn is_authority(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else {
        return false;
    };
    let port = text.strip_prefix(authority.host());
    port.is_some_and(|port| matches!(port, "" | ":") || authority.port_u16().is_some())
}

/// Whether a value of `Host` is a name or an IPv4 address, perhaps with a port, as nearly all are:
/// they need no parser.
fn is_plain_host(value: &[u8]) -> bool {
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let length = value.iter().take_while(|byte| is_inner(byte)).count();
    let (name, port) = value.split_at(length);
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let is_port = match port {
        [] => true,
        // A port of five digits may be too large.
        [b':', digits @ ..] => digits.len() < 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_end(name.first()) && is_end(name.last()) && is_port
}

/// Checks the authority of a request of HTTP/2, which takes the place of `Host` (RFC 9113, section
/// 8.3.1).
fn check_authority<B>(request: &Request<B>) -> Result<(), Refusal> {
    let Some(authority) = request.uri().authority().map(|a| a.as_str()) else {
        return Ok(());
    };
    if authority.contains('@') {
        return Err(bad_request("The :authority has a user, which it may not."));
    }
    let differs = |host: &HeaderValue| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes());
    match request.headers().get_all(HOST).iter().any(differs) {
        true => Err(bad_request("The Host header differs from the :authority.")),
        false => Ok(()),
    }
}

/// Checks that an upgrade is a good request of HTTP/1.1.
pub(crate) fn check_upgrade<B>(request: &Request<B>) -> Result<(), Refusal> {
    let headers = request.headers();
    if request.method() != Method::GET {
        let sentence = "A WebSocket handshake is a GET request.";
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, sentence).with(ALLOW, "GET"));
    }
    if request.version() < Version::HTTP_11 {
        return Err(Refusal::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "A WebSocket handshake takes HTTP/1.1.",
        ));
    }
    check_no_body(headers)?;
    if !has_token(headers.get_all(CONNECTION), "upgrade") {
        return Err(bad_request(
            "The Connection header must list Upgrade. Does a proxy in between drop it?",
        ));
    }
    Ok(())
}

/// Checks an extended CONNECT (RFC 8441, section 4). h2 has checked that there is a scheme and a
/// path.
pub(crate) fn check_connect<B>(request: &Request<B>) -> Result<(), Refusal> {
    let protocol = request.extensions().get::<Protocol>();
    if protocol.is_none_or(|protocol| protocol.as_str() != "websocket") {
        // RFC 9220, section 3, which says it for HTTP/3.
        let sentence = "The only :protocol that is spoken here is websocket.";
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, sentence));
    }
    let uri = request.uri();
    let is_path = uri
        .path_and_query()
        .is_some_and(|path| path.as_str().starts_with('/'));
    if !is_path || !matches!(uri.scheme_str(), Some("http" | "https")) {
        let sentence = "The :path must begin with /, and the :scheme must be http or https.";
        return Err(bad_request(sentence));
    }
    check_no_body(request.headers())
}

fn check_no_body(headers: &HeaderMap) -> Result<(), Refusal> {
    let empty = headers.get_all(CONTENT_LENGTH).iter().all(|n| n == "0");
    if !empty || headers.contains_key(TRANSFER_ENCODING) {
        return Err(bad_request("A WebSocket handshake has no body."));
    }
    Ok(())
}

fn check_version(headers: &HeaderMap, otherwise: StatusCode) -> Result<(), Refusal> {
    match only(headers.get_all(SEC_WEBSOCKET_VERSION)) {
        Some("13") => Ok(()),
        _ => Err(Refusal::new(
            otherwise,
            "The Sec-WebSocket-Version header must be 13 (RFC 6455).",
        )
        .with(SEC_WEBSOCKET_VERSION, "13")),
    }
}

/// The `Sec-WebSocket-Accept` for the request's key. The key is checked for its form alone: the
/// last digit of 16 bytes in base64 has four spare bits, and some clients fill them at random.
pub(crate) fn accept_key(headers: &HeaderMap) -> Result<String, Refusal> {
    let digit = |c: u8| c.is_ascii_alphanumeric() || c == b'+' || c == b'/';
    match only(headers.get_all(SEC_WEBSOCKET_KEY)).map(str::as_bytes) {
        Some(key @ [digits @ .., b'=', b'='])
            if digits.len() == 22 && digits.iter().copied().all(digit) =>
        {
            Ok(derive_accept_key(key))
        }
        _ => Err(bad_request(
            "There must be one Sec-WebSocket-Key header: 16 bytes in base64.",
        )),
    }
}

fn check_path(path: &str, config: &ServerConfig) -> Result<(), Refusal> {
    if is_upgrade_path(path, config) {
        return Ok(());
    }
    let paths: Vec<_> = config.paths.iter().map(ToString::to_string).collect();
    let sentence = format!("No WebSocket here. Connect to {}.", paths.join(" or "));
    Err(Refusal::new(StatusCode::NOT_FOUND, sentence))
}

/// Whether an upgrade on `path` may become a session.
pub(crate) fn is_upgrade_path(path: &str, config: &ServerConfig) -> bool {
    config.paths.is_empty() || config.paths.iter().any(|known| known.matches(path))
}

/// Refuses pages of foreign origins. A client that sends no `Origin` is no browser, and could forge
/// it.
fn check_origin<B>(request: &Request<B>, config: &ServerConfig) -> Result<(), Refusal> {
    let allowed = &config.allowed_origins;
    let host = host(request).unwrap_or_default();
    let known = |value: &HeaderValue| {
        let value = value.to_str().unwrap_or_default();
        allowed.iter().any(|origin| origin.matches(value))
            || config::is_own(value, host, &config.listen)
    };
    if allowed.is_empty() || request.headers().get_all(ORIGIN).iter().all(known) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        "Pages of this origin may not connect here.",
    ))
}

/// The host that a request is for, with its port if that is not the scheme's own.
pub(crate) fn host<B>(request: &Request<B>) -> Option<&str> {
    host_of(request.uri(), request.headers())
}

/// The same of a request with this target and these headers.
pub(crate) fn host_of<'a>(target: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let authority = target.authority().map(|authority| authority.as_str());
    authority.or_else(|| headers.get(HOST)?.to_str().ok())
}

/// Selects the first of the server's subprotocols that the client offers, or, if the server has
/// none, the client's first valid offer: a browser fails a connection that offered some and got
/// none.
fn select_subprotocol(headers: &HeaderMap, ours: &[Subprotocol]) -> Option<Subprotocol> {
    let mut offers = offers(headers).filter_map(|offer| offer.parse::<Subprotocol>().ok());
    if ours.is_empty() {
        return offers.next();
    }
    let offers: Vec<_> = offers.collect();
    ours.iter().find(|name| offers.contains(name)).cloned()
}

/// The parameters of permessage-deflate with which an offer is accepted, if it is.
fn agreed(
    offer: Option<Offer>,
    compression: Compression,
    scenario: &Scenario,
) -> Option<PermessageDeflate> {
    Some(offer?.accept(Policy::new(compression, scenario)?))
}

/// The lines in which the client offers extensions.
pub(crate) fn extension_offers(headers: &HeaderMap) -> impl Iterator<Item = Cow<'_, str>> {
    let lines = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
    lines.map(|line| String::from_utf8_lossy(line.as_bytes()))
}

/// The subprotocols that the client offers, valid or not.
pub(crate) fn offers(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    tokens(headers.get_all(SEC_WEBSOCKET_PROTOCOL)).filter(|offer| !offer.is_empty())
}

fn bad_request(sentence: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, sentence)
}

/// The value of a header that must occur exactly once.
fn only(values: GetAll<'_, HeaderValue>) -> Option<&str> {
    let mut values = values.iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

pub(crate) fn has_token(values: GetAll<'_, HeaderValue>, wanted: &str) -> bool {
    // Nearly all lists have one element, which needs no splitting.
    let is_wanted = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes());
    values.iter().any(is_wanted) || tokens(values).any(|token| token.eq_ignore_ascii_case(wanted))
}

/// The elements of a comma-separated list, which may be spread over several header lines (RFC
/// 9110, section 5.3).
fn tokens<'a>(values: GetAll<'a, HeaderValue>) -> impl Iterator<Item = &'a str> {
    values
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

#[cfg(test)]
mod tests;
