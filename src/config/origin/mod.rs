//! Web origins (RFC 6454): those that may connect, and the server's own.

#[cfg_attr(not(feature = "cli"), path = "ascii.rs")]
mod url;

use std::str::FromStr;

use super::SettingError;
use crate::net::address::Address;
use crate::platform;
use url::{host, serialize};

/// Web origins (RFC 6454) whose pages may connect: `scheme://host`, with `:port` if that is not the
/// scheme's own; `scheme://*.host` for all hosts below that one, but not itself; or `null`.
///
/// Both sides are compared as browsers write them: in lower case, without the scheme's own port,
/// and with the ASCII form of an international name.
///
/// ```
/// use echobeat::Origin;
///
/// let origin: Origin = "https://*.example.org:443/".parse()?;
/// assert!(origin.matches("https://app.example.org"));
/// assert!(!origin.matches("https://example.org"));
/// # Ok::<(), echobeat::SettingError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(Pattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// One origin, serialized.
    One(String),
    /// The origins that begin with the scheme and end with the domain, whose first character is a
    /// dot.
    Below { scheme: String, domain: String },
}

/// Host of an origin.
#[derive(Debug)]
enum Host {
    /// An IP address.
    Address,
    Name(String),
}

impl Origin {
    /// Whether `header`, the value of an `Origin` header, is one of these origins.
    #[must_use]
    pub fn matches(&self, header: &str) -> bool {
        let Some(origin) = serialize(header) else {
            return false;
        };
        match &self.0 {
            Pattern::One(one) => *one == origin,
            Pattern::Below { scheme, domain } => (origin.strip_prefix(scheme))
                .and_then(|host| host.strip_suffix(domain))
                .is_some_and(|label| !label.is_empty()),
        }
    }
}

impl FromStr for Origin {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        if text == "*" {
            return Err(SettingError::AnyOrigin);
        }
        let (scheme, below) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme, rest.strip_prefix("*.")),
            None => ("", None),
        };
        if ["ws", "wss"].contains(&&*scheme.to_ascii_lowercase()) {
            return Err(SettingError::SocketOrigin);
        }
        let pattern = match below {
            None => serialize(text).map(Pattern::One),
            Some(domain) => all_below(scheme, domain),
        };
        pattern.map(Self).ok_or(SettingError::Origin)
    }
}

/// The pattern of all hosts below `domain`, which may have a port.
fn all_below(scheme: &str, domain: &str) -> Option<Pattern> {
    let url = format!("{scheme}://{domain}");
    let Host::Name(_) = host(&url)? else {
        return None;
    };
    let origin = serialize(&url)?;
    let (scheme, domain) = origin.split_once("://")?;
    Some(Pattern::Below {
        scheme: format!("{scheme}://"),
        domain: format!(".{domain}"),
    })
}

/// Whether `header`, the value of an `Origin` header, is the origin of this server's own page. The
/// host that the request `asked` for says where the page was loaded from; the scheme may be either, because TLS may
/// end at a proxy before this server.
///
/// Equality is not enough: by DNS rebinding a foreign page can make its own name mean this server's
/// address. So the host must be an address, or a name that only this server's owner can give it.
pub(crate) fn is_own(header: &str, asked: &str, listen: &[Address]) -> bool {
    let Some((scheme @ ("http" | "https"), _)) = header.split_once("://") else {
        return false;
    };
    let origin = serialize(header);
    origin.is_some()
        && origin == serialize(&format!("{scheme}://{asked}"))
        && host(header).is_some_and(|host| is_ours(&host, listen))
}

/// Whether the host `asked` for, with a port or without one, is that of a request which is meant for this server:
/// an address, or a name that only this server's owner can give it.
pub(crate) fn is_own_host(asked: &str, listen: &[Address]) -> bool {
    let origin = serialize(&format!("http://{asked}"));
    let host = origin.and_then(|origin| host(&origin));
    host.is_some_and(|host| is_ours(&host, listen))
}

