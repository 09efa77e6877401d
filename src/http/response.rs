//! Answers of our own, and their bytes in HTTP/1.1.

use std::io::Write;
use std::iter;
use std::time::SystemTime;

use httpdate::HttpDate;
use hyper::body::Bytes;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, UPGRADE, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::Refusal;

/// Bytes that the head of a 101 takes, and most others.
const HEAD: usize = 256;

pub(crate) type Answer = Response<Bytes>;

pub(crate) fn refuse(refusal: &Refusal) -> Answer {
    let advice = refusal.advice.iter().map(String::as_str);
    let lines: Vec<_> = iter::once(&*refusal.sentence).chain(advice).collect();
    let mut answer = match refusal.status {
        // It has no content (RFC 9110, section 15.4.5).
        StatusCode::NOT_MODIFIED => bare(refusal.status),
        status => text(status, &lines.join("\n")),
    };
    for (name, value) in &refusal.headers {
        answer.headers_mut().insert(name, value.clone());
    }
    answer
}

/// The bytes of the last answer of a connection. The answer to a HEAD has no body.
pub(crate) fn last_bytes(mut answer: Answer, is_head: bool) -> Vec<u8> {
    close_after(&mut answer);
    let mut bytes = head_bytes(&answer);
    if !is_head {
        bytes.extend_from_slice(answer.body());
    }
    bytes
}

/// The bytes of the head of a response, with the time of day.
pub(crate) fn head_bytes<B>(response: &Response<B>) -> Vec<u8> {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut bytes = Vec::with_capacity(HEAD);
    for piece in ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\n"] {
        bytes.extend_from_slice(piece.as_bytes());
    }
    for (name, value) in response.headers() {
        put_name(&mut bytes, name);
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let date = HttpDate::from(SystemTime::now());
    // Writing to a vector does not fail.
    let _ = write!(bytes, "Date: {date}\r\n\r\n");
    bytes
}

/// Adds the name of a header as the RFCs write it: some clients compare it letter by letter, though
/// its case has no meaning (RFC 9110, section 5.1).
fn put_name(bytes: &mut Vec<u8>, name: &HeaderName) {
    const WEBSOCKET: &str = "sec-websocket-";
    let (known, rest) = match name.as_str().strip_prefix(WEBSOCKET) {
        Some(rest) => ("Sec-WebSocket-", rest),
        None if *name == WWW_AUTHENTICATE => ("WWW-", "authenticate"),
        None => ("", name.as_str()),
    };
    bytes.extend_from_slice(known.as_bytes());
    let start = bytes.len();
    bytes.extend_from_slice(rest.as_bytes());
    let mut begins_word = true;
    for byte in &mut bytes[start..] {
        if begins_word {
            byte.make_ascii_uppercase();
        }
        begins_word = *byte == b'-';
    }
}

/// A response without content.
fn bare(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}

pub(crate) fn text(status: StatusCode, line: &str) -> Answer {
    answer(status, "text/plain; charset=utf-8", format!("{line}\n"))
}

pub(crate) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Answer {
    let body = body.into();
    let length = body.len();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Makes this the last answer of its connection.
pub(crate) fn close_after<B>(answer: &mut Response<B>) {
    let headers = answer.headers_mut();
    // Upgrade counts only where Connection names it (RFC 9110, section 7.8).
    let options = match headers.contains_key(UPGRADE) {
        true => "Upgrade, close",
        false => "close",
    };
    headers.insert(CONNECTION, HeaderValue::from_static(options));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_the_rfcs_write_them() {
        for (name, written) in [
            ("sec-websocket-accept", "Sec-WebSocket-Accept"),
            ("sec-websocket-protocol", "Sec-WebSocket-Protocol"),
            ("sec-websocket-version", "Sec-WebSocket-Version"),
            ("www-authenticate", "WWW-Authenticate"),
            ("content-type", "Content-Type"),
            ("x-content-type-options", "X-Content-Type-Options"),
            ("upgrade", "Upgrade"),
        ] {
            let mut bytes = Vec::new();
            put_name(&mut bytes, &HeaderName::from_static(name));
            assert_eq!(bytes, written.as_bytes());
        }
    }
}
