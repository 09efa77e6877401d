//! Redaction of a request's secrets: they can be compared, but not used.
//!
//! A page's script cannot read the cookies and credentials that a browser or a gateway adds to its
//! request, so it must not learn them from here. The URL and the subprotocols are no secrets to it:
//! it has chosen them itself.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use hyper::header::{HeaderMap, HeaderName};

/// Parts of the names of header lines that have credentials.
const SECRET: [&str; 11] = [
    "cookie",
    "authorization",
    "token",
    "secret",
    "password",
    "api-key",
    "apikey",
    "credential",
    "assertion",
    "jwt",
    "oidc-data",
];

/// Schemes of credentials (RFC 9110, section 11.1), which are no secret.
const SCHEMES: [&str; 5] = ["Basic", "Bearer", "Digest", "Negotiate", "NTLM"];

/// Parts of the names of subprotocols that carry a token, and the beginning of a JSON Web Token.
const BEARERS: [&str; 4] = ["bearer", "token", "authorization", "eyj"];

/// Key of this process alone: with a known key, a weak password could be guessed from its hash.
/// SipHash, which this is, is made for such keys.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Header lines, with secrets redacted.
pub(crate) fn header_lines(headers: &HeaderMap) -> Vec<[String; 2]> {
    let lines = headers.iter().map(|(name, value)| {
        let value = match is_secret(name) {
            true => redacted(value.as_bytes()),
            false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        };
        [name.to_string(), value]
    });
    lines.collect()
}

/// Whether the values of this header are secrets.
fn is_secret(name: &HeaderName) -> bool {
    SECRET.iter().any(|part| name.as_str().contains(part))
}

/// The scheme of a secret, if it has one, its length, and a hash. Equal secrets give equal texts
/// for as long as this process runs.
fn redacted(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let first = text.split_once(' ').map_or("", |(first, _)| first);
    let scheme = SCHEMES
        .iter()
        .find(|scheme| scheme.eq_ignore_ascii_case(first));
    let scheme = scheme
        .map(|scheme| format!("{scheme} "))
        .unwrap_or_default();
    // Half of it is enough to compare.
    let hash = KEY.hash_one(value) as u32;
    format!("{scheme}[redacted: {} bytes, hash {hash:08x}]", value.len())
}

/// A subprotocol as the log may show it: some clients send a token as one, because browsers let
/// pages set no header.
pub(crate) fn loggable(subprotocol: &str) -> String {
    let lower = subprotocol.to_ascii_lowercase();
    match BEARERS.iter().any(|part| lower.contains(part)) {
        true => redacted(subprotocol.as_bytes()),
        false => subprotocol.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_known_by_their_headers_names() {
        for name in [
            "cookie",
            "authorization",
            "proxy-authorization",
            "x-api-key",
            "x-auth-token",
            "x-csrf-token",
            "x-forwarded-access-token",
            "x-amzn-oidc-data",
            "cf-access-jwt-assertion",
            "set-cookie",
        ] {
            assert!(is_secret(&HeaderName::from_static(name)), "{name}");
        }
        for name in [
            "host",
            "origin",
            "sec-websocket-key",
            "sec-websocket-protocol",
            "x-forwarded-for",
            "x-auth-request-user",
            "user-agent",
        ] {
            assert!(!is_secret(&HeaderName::from_static(name)), "{name}");
        }
    }

    #[test]
    fn equal_secrets_look_alike_and_others_do_not() {
        let one = redacted(b"Bearer abc");
        assert_eq!(one, redacted(b"Bearer abc"));
        assert_ne!(one, redacted(b"Bearer abd"));
        assert!(
            one.starts_with("Bearer [redacted: 10 bytes, hash "),
            "{one}"
        );
        assert!(!redacted(b"hunter2 is it").contains("hunter2"));
        assert!(redacted(b"sid=\xff").starts_with("[redacted: 5 bytes"));
    }

    #[test]
    fn tokens_among_subprotocols_are_not_logged() {
        for token in [
            "base64url.bearer.authorization.k8s.io.c2VjcmV0",
            "access_token.c2VjcmV0",
            "eyJhbGciOiJIUzI1NiJ9.e30.c2VjcmV0",
        ] {
            assert!(!loggable(token).contains("c2VjcmV0"), "{token}");
        }
        assert_eq!(loggable("graphql-ws"), "graphql-ws");
    }
}
