//! The head of a request of HTTP/1.1, before hyper reads it: whether it is whole, what is wrong
//! with it, and where its body ends. hyper answers a head that it cannot parse with a bare status,
//! and does not say why.

use std::borrow::Cow;

use httparse::{Error, Header, Status};
use hyper::http::uri::Authority;
use hyper::{StatusCode, Uri};

use super::Refusal;
use super::chunks::Chunks;
use super::preface::HTTP_1_1_REQUIRED;
use super::response::{last_bytes, refuse};
use crate::telemetry::rejects::Cause;

/// Most bytes of a head that are read: twice the limit of a request, so that a head above the limit
/// still gets an answer that says so.
pub(super) const READ_LIMIT: usize = 32 << 10;

/// Most header lines that are parsed: as many as hyper parses.
const LINES: usize = 100;

/// Bytes that HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Bytes that the binary form of the PROXY protocol begins with.
const PROXY_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

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
    let mut lines = [httparse::EMPTY_HEADER; LINES];
    let mut request = httparse::Request::new(&mut lines);
    match request.parse(read) {
        Ok(Status::Complete(length)) => {
            let target = request.path.unwrap_or_default();
            check_form(request.method.unwrap_or_default(), target)?;
            let behind = behind(request.headers, request.version == Some(0))?;
            Ok(Some(Head {
                length,
                encoded: encoded(&read[..length], target)?,
                behind,
            }))
        }
        Ok(Status::Partial) if read.len() < READ_LIMIT => Ok(None),
        Ok(Status::Partial) | Err(Error::TooManyHeaders) => Err(Reject::too_large()),
        Err(error) => Err(diagnose(read, error)),
    }
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

/// Says what is wrong with a head that cannot be parsed.
fn diagnose(read: &[u8], error: Error) -> Reject {
    if let [0x16, 3, ..] | [0x16] = read {
        return Reject::new(
            Cause::TlsOnPlain,
            StatusCode::BAD_REQUEST,
            "This is TLS, and this port speaks none: use ws:// or http://, or start with --tls-cert \
             or --tls-self-signed.",
        );
    }
    let begins = read.trim_ascii_start();
    if read.starts_with(PROXY_SIGNATURE) || begins.starts_with(b"PROXY ") {
        return Reject::new(
            Cause::ProxyProtocol,
            StatusCode::BAD_REQUEST,
            "This is the PROXY protocol, which is not spoken here: switch it off in the proxy or load \
             balancer in front.",
        );
    }
    if begins.starts_with(PREFACE) {
        let sentence = "HTTP/2 is spoken here over TLS, or else with --h2c.";
        return Reject::new(
            Cause::Http2,
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            sentence,
        );
    }
    match error {
        Error::HeaderName | Error::HeaderValue | Error::NewLine => in_lines(begins, error),
        _ => in_first_line(begins),
    }
}

/// Protocols that clients send to the wrong port, by their first bytes.
const PROTOCOLS: [(&[u8], &str); 12] = [
    (b"SSH-", "SSH"),
    (b"EHLO ", "SMTP"),
    (b"HELO ", "SMTP"),
    (b"*1\r\n", "Redis"),
    (b"*2\r\n", "Redis"),
    (b"*3\r\n", "Redis"),
    (b"PING\r\n", "Redis"),
    (b"\x04\x01", "SOCKS"),
    (b"\x05\x01", "SOCKS"),
    (b"\x05\x02", "SOCKS"),
    (b"\x05\x03", "SOCKS"),
    (b"\x10", "MQTT"),
];

/// Whether these bytes may be the first frame of a WebSocket client, which is masked.
fn is_frame(read: &[u8]) -> bool {
    matches!(
        read,
        [0x01 | 0x02 | 0x81 | 0x82 | 0x88..=0x8a, 0x80..=0xff, ..]
    )
}

/// Says what is wrong with a request line.
fn in_first_line(read: &[u8]) -> Reject {
    let not_http = |sentence| Reject::new(Cause::NotHttp, StatusCode::BAD_REQUEST, sentence);
    if is_frame(read) {
        let sentence = "This is a WebSocket frame, and there was no upgrade before it.";
        return not_http(Cow::from(sentence));
    }
    if let Some((_, name)) = PROTOCOLS
        .iter()
        .find(|(begins, _)| read.starts_with(begins))
    {
        return not_http(format!("This looks like {name}, and HTTP is spoken here.").into());
    }
    let line = read.split(|byte| *byte == b'\n').next().unwrap_or(read);
    let line = line.trim_ascii_end();
    let words: Vec<_> = line.split(|byte| *byte == b' ').collect();
    let method = words.first().copied().unwrap_or_default();
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return not_http("This is not HTTP: a request begins with a method, such as GET.".into());
    }
    let odd = words[1..].concat();
    let odd = odd
        .iter()
        .find(|byte| !(0x21..0x7f).contains(*byte) && **byte < 0x80);
    match words[1..] {
        _ if odd.is_some() => {
            let odd = odd.copied().unwrap_or_default();
            Reject::bad_request(format!(
                "The request line has the byte 0x{odd:02x}: in a target it must be percent-encoded."
            ))
        }
        [target, _] if std::str::from_utf8(target).is_err() => Reject::bad_request(
            "The target of the request is not UTF-8: other bytes must be percent-encoded.",
        ),
        [target, version] if !target.is_empty() && is_version(version) => Reject::new(
            Cause::BadRequest,
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "This is no version of HTTP that is spoken here: use HTTP/1.1.",
        ),
        [_, _, .., version] if version.starts_with(b"HTTP/") => Reject::bad_request(
            "The request line has a space too many: in a target, write %20 for it.",
        ),
        _ => Reject::bad_request(
            "The request line is not method, target and version, such as GET / HTTP/1.1.",
        ),
    }
}

/// Whether this is a version of HTTP, spoken here or not (RFC 9112, section 2.3).
fn is_version(word: &[u8]) -> bool {
    matches!(word, [b'H', b'T', b'T', b'P', b'/', rest @ ..] if rest.len() <= 3
        && rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.'))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Says what is wrong with the header lines of a head.
fn in_lines(read: &[u8], error: Error) -> Reject {
    let ends: Vec<_> = (1..=read.len())
        .filter(|end| read[end - 1] == b'\n')
        .chain([read.len()])
        .collect();
    // The first line that keeps the head from being parsed.
    let bad = ends.partition_point(|end| {
        let mut lines = [httparse::EMPTY_HEADER; LINES];
        httparse::Request::new(&mut lines)
            .parse(&read[..*end])
            .is_ok()
    });
    let start = bad.checked_sub(1).map_or(0, |before| ends[before]);
    let line = &read[start..ends.get(bad).copied().unwrap_or(read.len())];
    let line = line.trim_ascii_end();
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    let wrong = match line.first() {
        Some(b' ' | b'\t') => "begins with a space: a header may not be folded",
        _ if error == Error::HeaderValue => "has a control byte in its value",
        _ if error == Error::NewLine => "has a carriage return that is not its end",
        _ if name.len() == line.len() => "has no colon",
        _ if name.is_empty() => "has no name",
        _ if name.ends_with(b" ") || name.ends_with(b"\t") => "has a space before its colon",
        _ => "has a name that is no token",
    };
    Reject::bad_request(format!("Header line {bad} {wrong}."))
}

#[cfg(test)]
mod tests;
