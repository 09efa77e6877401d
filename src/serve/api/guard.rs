//! Access to the API: with the token, if there is one. Without one, all may ask but pages of other
//! origins: a browser would let them ask a server that only its own machine can reach.

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use hyper::http::request::Parts;

use crate::config::{self, ApiSettings};
use crate::handshake;
use crate::http::Refusal;

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Refuses a request that may not be answered.
pub(super) fn check(head: &Parts, config: &ApiSettings) -> Result<(), Refusal> {
    match &config.api.token {
        Some(token) => {
            let mut given = head.headers.get_all(AUTHORIZATION).iter();
            let is_known = |value: &HeaderValue| bearer(value).is_some_and(|given| token.is(given));
            match (given.next(), given.next()) {
                (Some(value), None) if is_known(value) => Ok(()),
                _ => Err(unauthorized()),
            }
        }
        None => check_page(head, config),
    }
}

fn unauthorized() -> Refusal {
    let sentence = "The API takes a token: Authorization: Bearer TOKEN.";
    Refusal::new(StatusCode::UNAUTHORIZED, sentence).with(WWW_AUTHENTICATE, "Bearer")
}

/// The token of a value of `Authorization` (RFC 6750, section 2.1).
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// Refuses a page of another origin, and one whose own name was made to mean this server.
fn check_page(head: &Parts, config: &ApiSettings) -> Result<(), Refusal> {
    let host = handshake::host_of(&head.uri, &head.headers).unwrap_or_default();
    let listen = [&config.listen[..], &config.api.listen].concat();
    if !config::is_own_host(host, &listen) {
        let sentence = "Without a token, the API answers only where the Host is an address, \
            localhost, this machine's name, or the host of a --listen.";
        return Err(Refusal::new(StatusCode::FORBIDDEN, sentence));
    }
    let is_own = |value: &HeaderValue| {
        let origin = value.to_str().unwrap_or_default();
        config::is_own(origin, host, &listen)
    };
    if !head.headers.get_all(ORIGIN).iter().all(is_own) {
        let sentence = "Without a token, the API does not answer pages of other origins.";
        return Err(Refusal::new(StatusCode::FORBIDDEN, sentence));
    }
    let mut sites = head.headers.get_all(SEC_FETCH_SITE).iter();
    if sites.any(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site")) {
        let sentence = "Without a token, the API does not answer pages of other sites.";
        return Err(Refusal::new(StatusCode::FORBIDDEN, sentence));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;
    use crate::config::{ApiConfig, ServerConfig};

    fn status(headers: &[(&str, &str)], token: Option<&str>) -> u16 {
        let mut request = Request::builder().uri("/connections");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let config = ServerConfig {
            listen: vec!["listened.example:1".parse().unwrap()],
            api: Some(ApiConfig {
                token: token.map(|token| token.parse().unwrap()),
                ..ApiConfig::default()
            }),
            ..ServerConfig::default()
        };
        let config = ApiSettings::of_server(&config).unwrap();
        let (head, ()) = request.body(()).unwrap().into_parts();
        check(&head, &config).map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    #[test]
    fn without_a_token_pages_of_others_are_refused() {
        let host = |host| [("host", host)];
        for own in [
            "127.0.0.1",
            "127.0.0.1:8002",
            "[::1]:1",
            "localhost:1",
            "a.localhost",
            "listened.example:1",
        ] {
            assert_eq!(status(&host(own), None), 200, "{own}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "",
            "x@localhost",
            "a b",
        ] {
            assert_eq!(status(&host(foreign), None), 403, "{foreign}");
        }
        let local = ("host", "localhost:1");
        assert_eq!(
            status(&[local, ("origin", "http://localhost:1")], None),
            200
        );
        assert_eq!(
            status(&[local, ("origin", "http://localhost:2")], None),
            403
        );
        assert_eq!(
            status(&[local, ("origin", "https://evil.example")], None),
            403
        );
        assert_eq!(status(&[local, ("origin", "null")], None), 403);
        assert_eq!(
            status(&[local, ("sec-fetch-site", "cross-site")], None),
            403
        );
        assert_eq!(
            status(&[local, ("sec-fetch-site", "same-origin")], None),
            200
        );
        assert_eq!(status(&[], None), 403);
    }

    #[test]
    fn with_a_token_nothing_else_counts() {
        let token = Some("secret");
        let authorization = |value| [("host", "any.example"), ("authorization", value)];
        assert_eq!(status(&authorization("Bearer secret"), token), 200);
        assert_eq!(status(&authorization("bearer secret"), token), 200);
        for wrong in [
            "Bearer secre",
            "Bearer secret ",
            "Basic secret",
            "secret",
            "",
        ] {
            assert_eq!(status(&authorization(wrong), token), 401, "{wrong}");
        }
        assert_eq!(status(&[("host", "localhost")], token), 401);
        let [_, one] = authorization("Bearer secret");
        assert_eq!(status(&[one, one], token), 401);
    }
}
