//! Negotiation of permessage-deflate (RFC 7692, section 5), the only extension that is accepted.
//!
//! All header lines together are one list of offers, of which the first acceptable one is accepted.
//! An offer is declined if it is malformed, or if it has a parameter that is unknown, repeated, or
//! out of bounds.

use std::borrow::Cow;
use std::mem;
use std::num::NonZero;

use hyper::header::{GetAll, HeaderValue};

use crate::config::Compression;
use crate::scenario::{Deflate, Scenario, Step};
use crate::ws::deflate::{MIN_WINDOW, NAME, PermessageDeflate};
use crate::ws::subprotocol::is_token;

/// Our side of the negotiation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Policy {
    /// Whether windows may last from one message to the next.
    takeover: bool,
    /// Bits of the largest window that is agreed to, if it is to be named.
    window: Option<NonZero<u8>>,
}

impl Policy {
    /// The policy of a server, changed by the steps of a scenario; `None`: no compression.
    pub(super) fn new(compression: Compression, scenario: &Scenario) -> Option<Self> {
        let mut policy = (compression != Compression::Off).then_some(Self {
            takeover: compression == Compression::Takeover,
            window: None,
        });
        for step in scenario.steps() {
            match step {
                Step::Deflate(Deflate::Off) => policy = None,
                Step::Deflate(Deflate::Takeover) => policy.get_or_insert_default().takeover = true,
                Step::Deflate(Deflate::Window(bits)) => {
                    policy.get_or_insert_default().window = NonZero::new(*bits);
                }
                _ => {}
            }
        }
        policy
    }
}

/// An acceptable offer of permessage-deflate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Offer {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_window: Option<NonZero<u8>>,
    client_window: Option<ClientWindow>,
}

/// Window to which a client can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientWindow {
    /// Any, as the server says.
    Any,
    /// One of this many bits, or a smaller one if the server says so.
    Bits(NonZero<u8>),
}

impl Offer {
    /// The first acceptable offer in the lines of `Sec-WebSocket-Extensions`.
    pub(super) fn first(lines: GetAll<'_, HeaderValue>) -> Option<Self> {
        lines
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| split(line, b','))
            .find_map(Self::parse)
    }

    /// Parses an offer such as `permessage-deflate; client_max_window_bits`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = split(text, b';');
        if trim(parts.next()?) != NAME {
            return None;
        }
        let mut offer = Self::default();
        parts.try_for_each(|part| {
            let (name, value) = parameter(part)?;
            offer.set(name, value.as_deref())
        })?;
        Some(offer)
    }

    /// Takes a parameter, unless it is not acceptable.
    fn set(&mut self, name: &str, value: Option<&str>) -> Option<()> {
        let is_new = match (name, value) {
            ("server_no_context_takeover", None) => {
                !mem::replace(&mut self.server_no_takeover, true)
            }
            ("client_no_context_takeover", None) => {
                !mem::replace(&mut self.client_no_takeover, true)
            }
            ("server_max_window_bits", Some(value)) => {
                let bits = window(value).filter(|bits| bits.get() >= MIN_WINDOW)?;
                self.server_window.replace(bits).is_none()
            }
            ("client_max_window_bits", value) => {
                let window = match value {
                    None => ClientWindow::Any,
                    Some(value) => ClientWindow::Bits(window(value)?),
                };
                self.client_window.replace(window).is_none()
            }
            _ => false,
        };
        is_new.then_some(())
    }

    /// The parameters with which the offer is accepted.
    pub(super) fn accept(self, policy: Policy) -> PermessageDeflate {
        let limited = |bits: NonZero<u8>| policy.window.map_or(bits, |most| most.min(bits));
        PermessageDeflate {
            server_takeover: policy.takeover && !self.server_no_takeover,
            client_takeover: policy.takeover && !self.client_no_takeover,
            server_window: match self.server_window {
                Some(bits) => Some(limited(bits)),
                None => policy.window,
            },
            client_window: match self.client_window {
                Some(ClientWindow::Bits(bits)) => Some(limited(bits)),
                Some(ClientWindow::Any) => policy.window,
                None => None,
            },
        }
    }
}

