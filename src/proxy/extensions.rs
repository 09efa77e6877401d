//! Compression of the messages of a tunnel of frames: each message is compressed for itself.
//!
//! With context takeover (RFC 7692, section 7.1.1) a message refers to earlier ones, and nobody could
//! read it if one of them were dropped, or came twice. So both sides are told to do without.

use hyper::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_EXTENSIONS};

use super::upstream::UpstreamFailure;
use crate::handshake::split_list;
use crate::ws::deflate::NAME;

const NO_TAKEOVER: [&str; 2] = ["server_no_context_takeover", "client_no_context_takeover"];

/// Turns a client's offers into those for the upstream: permessage-deflate without context takeover.
/// Other extensions are left out, because they might change what a frame means. Returns whether
/// there were offers at all.
pub(super) fn rewrite_offers(headers: &mut HeaderMap) -> bool {
    let lines = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
    let lines: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
    let offers = lines.iter().flat_map(|line| split_list(line, b','));
    let offers: Vec<_> = offers.filter(|it| is_deflate(it)).map(amended).collect();
    let had_offers = headers.remove(SEC_WEBSOCKET_EXTENSIONS).is_some();
    if let Ok(value) = HeaderValue::try_from(offers.join(", "))
        && !offers.is_empty()
    {
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, value);
    }
    had_offers
}

/// Turns the upstream's choice into that for the client, and returns whether messages may be
/// compressed.
///
/// # Errors
/// When it was not among the offers.
pub(super) fn rewrite_choice(headers: &mut HeaderMap) -> Result<bool, UpstreamFailure> {
    let mut lines = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
    let choice = match (lines.next(), lines.next()) {
        (None, _) => return Ok(false),
        (Some(line), None) => line.to_str().unwrap_or_default().to_owned(),
        (Some(_), Some(_)) => return Err(not_offered()),
    };
    let is_one = split_list(&choice, b',').count() == 1;
    if !is_one || !is_deflate(&choice) || !parameters(&choice).any(|it| it == NO_TAKEOVER[0]) {
        return Err(not_offered());
    }
    let value = HeaderValue::try_from(amended(&choice)).map_err(|_| not_offered())?;
    headers.insert(SEC_WEBSOCKET_EXTENSIONS, value);
    Ok(true)
}

fn not_offered() -> UpstreamFailure {
    UpstreamFailure::broken("an extension that was not offered")
}

fn is_deflate(offer: &str) -> bool {
    offer
        .split(';')
        .next()
        .is_some_and(|name| name.trim() == NAME)
}

fn parameters(offer: &str) -> impl Iterator<Item = &str> {
    split_list(offer, b';').skip(1).map(str::trim)
}

/// An offer or a choice, with the parameters that rule takeover out.
fn amended(offer: &str) -> String {
    let missing = NO_TAKEOVER
        .iter()
        .filter(|name| parameters(offer).all(|it| it != **name));
    let missing: String = missing.map(|name| format!("; {name}")).collect();
    format!("{}{missing}", offer.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, line.parse().unwrap());
        }
        headers
    }

    fn value(headers: &HeaderMap) -> &str {
        let value = headers.get(SEC_WEBSOCKET_EXTENSIONS);
        value.map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn offers_are_those_of_compression_without_takeover() {
        let none = "; server_no_context_takeover; client_no_context_takeover";
        for (lines, expected) in [
            (&[][..], String::new()),
            (&["x-other"], String::new()),
            (&["permessage-deflate"], format!("{NAME}{none}")),
            (
                &[
                    "x-other; a=\"b,c\"",
                    "permessage-deflate; client_max_window_bits",
                ],
                format!("{NAME}; client_max_window_bits{none}"),
            ),
            (
                &["permessage-deflate;server_no_context_takeover, permessage-deflate"],
                format!(
                    "{NAME};server_no_context_takeover; client_no_context_takeover, {NAME}{none}"
                ),
            ),
        ] {
            let mut headers = headers(lines);
            assert_eq!(rewrite_offers(&mut headers), !lines.is_empty());
            assert_eq!(value(&headers), expected);
        }
    }

    #[test]
    fn a_choice_must_rule_takeover_out() {
        for (lines, expected) in [
            (&[][..], Some((false, ""))),
            (
                &["permessage-deflate; server_no_context_takeover"],
                Some((
                    true,
                    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                )),
            ),
            (&["permessage-deflate"], None),
            (&["x-other"], None),
            (&["permessage-deflate; server_no_context_takeover, x"], None),
            (
                &["permessage-deflate; server_no_context_takeover", "x"],
                None,
            ),
        ] {
            let mut headers = headers(lines);
            let rewritten = rewrite_choice(&mut headers).ok();
            assert_eq!(rewritten.map(|it| (it, value(&headers))), expected);
        }
    }
}
