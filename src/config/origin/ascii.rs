//! Origins as browsers write them, in a build without the feature `cli`: international names have to
//! be given in their ASCII form.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Host;

/// The ASCII serialization (RFC 6454, section 6.2) of an origin, which may end with a slash.
pub(super) fn serialize(text: &str) -> Option<String> {
    if text == "null" {
        return Some(text.to_owned());
    }
    let text = text.to_ascii_lowercase();
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = split(authority)?;
    let host = match (is_scheme(scheme), scheme, host) {
        (true, "file", "") => String::new(),
        (true, _, host) => written(host)?.0,
        (false, ..) => return None,
    };
    Some(match (scheme, port) {
        (_, None) | ("http", Some(80)) | ("https", Some(443)) => format!("{scheme}://{host}"),
        (_, Some(port)) => format!("{scheme}://{host}:{port}"),
    })
}

/// The host of an origin.
pub(super) fn host(text: &str) -> Option<Host> {
    let (_, rest) = text.split_once("://")?;
    let (host, _) = split(rest.strip_suffix('/').unwrap_or(rest))?;
    written(&host.to_ascii_lowercase()).map(|(_, host)| host)
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// The host and the port of an authority.
fn split(authority: &str) -> Option<(&str, Option<u16>)> {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => match port {
            "" => Some((host, None)),
            port if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some((host, Some(port.parse().ok()?)))
            }
            _ => None,
        },
        _ => Some((authority, None)),
    }
}

/// A host in lower case as browsers write it.
fn written(host: &str) -> Option<(String, Host)> {
    let in_brackets = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = in_brackets {
        let address: Ipv6Addr = address.parse().ok()?;
        return Some((format!("[{address}]"), Host::Address));
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Some((address.to_string(), Host::Address));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    // A name whose last label is a number would be an address (URL Standard, section 3.5).
    let last = host.trim_end_matches('.').rsplit('.').next()?;
    let is_good = !host.is_empty() && host.bytes().all(is_name) && !is_number(last);
    is_good.then(|| (host.to_owned(), Host::Name(host.to_owned())))
}