/// Parses the bits of a window, from 8 to 15, without leading zeros.
fn window(text: &str) -> Option<NonZero<u8>> {
    match text {
        "8" | "9" | "10" | "11" | "12" | "13" | "14" | "15" => text.parse().ok(),
        _ => None,
    }
}

/// Parses a parameter: a token, which may have a value behind `=` (RFC 6455, section 9.1).
fn parameter(text: &str) -> Option<(&str, Option<Cow<'_, str>>)> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(trim(value))),
        None => (text, None),
    };
    let name = trim(name);
    let value = match value {
        None => None,
        Some(quoted) if quoted.starts_with('"') => Some(unquote(quoted)?.into()),
        Some(token) => Some(token.into()),
    };
    let is_good = is_token(name) && value.as_deref().is_none_or(is_token);
    is_good.then_some((name, value))
}

/// The text of a quoted string (RFC 9110, section 5.6.4).
fn unquote(text: &str) -> Option<String> {
    let mut chars = text.strip_prefix('"')?.chars();
    let mut plain = String::with_capacity(text.len());
    loop {
        match chars.next()? {
            '"' => return chars.as_str().is_empty().then_some(plain),
            '\\' => plain.push(chars.next()?),
            c => plain.push(c),
        }
    }
}

/// Splits a list at the separators that are not in a quoted string.
pub(crate) fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |c| {
        let is_plain = !mem::take(&mut is_escaped);
        is_escaped = is_plain && is_quoted && c == '\\';
        is_quoted ^= is_plain && c == '"';
        !is_quoted && c == char::from(separator)
    })
}

