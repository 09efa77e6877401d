//! The proxy as one hop of a message: its names, and the requests that it refuses to forward.

use hyper::header::{HOST, HeaderMap, HeaderValue, VIA};
use hyper::http::uri::Authority;
use hyper::{StatusCode, Version};

use crate::config::{Upstream, UpstreamHost};
use crate::http::Refusal;

/// The proxy as one hop of a message.
#[derive(Debug)]
pub(super) struct Hop {
    upstream: Upstream,
    upstream_host: UpstreamHost,
    /// Name in `Via` that no other proxy has: a request that carries it has been here before.
    pseudonym: String,
}

impl Hop {
    pub(super) fn new(upstream: Upstream, upstream_host: UpstreamHost) -> Self {
        Self {
            upstream,
            upstream_host,
            pseudonym: format!("echobeat-{:08x}", rand::random::<u32>()),
        }
    }

    /// Checks that a request has not been here before, and that its `Host` can be one.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let is_host = |host: &HeaderValue| host.is_empty() || is_host(host.as_bytes());
        if !headers.get_all(HOST).iter().all(is_host) {
            let sentence = "The Host header is no host, with a port or without.";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, sentence));
        }
        let lines = headers.get_all(VIA).iter();
        let lines = lines.filter_map(|line| line.to_str().ok());
        let is_here = |hop: &str| hop.split_whitespace().nth(1) == Some(&self.pseudonym);
        match lines.flat_map(|line| line.split(',')).any(is_here) {
            true => {
                let sentence = "The request has been here before: the way to the server behind \
                    this proxy leads back to the proxy.";
                Err(Refusal::new(StatusCode::LOOP_DETECTED, sentence))
            }
            false => Ok(()),
        }
    }

    /// The `Host` for the upstream; `asked` is the one that the client has asked for.
    pub(super) fn host(&self, asked: Option<HeaderValue>) -> Option<HeaderValue> {
        let own = || value(self.upstream.authority().as_str());
        match &self.upstream_host {
            UpstreamHost::Client => asked.or_else(own),
            UpstreamHost::Upstream => own(),
            UpstreamHost::Name(name) => value(name.as_str()),
        }
    }

    /// An element of `Via` (RFC 9110, section 7.6.3).
    pub(super) fn via(&self, version: Version) -> String {
        let version = match version {
            Version::HTTP_09 | Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2.0",
            _ => "1.1",
        };
        format!("{version} {}", self.pseudonym)
    }
}

/// Whether this is a host, with or without a port.
fn is_host(host: &[u8]) -> bool {
    let Ok(host) = Authority::try_from(host) else {
        return false;
    };
    // An authority with user information does not begin with its host.
    let port = host.as_str().strip_prefix(host.host());
    port.is_some_and(|port| port.len() <= 1 || host.port_u16().is_some())
}

/// The value of a header, if the text can be one.
pub(super) fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use hyper::header::HeaderName;

    use super::*;

    /// A hop whose pseudonym is `echobeat`.
    pub(in crate::proxy) fn hop(upstream_host: &str) -> Hop {
        Hop {
            pseudonym: "echobeat".to_owned(),
            ..Hop::new(Upstream::default(), upstream_host.parse().unwrap())
        }
    }

    #[test]
    fn malformed_hosts_and_loops_are_refused() {
        let hop = hop("client");
        let check = |name: HeaderName, value: &str| {
            let checked = hop.check(&[(name, value.parse().unwrap())].into_iter().collect());
            checked.map_err(|refusal| refusal.status.as_u16())
        };
        for host in ["", "a", "a.test:80", "a.test:", "[::1]:80", "a_b.test"] {
            assert_eq!(check(HOST, host), Ok(()), "{host}");
        }
        for host in ["a b", "a/b", "http://a", "user@a", "a:b", "é"] {
            assert_eq!(check(HOST, host), Err(400), "{host}");
        }
        for via in [
            "1.1 other",
            "1.1 echobeat-1, 1.0 other (echobeat)",
            "echobeat",
        ] {
            assert_eq!(check(VIA, via), Ok(()), "{via}");
        }
        for via in ["1.1 echobeat", "1.1 a, 2.0 echobeat (comment), 1.1 b"] {
            assert_eq!(check(VIA, via), Err(508), "{via}");
        }
    }
}
