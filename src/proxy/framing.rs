//! The length of bodies (RFC 9112, section 6): pure functions. A message that two recipients could
//! read differently is refused.

use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{Method, StatusCode};

use super::upstream::UpstreamFailure;
use crate::http::Refusal;

/// Checks that the body of a request has no coding except chunked, and makes its length one that
/// every upstream reads alike: over HTTP/2 it may come as several lines.
pub(super) fn check_request(headers: &mut HeaderMap) -> Result<(), Refusal> {
    check_coding(headers)?;
    unite_lengths(headers).map_err(|NoLength| {
        let sentence = "The Content-Length must be one number.";
        Refusal::new(StatusCode::BAD_REQUEST, sentence)
    })
}

fn check_coding(headers: &HeaderMap) -> Result<(), Refusal> {
    match elements(headers, &TRANSFER_ENCODING)[..] {
        [] => Ok(()),
        [only] if is_chunked(only) => Ok(()),
        ref codings if codings.iter().all(|coding| is_chunked(coding)) => {
            let sentence = "A body may be chunked only once.";
            Err(Refusal::new(StatusCode::BAD_REQUEST, sentence))
        }
        _ => {
            let sentence = "The one Transfer-Encoding that this proxy knows is chunked.";
            Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, sentence))
        }
    }
}

/// Declares the length of a request's body, once the hop-by-hop headers are removed. hyper sends no
/// body with GET and HEAD unless its length is declared.
pub(super) fn frame_request(method: &Method, has_body: bool, headers: &mut HeaderMap) {
    if headers.contains_key(CONTENT_LENGTH) {
        return;
    }
    if has_body {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    } else if [Method::POST, Method::PUT, Method::PATCH].contains(method) {
        // RFC 9110, section 8.6.
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
}

/// Makes the length of a response unambiguous, and refuses a coding that was not asked for.
pub(super) fn check_response(headers: &mut HeaderMap) -> Result<(), UpstreamFailure> {
    match elements(headers, &TRANSFER_ENCODING)[..] {
        [] => {}
        [only] if is_chunked(only) => {
            // Transfer-Encoding overrides it (RFC 9112, section 6.3).
            headers.remove(CONTENT_LENGTH);
        }
        _ => {
            return Err(UpstreamFailure::broken(
                "a transfer coding that nobody asked for",
            ));
        }
    }
    unite_lengths(headers)
        .map_err(|NoLength| UpstreamFailure::broken("a Content-Length that is no length"))
}

/// Error for a `Content-Length` that is no number, or that has several values.
struct NoLength;

/// Unites all lines of `Content-Length`, which must be equal, in one line with a number.
fn unite_lengths(headers: &mut HeaderMap) -> Result<(), NoLength> {
    let lengths = elements(headers, &CONTENT_LENGTH);
    let Some(&first) = lengths.first() else {
        return Ok(());
    };
    let is_number = first.bytes().all(|digit| digit.is_ascii_digit());
    let number: u64 = first.parse().map_err(|_| NoLength)?;
    if !is_number || lengths.iter().any(|length| *length != first) {
        return Err(NoLength);
    }
    headers.insert(CONTENT_LENGTH, number.into());
    Ok(())
}

/// The elements of a comma-separated list, over all its lines. A line that is not text is an empty
/// element.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let lines = headers.get_all(name).iter();
    lines
        .flat_map(|line| line.to_str().unwrap_or_default().split(','))
        .map(str::trim)
        .collect()
}

fn is_chunked(coding: &str) -> bool {
    coding.eq_ignore_ascii_case("chunked")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn one_chunked_is_the_only_coding() {
        for (codings, status) in [
            (&[][..], None),
            (&["chunked"], None),
            (&["Chunked"], None),
            (&["chunked, chunked"], Some(400)),
            (&["chunked", "chunked"], Some(400)),
            (&["gzip, chunked"], Some(501)),
            (&["gzip", "chunked"], Some(501)),
            (&["identity"], Some(501)),
            (&[""], Some(501)),
        ] {
            let lines: Vec<_> = codings.iter().map(|c| (TRANSFER_ENCODING, *c)).collect();
            let refused = check_request(&mut map(&lines)).err();
            assert_eq!(refused.map(|r| r.status.as_u16()), status, "{codings:?}");
            let is_broken = check_response(&mut map(&lines)).is_err();
            assert_eq!(is_broken, status.is_some(), "{codings:?}");
        }
    }

    #[test]
    fn a_request_says_how_long_its_body_is() {
        for (method, has_body, length, framed) in [
            ("GET", true, None, Some("chunked")),
            ("PURGE", true, None, Some("chunked")),
            ("GET", true, Some("2"), None),
            ("GET", false, None, None),
            ("DELETE", false, None, None),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let lines: Vec<_> = length.into_iter().map(|n| (CONTENT_LENGTH, n)).collect();
            let mut headers = map(&lines);
            frame_request(&method, has_body, &mut headers);
            let coding = headers.get(TRANSFER_ENCODING);
            assert_eq!(coding.map(|coding| coding.to_str().unwrap()), framed);
            let kept = headers.get(CONTENT_LENGTH);
            assert_eq!(kept.map(|length| length.to_str().unwrap()), length);
        }
        let mut headers = HeaderMap::new();
        frame_request(&Method::POST, false, &mut headers);
        assert_eq!(headers[CONTENT_LENGTH], "0");
    }

    #[test]
    fn a_request_has_one_length() {
        for (lengths, one) in [
            (&["3"][..], Some("3")),
            (&["003"], Some("3")),
            (&["3", "3"], Some("3")),
            (&["3", "03"], None),
            (&["0", ""], None),
            (&[""], None),
            (&["+3"], None),
            (&["99999999999999999999"], None),
        ] {
            let lines: Vec<_> = lengths.iter().map(|n| (CONTENT_LENGTH, *n)).collect();
            let mut headers = map(&lines);
            let refused = check_request(&mut headers).err();
            assert_eq!(refused.is_some(), one.is_none(), "{lengths:?}");
            if let Some(one) = one {
                assert!(headers.get_all(CONTENT_LENGTH).iter().eq([one]));
            }
        }
    }

    #[test]
    fn a_response_has_one_length() {
        for (lengths, one) in [
            (&["5"][..], Some("5")),
            (&["5", "5"], Some("5")),
            (&["5, 5"], Some("5")),
            (&["5", "6"], None),
            (&["5, 6"], None),
            (&["+5"], None),
        ] {
            let lines: Vec<_> = lengths.iter().map(|n| (CONTENT_LENGTH, *n)).collect();
            let mut headers = map(&lines);
            let checked = check_response(&mut headers);
            assert_eq!(checked.is_ok(), one.is_some(), "{lengths:?}");
            if let Some(one) = one {
                assert_eq!(headers.get_all(CONTENT_LENGTH).iter().count(), 1);
                assert_eq!(headers[CONTENT_LENGTH], one);
            }
        }
        let mut headers = map(&[(CONTENT_LENGTH, "5"), (TRANSFER_ENCODING, "chunked")]);
        check_response(&mut headers).unwrap();
        assert!(!headers.contains_key(CONTENT_LENGTH));
    }
}
