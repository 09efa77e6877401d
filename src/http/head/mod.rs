//! The head of a request of HTTP/1.1, before hyper reads it: whether it is whole, what is wrong
//! with it, where its body ends, and the request itself if hyper is not to read it. hyper answers a
//! head that it cannot parse with a bare status, and does not say why.

mod diagnose;

use std::borrow::Cow;
use std::fmt::Display;
use std::mem::MaybeUninit;

use httparse::{Error, Header, Status};
use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Request, StatusCode, Uri, Version};

use super::Refusal;
use super::chunks::Chunks;
use super::preface::HTTP_1_1_REQUIRED;
use super::response::{last_bytes, refuse};
use crate::telemetry::rejects::Cause;
use diagnose::diagnose;

/// Most bytes of a head that are read: twice the limit of a request, so that a head above the limit
/// still gets an answer that says so.
pub(super) const READ_LIMIT: usize = 32 << 10;

/// Most header lines that are parsed: as many as hyper parses.
const LINES: usize = 100;

/// Schemes of a target that is a whole URL: some clients write that of the WebSocket.
const SCHEMES: [&str; 4] = ["http", "https", "ws", "wss"];

/// Bytes that some clients leave unencoded in a target, though no URI may have them.
const UNENCODED: &[u8] = b"\"<>`";

/// A whole head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Number of bytes of the head.
    pub(super) length: usize,
    /// The head with its target encoded, where it has bytes that no URI may have.
    pub(super) encoded: Option<Vec<u8>>,
    pub(super) behind: BodyTracker,
    /// Whether there is an `Upgrade`.
    pub(super) is_upgrade: bool,
}

/// Data that comes next on the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BodyTracker {
    /// The next head.
    Head,
    /// This many bytes of a body.
    Length(u64),
    /// A chunked body.
    Chunks(Chunks),
}

impl BodyTracker {
    /// Advances over `bytes`, the next on the stream, and returns how many of them belong to the
    /// body. The next head follows the body.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> usize {
        let (taken, is_over) = match self {
            Self::Head => (0, true),
            Self::Length(left) => {
                let taken = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                (taken, *left == 0)
            }
            Self::Chunks(chunks) => {
                let taken = chunks.advance(bytes);
                (taken, chunks.is_over())
            }
        };
        if is_over {
            *self = Self::Head;
        }
        taken
    }
}

/// A head that is refused.
#[derive(Debug)]
pub(crate) struct Reject {
    pub(crate) cause: Cause,
    pub(crate) refusal: Refusal,
    /// Whether it is a HEAD, whose answer has no body.
    pub(super) is_head: bool,
}

impl Reject {
    fn new(cause: Cause, status: StatusCode, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self {
            cause,
            refusal: Refusal::new(status, sentence),
            is_head: false,
        }
    }

    fn bad_request(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Cause::BadRequest, StatusCode::BAD_REQUEST, sentence)
    }

    /// Rejects a connection of a load balancer that does not begin with a good header of the PROXY
    /// protocol, for this reason.
    pub(crate) fn no_proxy_header(fault: &impl Display) -> Self {
        let sentence = format!(
            "Connections from this address must begin with the PROXY protocol, because \
             --proxy-protocol names it: {fault}."
        );
        Self::new(Cause::NoProxyProtocol, StatusCode::BAD_REQUEST, sentence)
    }

    /// Rejects bytes that are not TLS, on a port that speaks TLS; `read` has the first of them.
    pub(crate) fn no_tls(read: &[u8]) -> Self {
        match parse(read) {
            Err(reject) if matches!(reject.cause, Cause::ProxyProtocol | Cause::Http2) => {
                return reject;
            }
            _ => {}
        }
        let host = host(read).filter(|host| host.parse::<Authority>().is_ok());
        let host = host.unwrap_or_default();
        let sentence = format!("This port speaks TLS: use https://{host} or wss://{host}.");
        Self {
            is_head: read.starts_with(b"HEAD "),
            ..Self::new(Cause::PlainOnTls, StatusCode::BAD_REQUEST, sentence)
        }
    }

    /// The bytes of the answer.
    pub(crate) fn answer(&self) -> Vec<u8> {
        match self.cause {
            Cause::Http2 => HTTP_1_1_REQUIRED.to_vec(),
            _ => last_bytes(refuse(&self.refusal), self.is_head),
        }
    }

    /// Rejects a head that ends before it is complete.
    pub(super) fn cut_off() -> Self {
        Self::bad_request("The request ends within its head: an empty line is missing.")
    }

    fn too_large() -> Self {
        let refusal = Refusal::head_too_large();
        Self::new(Cause::BadRequest, refusal.status, refusal.sentence)
    }
}

/// Whether `read` is long enough to tell what it is.
pub(crate) fn is_clear(read: &[u8]) -> bool {
    !matches!(parse(read), Ok(None))
}

/// Parses the head that `read` begins with, if it is whole.
pub(super) fn parse(read: &[u8]) -> Result<Option<Head>, Reject> {
    check(read).map_err(|reject| Reject {
        is_head: read.starts_with(b"HEAD "),
        ..reject
    })
}

fn check(read: &[u8]) -> Result<Option<Head>, Reject> {
    let mut lines = [const { MaybeUninit::uninit() }; LINES];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(read, &mut lines) {
        Ok(Status::Complete(length)) => {
            let target = request.path.unwrap_or_default();
            check_form(request.method.unwrap_or_default(), target)?;
            let behind = behind(request.headers, request.version == Some(0))?;
            Ok(Some(Head {
                length,
                encoded: encoded(&read[..length], target)?,
                behind,
                is_upgrade: has(request.headers, "upgrade"),
            }))
        }
        Ok(Status::Partial) if read.len() < READ_LIMIT => Ok(None),
        Ok(Status::Partial) | Err(Error::TooManyHeaders) => Err(Reject::too_large()),
        Err(error) => Err(diagnose(read, error)),
    }
}

