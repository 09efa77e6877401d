//! Origins as browsers write them, by the URL Standard, with the ASCII form of international names.

use url::Url;

use super::Host;

/// The ASCII serialization (RFC 6454, section 6.2) of an origin, which may end with a slash.
pub(super) fn serialize(text: &str) -> Option<String> {
    if text == "null" {
        return Some(text.to_owned());
    }
    let (_, authority) = text.split_once("://")?;
    if authority.contains(['*', '@', '\\']) || text.contains(char::is_whitespace) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let is_bare = matches!(url.path(), "" | "/") && !text.contains(['?', '#']);
    if url.cannot_be_a_base() || !is_bare {
        return None;
    }
    let origin = url.origin();
    if origin.is_tuple() {
        return Some(origin.ascii_serialization());
    }
    // Origins of extensions and apps, which have schemes of their own, and of local files.
    let (scheme, host) = (url.scheme(), url.host_str().unwrap_or_default());
    let port = url.port().map(|port| format!(":{port}"));
    let origin = format!("{scheme}://{host}{}", port.unwrap_or_default());
    (scheme == "file" || !host.is_empty()).then(|| origin.to_ascii_lowercase())
}

/// The host of an origin or a URL.
pub(super) fn host(text: &str) -> Option<Host> {
    let url = Url::parse(text).ok()?;
    Some(match url.host()? {
        url::Host::Domain(name) => Host::Name(name.to_owned()),
        url::Host::Ipv4(_) | url::Host::Ipv6(_) => Host::Address,
    })
}