/// Removes the white space around a text.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::header::SEC_WEBSOCKET_EXTENSIONS;

    use super::*;

    /// The answer of a server to these header lines.
    fn answer(compression: Compression, steps: &str, lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, line.parse().unwrap());
        }
        let offer = Offer::first(headers.get_all(SEC_WEBSOCKET_EXTENSIONS))?;
        let policy = Policy::new(compression, &steps.parse().unwrap())?;
        Some(offer.accept(policy).to_string())
    }

    /// Answer of a server by default, before other parameters.
    const DEFAULT: &str =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn the_first_acceptable_offer_is_accepted() {
        for (lines, expected) in [
            (&[][..], None),
            (&[""], None),
            (&["permessage-deflate"], Some("")),
            (&[" ,\tpermessage-deflate ,"], Some("")),
            (&["permessage-bzip2", "permessage-deflate"], Some("")),
            (&["x-webkit-deflate-frame, permessage-deflate"], Some("")),
            // Chromium, Firefox, and Python's websockets.
            (&["permessage-deflate; client_max_window_bits"], Some("")),
            (
                &["permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"],
                Some("; server_max_window_bits=12; client_max_window_bits=12"),
            ),
            (
                &["permessage-deflate; server_no_context_takeover;client_no_context_takeover"],
                Some(""),
            ),
            (
                &["permessage-deflate;server_max_window_bits=9"],
                Some("; server_max_window_bits=9"),
            ),
            (
                &["permessage-deflate; server_max_window_bits=\"10\""],
                Some("; server_max_window_bits=10"),
            ),
            (
                &[r#"permessage-deflate; server_max_window_bits = "1\0""#],
                Some("; server_max_window_bits=10"),
            ),
            (
                &["permessage-deflate; client_max_window_bits=8"],
                Some("; client_max_window_bits=8"),
            ),
            // The first is declined, and the second accepted.
            (
                &["permessage-deflate; server_max_window_bits=8, permessage-deflate"],
                Some(""),
            ),
            (
                &[
                    "permessage-deflate; a=\"x,permessage-deflate\", permessage-deflate; server_max_window_bits=11",
                ],
                Some("; server_max_window_bits=11"),
            ),
            (
                &[
                    "permessage-deflate; server_max_window_bits=9",
                    "permessage-deflate",
                ],
                Some("; server_max_window_bits=9"),
            ),
        ] {
            let expected = expected.map(|more| format!("{DEFAULT}{more}"));
            assert_eq!(answer(Compression::On, "", lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn an_offer_that_is_wrong_is_declined() {
        for parameters in [
            "unknown",
            "unknown=1",
            "Server_no_context_takeover",
            "server_no_context_takeover=1",
            "client_no_context_takeover=true",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; client_no_context_takeover",
            "server_max_window_bits",
            "server_max_window_bits=",
            "server_max_window_bits=7",
            "server_max_window_bits=8",
            "server_max_window_bits=16",
            "server_max_window_bits=010",
            "server_max_window_bits=+9",
            "server_max_window_bits=9; server_max_window_bits=9",
            "server_max_window_bits=9 9",
            "server_max_window_bits=\"9",
            "server_max_window_bits=\"9\\",
            "server_max_window_bits=\"9\"9",
            "server_max_window_bits=\"\"",
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            "client_max_window_bits=",
            "client_max_window_bits; client_max_window_bits=9",
            "",
            "=9",
            "client max",
        ] {
            let line = format!("permessage-deflate; {parameters}");
            assert_eq!(answer(Compression::On, "", &[&line]), None, "{line}");
        }
        for other in [
            "permessage-deflat",
            "Permessage-Deflate",
            "permessage-deflate x",
            "\"permessage-deflate\"",
        ] {
            assert_eq!(answer(Compression::On, "", &[other]), None, "{other}");
        }
    }

    #[test]
    fn the_policy_of_a_server_decides_what_an_offer_gets() {
        const PLAIN: &str = "permessage-deflate";
        const ANY: &str = "permessage-deflate; client_max_window_bits";
        const LIMITED: &str =
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=10";
        const NO_TAKEOVER: &str = "permessage-deflate; server_no_context_takeover";
        use Compression::{Off, On, Takeover};
        for (compression, steps, offer, expected) in [
            (Off, "", PLAIN, None),
            (On, "deflate:off", PLAIN, None),
            (Takeover, "deflate:off", PLAIN, None),
            (Takeover, "", PLAIN, Some("permessage-deflate")),
            (Off, "deflate:takeover", PLAIN, Some("permessage-deflate")),
            (On, "deflate:takeover", ANY, Some("permessage-deflate")),
            (
                Takeover,
                "",
                NO_TAKEOVER,
                Some("permessage-deflate; server_no_context_takeover"),
            ),
            (
                Takeover,
                "",
                "permessage-deflate; client_no_context_takeover",
                Some("permessage-deflate; client_no_context_takeover"),
            ),
            (
                Takeover,
                "",
                LIMITED,
                Some("permessage-deflate; server_max_window_bits=12; client_max_window_bits=10"),
            ),
            (
                Takeover,
                "deflate:window:9",
                PLAIN,
                Some("permessage-deflate; server_max_window_bits=9"),
            ),
            (
                Takeover,
                "deflate:window:11",
                LIMITED,
                Some("permessage-deflate; server_max_window_bits=11; client_max_window_bits=10"),
            ),
            (
                Off,
                "deflate:takeover,deflate:window:9",
                ANY,
                Some("permessage-deflate; server_max_window_bits=9; client_max_window_bits=9"),
            ),
        ] {
            let got = answer(compression, steps, &[offer]);
            assert_eq!(
                got.as_deref(),
                expected,
                "{compression:?} {steps:?} {offer}"
            );
        }
        let got = answer(On, "deflate:window:9", &[ANY]);
        let windows = "; server_max_window_bits=9; client_max_window_bits=9";
        assert_eq!(got, Some(format!("{DEFAULT}{windows}")));
    }
}