fn is_ours(host: &Host, listen: &[Address]) -> bool {
    let Host::Name(name) = host else {
        return true;
    };
    let same = |other: &str| name.eq_ignore_ascii_case(other);
    let listened_on = |address: &Address| match address {
        Address::Tcp { host, .. } => same(host),
        Address::Unix(_) | Address::Passed(_) => false,
    };
    same("localhost")
        || name.ends_with(".localhost")
        || listen.iter().any(listened_on)
        || platform::host_name().is_some_and(|own| same(&own))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse()
            .unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    #[test]
    fn an_origin_is_compared_as_browsers_write_it() {
        for (setting, header) in [
            ("https://app.example.com", "https://app.example.com"),
            ("https://app.example.com:443", "https://app.example.com"),
            ("http://app.example.com:80/", "http://app.example.com"),
            ("https://app.example.com/", "https://app.example.com"),
            ("HTTPS://App.Example.COM", "https://app.example.com"),
            (
                "https://app.example.com:8443",
                "https://app.example.com:8443",
            ),
            ("https://xn--mnchen-3ya.de", "https://xn--mnchen-3ya.de"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://[0:0::1]", "http://[::1]"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("null", "null"),
            ("file://", "file://"),
            ("file:///", "file://"),
            ("chrome-extension://Abc", "chrome-extension://abc"),
            ("capacitor://localhost:1", "capacitor://localhost:1"),
            ("https://*.example.org", "https://a.example.org"),
            ("https://*.example.org", "https://a.b.example.org"),
            ("https://*.Example.org:443", "https://a.example.org"),
            ("https://*.example.org:8443", "https://a.example.org:8443"),
        ] {
            assert!(origin(setting).matches(header), "{setting} {header}");
        }
    }

    #[test]
    fn an_international_name_is_compared_in_its_ascii_form() {
        for (setting, header) in [
            ("https://münchen.de", "https://xn--mnchen-3ya.de"),
            ("https://MÜNCHEN.de", "https://xn--mnchen-3ya.de"),
            ("https://*.münchen.de", "https://a.xn--mnchen-3ya.de"),
        ] {
            let origin = setting.parse::<Origin>();
            let is_built = cfg!(feature = "cli");
            assert_eq!(origin.is_ok_and(|origin| origin.matches(header)), is_built);
        }
    }

    #[test]
    fn another_origin_does_not_match() {
        for (setting, header) in [
            ("https://example.com", "http://example.com"),
            ("https://example.com", "https://example.com:8443"),
            ("https://example.com", "https://example.com.evil.example"),
            ("https://example.com", "https://example.com@evil.example"),
            ("https://example.com", "https://example.com/path"),
            ("https://example.com", "null"),
            ("https://example.com", ""),
            ("https://example.com", "https://*.example.com"),
            ("https://*.example.org", "https://example.org"),
            ("https://*.example.org", "https://.example.org"),
            ("https://*.example.org", "https://evilexample.org"),
            (
                "https://*.example.org",
                "https://a.example.org.evil.example",
            ),
            ("https://*.example.org", "http://a.example.org"),
            ("https://*.example.org", "https://a.example.org:8443"),
            ("https://*.example.org", "https://evil.example?.example.org"),
            ("https://*.example.org", "https://evil.example#.example.org"),
            ("https://*.example.org", "https://evil.example/.example.org"),
            (
                "https://*.example.org",
                "https://evil.example\\.example.org",
            ),
            ("https://*.example.org", "https://e@a.example.org"),
        ] {
            assert!(!origin(setting).matches(header), "{setting} {header}");
        }
    }

    #[test]
    fn what_can_never_match_is_no_setting() {
        for (text, error) in [
            ("", SettingError::Origin),
            ("example.com", SettingError::Origin),
            ("https:example.com", SettingError::Origin),
            ("https://", SettingError::Origin),
            ("https://a/b", SettingError::Origin),
            ("https://a?b", SettingError::Origin),
            ("https://a#", SettingError::Origin),
            ("https://a b", SettingError::Origin),
            ("https://a@b", SettingError::Origin),
            ("https://a:99999", SettingError::Origin),
            ("blob:https://a", SettingError::Origin),
            ("https://*", SettingError::Origin),
            ("https://*.", SettingError::Origin),
            ("https://*.*.a", SettingError::Origin),
            ("https://a.*.b", SettingError::Origin),
            ("https://*a.b", SettingError::Origin),
            ("https://*.1.2.3.4", SettingError::Origin),
            ("https://*.[::1]", SettingError::Origin),
            ("*", SettingError::AnyOrigin),
            ("wss://example.com", SettingError::SocketOrigin),
            ("WS://*.example.com", SettingError::SocketOrigin),
        ] {
            assert_eq!(text.parse::<Origin>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_own_page_is_known_by_names_that_nobody_else_has() {
        let listen = ["echo.internal:8002".parse().unwrap()];
        let machine = platform::host_name().unwrap_or("localhost".to_owned());
        for host in [
            "127.0.0.1:8002",
            "192.0.2.7",
            "[::1]:8002",
            "localhost:8002",
            "LOCALHOST",
            "echo.localhost:1",
            "echo.internal:8002",
            &machine,
        ] {
            for scheme in ["http", "https"] {
                let origin = format!("{scheme}://{}", host.to_ascii_lowercase());
                assert!(is_own(&origin, host, &listen), "{origin}");
            }
        }
        assert!(is_own("http://localhost", "localhost:80", &listen));
        assert!(is_own("https://localhost", "localhost:443", &listen));
        for (origin, host) in [
            ("http://localhost:3000", "localhost:8002"),
            ("http://127.0.0.1:8002", "localhost:8002"),
            ("http://localhost", "localhost:443"),
            ("http://rebound.example:8002", "rebound.example:8002"),
            ("http://localhost.example", "localhost.example"),
            ("null", "null"),
            ("file://", ""),
            ("http://", ""),
        ] {
            assert!(!is_own(origin, host, &listen), "{origin} {host}");
        }
    }

    proptest! {
        #[test]
        fn a_serialized_origin_is_its_own_serialization(text in "[a-zA-Z-]{1,9}://[^/]{1,12}(:[0-9]{1,5})?/?") {
            if let Some(origin) = serialize(&text) {
                prop_assert_eq!(serialize(&origin), Some(origin));
            }
        }

        #[test]
        fn a_wildcard_matches_what_ends_with_a_dot_and_its_domain(
            host in "[a-z0-9]([a-z0-9.-]{0,9}[a-z0-9])?(\\.example\\.org|example\\.org|\\.example\\.com)",
        ) {
            let matches = origin("https://*.example.org").matches(&format!("https://{host}"));
            let expected = host.ends_with(".example.org") && super::host(&format!("https://{host}")).is_some();
            prop_assert_eq!(matches, expected);
        }
    }
}