/// The request that a [parsed](parse) head is, with its parts made as hyper makes them.
pub(super) fn request(head: &Bytes) -> Option<Request<()>> {
    let mut lines = [const { MaybeUninit::uninit() }; LINES];
    let mut parsed = httparse::Request::new(&mut []);
    parsed.parse_with_uninit_headers(head, &mut lines).ok()?;
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for line in parsed.headers {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(line.value)).ok()?;
        if name == CONTENT_LENGTH && headers.contains_key(CONTENT_LENGTH) {
            // They are the same, and hyper keeps the first.
            continue;
        }
        headers.append(name, value);
    }
    let mut request = Request::new(());
    *request.method_mut() = parsed.method?.parse().ok()?;
    *request.uri_mut() = Uri::from_maybe_shared(head.slice_ref(parsed.path?.as_bytes())).ok()?;
    *request.version_mut() = match parsed.version? {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    *request.headers_mut() = headers;
    Some(request)
}

/// Whether one of the lines has this name.
fn has(lines: &[Header<'_>], name: &str) -> bool {
    lines
        .iter()
        .any(|line| line.name.eq_ignore_ascii_case(name))
}

/// Checks that a target has one of the forms that its method may have (RFC 9112, section 3.2).
fn check_form(method: &str, target: &str) -> Result<(), Reject> {
    let is_absolute = || {
        let scheme = target.split_once("://").map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| SCHEMES.iter().any(|s| scheme.eq_ignore_ascii_case(s)))
    };
    match (method, target) {
        ("CONNECT", _) | ("OPTIONS", "*") => Ok(()),
        _ if target.starts_with('/') || is_absolute() => Ok(()),
        _ => Err(Reject::bad_request(
            "The target of the request must be a path that begins with /, or a whole URL with http:// \
             or https://.",
        )),
    }
}

/// The value of `Host`, in bytes that may be a head.
fn host(read: &[u8]) -> Option<&str> {
    let mut lines = [httparse::EMPTY_HEADER; LINES];
    let mut request = httparse::Request::new(&mut lines);
    request.parse(read).ok()?;
    let is_host = |line: &&Header<'_>| line.name.eq_ignore_ascii_case("host");
    let host = request.headers.iter().find(is_host)?.value;
    std::str::from_utf8(host).ok()
}

/// Determines what follows a head with these lines (RFC 9112, section 6.3).
fn behind(lines: &[Header<'_>], is_old: bool) -> Result<BodyTracker, Reject> {
    let mut length = None;
    let mut is_chunked = None;
    for line in lines {
        if line.name.eq_ignore_ascii_case("transfer-encoding") {
            let last = line.value.rsplit(|byte| *byte == b',').next();
            let last = last.unwrap_or_default().trim_ascii();
            is_chunked = Some(last.eq_ignore_ascii_case(b"chunked"));
        } else if line.name.eq_ignore_ascii_case("content-length") {
            let sentence = "The Content-Length is not a number.";
            let new = number(line.value).ok_or_else(|| Reject::bad_request(sentence))?;
            if length.is_some_and(|length| length != new) {
                let sentence = "There are two Content-Length headers, and they differ.";
                return Err(Reject::bad_request(sentence));
            }
            length = Some(new);
        }
    }
    match (is_chunked, length) {
        (Some(_), _) if is_old => Err(Reject::bad_request(
            "HTTP/1.0 has no Transfer-Encoding: use HTTP/1.1, or Content-Length.",
        )),
        (Some(false), _) => Err(Reject::bad_request(
            "The last Transfer-Encoding of a request must be chunked: otherwise its end is not known.",
        )),
        (Some(true), _) => Ok(BodyTracker::Chunks(Chunks::default())),
        (None, None | Some(0)) => Ok(BodyTracker::Head),
        (None, Some(length)) => Ok(BodyTracker::Length(length)),
    }
}

/// A number of decimal digits alone. hyper refuses the few largest numbers of 64 bits.
fn number(digits: &[u8]) -> Option<u64> {
    let digits = digits.trim_ascii();
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (number < u64::MAX - 2).then_some(number)
}

/// The head with its target encoded, if the target needs that: RFC 9112, section 3.2, allows it.
/// Python's websockets sends a query as it is given, and curl a path.
fn encoded(head: &[u8], target: &str) -> Result<Option<Vec<u8>>, Reject> {
    if target.parse::<Uri>().is_ok() {
        return Ok(None);
    }
    let mut better = String::with_capacity(target.len() + 16);
    for byte in target.bytes() {
        match byte {
            0x80.. => better.push_str(&format!("%{byte:02X}")),
            byte if UNENCODED.contains(&byte) => better.push_str(&format!("%{byte:02X}")),
            byte => better.push(byte.into()),
        }
    }
    if let Err(error) = better.parse::<Uri>() {
        let sentence = format!("The target of the request is no URI: {error}.");
        return Err(Reject::bad_request(sentence));
    }
    // The method is a token, with one space after it.
    let start = head.iter().position(|byte| *byte == b' ').unwrap_or(0) + 1;
    let rest = &head[start + target.len()..];
    Ok(Some([&head[..start], better.as_bytes(), rest].concat()))
}

#[cfg(test)]
mod tests;
