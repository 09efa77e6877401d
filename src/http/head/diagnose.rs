//! Diagnosis of heads that cannot be parsed. hyper answers them with a bare status, and does not say
//! why.

use std::borrow::Cow;

use httparse::Error;
use hyper::StatusCode;

use super::{LINES, Reject};
use crate::telemetry::rejects::Cause;

/// Bytes that HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Bytes that the binary form of the PROXY protocol begins with.
const PROXY_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Says what is wrong with a head that cannot be parsed.
pub(super) fn diagnose(read: &[u8], error: Error) -> Reject {
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
            "This is the PROXY protocol, which is not believed from this address: name the address \
             by --proxy-protocol, or switch it off in the proxy or load balancer in front.",
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
