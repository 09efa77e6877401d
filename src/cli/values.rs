//! The values of flags: durations, sizes, numbers.

use std::time::Duration;

use bytesize::ByteSize;

use crate::config::Compression;
use crate::net::address::Address;
use crate::scenario::{Scenario, TunnelScenario};

/// The longest duration that a flag takes: a longer one is as good as off.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// The shortest duration that a flag takes, and the resolution of tokio's timer.
const SHORTEST: Duration = Duration::from_millis(1);

/// The largest message that a flag allows.
const LARGEST_MESSAGE: ByteSize = ByteSize::gib(1);

/// Largest number of connections: more than any machine has files for.
const MOST_CONNECTIONS: usize = 1_000_000_000;

/// Largest number of things that are kept for the API.
const MOST_KEPT: usize = 1_000_000;

/// A duration, or `off`. (A plain `Option` would mean to clap that the flag may be left out.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval(pub(super) Option<Duration>);

pub(super) fn interval(text: &str) -> Result<Interval, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(Interval(None));
    }
    match duration(text) {
        Ok(duration) => Ok(Interval(Some(duration))),
        Err(hint) => Err(format!("{hint}, or off")),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if (SHORTEST..=LONGEST).contains(&duration) => Ok(duration),
        Ok(_) => Err("a duration is from 1ms to 30days".to_owned()),
        Err(_) => Err("write a duration as 500ms, 3s or 2m".to_owned()),
    }
}

pub(super) fn compression(text: &str) -> Result<Compression, &'static str> {
    match text {
        "on" => Ok(Compression::On),
        "off" => Ok(Compression::Off),
        "takeover" => Ok(Compression::Takeover),
        _ => Err("write on, off or takeover"),
    }
}

pub(super) fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=MOST_CONNECTIONS) => Ok(number),
        _ => Err(format!("write a number from 1 to {MOST_CONNECTIONS}")),
    }
}

pub(super) fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1024) => Ok(number),
        _ => Err("write a number from 1 to 1024".to_owned()),
    }
}

pub(super) fn message_size(text: &str) -> Result<usize, String> {
    let size: ByteSize = text
        .parse()
        .map_err(|_| "write a size as 64KiB, 16MiB, or 1048576")?;
    match usize::try_from(size.as_u64()) {
        Ok(bytes @ 1..) if size <= LARGEST_MESSAGE => Ok(bytes),
        _ => Err("a message is from 1 byte to 1GiB".to_owned()),
    }
}

/// Addresses on which the API is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ApiListen {
    Off,
    Everywhere,
    On(Address),
}

/// Parses the value of `--api`: an address, or a word as the environment has for a switch.
pub(super) fn api_listen(text: &str) -> Result<ApiListen, String> {
    match &*text.to_ascii_lowercase() {
        "on" | "true" | "yes" | "1" => Ok(ApiListen::Everywhere),
        "off" | "false" | "no" | "0" => Ok(ApiListen::Off),
        _ => match text.parse::<Address>() {
            Ok(address) => Ok(ApiListen::On(address)),
            Err(error) => Err(format!("{error}; or write on or off")),
        },
    }
}

/// A number of things that are kept for the API.
pub(super) fn kept(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 0..=MOST_KEPT) => Ok(number),
        _ => Err(format!("write a number up to {MOST_KEPT}")),
    }
}

/// Memory for what is kept for the API.
pub(super) fn memory(text: &str) -> Result<usize, String> {
    let size: ByteSize = text
        .parse()
        .map_err(|_| "write a size as 512KiB, 64MiB, or 67108864")?;
    usize::try_from(size.as_u64()).map_err(|_| "this is more memory than there is".to_owned())
}

pub(super) fn scenario(text: &str) -> Result<Scenario, String> {
    let explained = |error| format!("{error} {}", Scenario::usage());
    text.parse().map_err(explained)
}

pub(super) fn tunnel_scenario(text: &str) -> Result<TunnelScenario, String> {
    let explained = |error| format!("{error} {}", TunnelScenario::usage());
    text.parse().map_err(explained)
}
