//! Scenarios from text. Any client may send one, so every value is bounded.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

use super::{
    Accept, Advice, Bad, Burst, Closing, Deflate, MAX_REASON, Planned, Refuse, Reply, Scenario,
    ScenarioError, Scope, Share, Step, When,
};
use crate::ws::deflate::{MAX_WINDOW, MIN_WINDOW};

/// Maximum bytes of a scenario's text.
const MAX_TEXT: usize = 8 << 10;

/// Maximum characters of a step that an error shows.
const SHOWN: usize = 64;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Bounds of the intervals of heart beats and Pings.
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=DAY;

/// Bounds of the times by which an echo or an answer is delayed: it takes memory meanwhile.
const DELAYS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);

/// Bounds for the bytes of a rate, of a fragment, and of all messages of a burst.
const SIZES: RangeInclusive<u64> = 1..=1 << 30;

/// Bounds for the bits of a window.
const WINDOWS: RangeInclusive<u8> = MIN_WINDOW..=MAX_WINDOW;

/// Bytes that the number of a message takes in a burst.
const NUMBER: u64 = 8;

/// Usage of each step: its name, and the ways to write it.
pub(super) const USAGES: [(&str, &str); 26] = [
    ("beat", "beat:500ms, from 10ms to 1day, or beat:off"),
    ("say", "say:TEXT, or say:TEXT@5s for one message"),
    ("reply", "reply:TEXT=ANSWER"),
    ("echo", "echo:off"),
    ("delay", "delay:200ms or delay:50ms..200ms, up to 1m"),
    ("rate", "rate:64KiB, from 1 byte a second to 1GiB"),
    ("drop", "drop:10%, from 1% to 100%"),
    ("duplicate", "duplicate or duplicate:10%"),
    ("reorder", "reorder or reorder:10%"),
    ("fragment", "fragment:1KiB, from 1 byte to 1GiB"),
    ("ping", "ping:1s, from 10ms to 1day"),
    (
        "close",
        "close:CODE, close:CODE:REASON of up to 123 bytes, or close:none",
    ),
    ("fin", "fin"),
    ("rst", "rst"),
    ("deaf", "deaf"),
    ("stall", "stall"),
    ("noreply", "noreply"),
    ("burst", "burst:1000x1KiB, of 8 bytes or more, 1GiB in all"),
    (
        "bad",
        "bad:utf8, bad:rsv, bad:opcode, bad:masked, bad:continuation, bad:ping126, bad:length, \
         bad:rsv1, bad:deflate, bad:bfinal, bad:desync, bad:window or bad:bomb:16MiB up to 1GiB",
    ),
    (
        "refuse",
        "refuse:STATUS from 300 to 599, refuse:503:5s or refuse:302:/path",
    ),
    ("wait", "wait:2s, up to 1m"),
    ("accept", "accept:wrong, accept:none or accept:unasked"),
    ("subprotocol", "subprotocol:NAME or subprotocol:none"),
    (
        "deflate",
        "deflate:off, deflate:takeover, or deflate:window:9 up to 15",
    ),
    ("greet", "greet:TEXT"),
    ("who", "who"),
];

/// Steps that may have a time.
pub(super) const TIMED: [&str; 8] = [
    "say", "close", "fin", "rst", "deaf", "stall", "burst", "bad",
];

/// Steps with a text, in which an at sign is literal unless a time or a share follows it.
const TEXTS: [&str; 4] = ["say", "reply", "greet", "refuse"];

/// Beginning of a step for the way to the upstream of a proxy.
pub(super) const UP: &str = "up.";

/// Maximum number of first connections that a step may be for.
const MAX_FIRST: u32 = 1_000_000;

impl Scenario {
    /// A sentence that lists all steps and the ways to write them.
    pub(crate) fn usage() -> String {
        let steps: Vec<_> = USAGES.iter().map(|(_, usage)| *usage).collect();
        format!(
            "The steps, with commas between them, are: {}. Behind {} there may be a time, as @5s or \
             @3msg; behind every step the connections of this URL that it is for, as @2x for the \
             first two or @20% for one in five.",
            steps.join("; "),
            TIMED.join(", "),
        )
    }
}

impl FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        if text.len() > MAX_TEXT {
            return Err(ScenarioError::TooLong);
        }
        let steps = split(text, ',').into_iter().map(str::trim_start);
        let steps = steps.filter(|step| !step.is_empty()).map(planned);
        Self::of(steps.collect::<Result<_, _>>()?)
    }
}

fn planned(text: &str) -> Result<Planned, ScenarioError> {
    let end = text.find([':', '@']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.starts_with(UP) {
        return Err(ScenarioError::NoUpstream(shown(name.trim_end())));
    }
    let Some(&(name, usage)) = USAGES.iter().find(|(known, _)| *known == name.trim_end()) else {
        return Err(ScenarioError::Unknown(shown(name)));
    };
    let behind = behind(rest, TEXTS.contains(&name));
    let (value, when, share) = behind.ok_or_else(|| ScenarioError::When(shown(text)))?;
    if when.is_some() && !TIMED.contains(&name) {
        return Err(ScenarioError::NoWhen(name));
    }
    let when = when.unwrap_or(When::Start);
    let step = match value.strip_prefix(':') {
        Some(value) => with_value(name, value, when),
        None if value.trim_end().is_empty() => without_value(name, when),
        None => None,
    };
    let step = step.ok_or_else(|| ScenarioError::Value {
        step: shown(text),
        usage,
    })?;
    Ok(Planned {
        step,
        share: share.unwrap_or(Share::All),
        scope: Scope::Url,
    })
}

fn without_value(name: &str, when: When) -> Option<Step> {
    Some(match name {
        "fin" => Step::Fin(when),
        "rst" => Step::Rst(when),
        "deaf" => Step::Deaf(when),
        "stall" => Step::Stall(when),
        "noreply" => Step::NoReply,
        "duplicate" => Step::Duplicate(100),
        "reorder" => Step::Reorder(100),
        "who" => Step::Who,
        _ => return None,
    })
}

fn with_value(name: &str, value: &str, when: When) -> Option<Step> {
    let text = || unescape(value);
    let untrimmed = value;
    let value = value.trim_end();
    Some(match name {
        "beat" if value == "off" => Step::Beat(None),
        "beat" => Step::Beat(Some(duration(value, INTERVALS)?)),
        "say" => Step::Say(text(), when),
        "reply" => Step::Reply(reply(untrimmed)?),
        "echo" if value == "off" => Step::EchoOff,
        "delay" => delay(value)?,
        "rate" => Step::Rate(size(value)?),
        "drop" => Step::Drop(percent(value)?),
        "duplicate" => Step::Duplicate(percent(value)?),
        "reorder" => Step::Reorder(percent(value)?),
        "fragment" => Step::Fragment(usize::try_from(size(value)?).ok()?),
        "ping" => Step::Ping(duration(value, INTERVALS)?),
        "close" => Step::Close(closing(value)?, when),
        "burst" => Step::Burst(burst(value)?, when),
        "bad" => Step::Bad(bad(value)?, when),
        "refuse" => Step::Refuse(refuse(value)?),
        "wait" => Step::Wait(duration(value, DELAYS)?),
        "accept" if value == "wrong" => Step::Accept(Accept::Wrong),
        "accept" if value == "none" => Step::Accept(Accept::Absent),
        "accept" if value == "unasked" => Step::Accept(Accept::Unasked),
        "deflate" => Step::Deflate(deflate(value)?),
        "subprotocol" if value == "none" => Step::Subprotocol(None),
        "subprotocol" => Step::Subprotocol(Some(value.parse().ok()?)),
        "greet" => Step::Greet(text()),
        _ => return None,
    })
}

/// Splits off the time and the share after a value, each at most once. In a text, an at sign before
/// anything else belongs to the value. A time or a share that is out of bounds is an error there too.
fn behind(text: &str, is_text: bool) -> Option<(&str, Option<When>, Option<Share>)> {
    let (mut value, mut when, mut share) = (text, None, None);
    loop {
        let parts = split(value, '@');
        let Some((last, [_, ..])) = parts.split_last() else {
            return Some((value, when, share));
        };
        let written = last.trim();
        match (self::when(written), self::share(written)) {
            (Some(at), _) if when.is_none() => when = Some(at),
            (_, Some(some)) if share.is_none() => share = Some(some),
            (None, None) if is_text && !is_quantity(written) => return Some((value, when, share)),
            _ => return None,
        }
        value = &value[..value.len() - last.len() - "@".len()];
    }
}

/// Whether a text has the form of a time or of a share, whatever its value.
fn is_quantity(text: &str) -> bool {
    if humantime::parse_duration(text).is_ok() {
        return true;
    }
    let number = ["msg", "%", "x"]
        .into_iter()
        .find_map(|unit| text.strip_suffix(unit));
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn when(text: &str) -> Option<When> {
    match text.strip_suffix("msg") {
        Some(count) => number(count).filter(|count| *count > 0).map(When::Messages),
        None => duration(text, Duration::ZERO..=DAY).map(When::After),
    }
}

fn share(text: &str) -> Option<Share> {
    match text.ends_with('%') {
        true => percent(text).map(Share::Percent),
        false => number(text.strip_suffix('x')?)
            .filter(|connections| (1..=MAX_FIRST).contains(connections))
            .map(Share::First),
    }
}

/// Parses a percentage from 1% to 100%.
fn percent(text: &str) -> Option<u8> {
    let percent = number(text.strip_suffix('%')?)?;
    (1..=100).contains(&percent).then_some(percent)
}

fn reply(value: &str) -> Option<Reply> {
    let message = *split(value, '=').first()?;
    let answer = value[message.len()..].strip_prefix('=')?;
    Some(Reply {
        message: unescape(message),
        answer: unescape(answer),
    })
}

/// Parses a duration of whole milliseconds.
fn duration(text: &str, bounds: RangeInclusive<Duration>) -> Option<Duration> {
    let duration = humantime::parse_duration(text).ok()?;
    let is_whole = duration.subsec_nanos() % 1_000_000 == 0;
    (is_whole && bounds.contains(&duration)).then_some(duration)
}

fn delay(value: &str) -> Option<Step> {
    let (least, most) = value.split_once("..").unwrap_or((value, value));
    let (least, most) = (duration(least, DELAYS)?, duration(most, DELAYS)?);
    (least <= most).then_some(Step::Delay { least, most })
}

fn size(text: &str) -> Option<u64> {
    let size: ByteSize = text.parse().ok()?;
    let bytes = size.as_u64();
    SIZES.contains(&bytes).then_some(bytes)
}

fn closing(value: &str) -> Option<Closing> {
    if value == "none" {
        return Some(Closing::Bare);
    }
    let (code, reason) = value.split_once(':').unwrap_or((value, ""));
    let reason = unescape(reason);
    (reason.len() <= MAX_REASON).then_some(Closing::Code(number(code)?, reason))
}

fn burst(value: &str) -> Option<Burst> {
    let (messages, size_of_each) = value.split_once('x')?;
    let (messages, size) = (number(messages)?, size(size_of_each)?);
    let is_bounded = SIZES.contains(&size.checked_mul(messages)?);
    (is_bounded && size >= NUMBER).then_some(Burst { messages, size })
}

fn bad(value: &str) -> Option<Bad> {
    match value.strip_prefix("bomb:") {
        Some(bytes) => size(bytes).map(Bad::Bomb),
        None => Bad::NAMED.into_iter().find(|bad| bad.name() == value),
    }
}

fn deflate(value: &str) -> Option<Deflate> {
    let window = value.strip_prefix("window:").and_then(number);
    match value {
        "off" => Some(Deflate::Off),
        "takeover" => Some(Deflate::Takeover),
        _ => window
            .filter(|bits| WINDOWS.contains(bits))
            .map(Deflate::Window),
    }
}

fn refuse(value: &str) -> Option<Refuse> {
    let (status, advice) = match value.split_once(':') {
        Some((status, advice)) => (status, Some(unescape(advice))),
        None => (value, None),
    };
    let status: u16 = number(status)?;
    if !(300..600).contains(&status) {
        return None;
    }
    let advice = match advice {
        None => None,
        Some(place) if status < 400 => {
            let is_visible = place.bytes().all(|byte| byte.is_ascii_graphic());
            (is_visible && !place.is_empty()).then_some(Some(Advice::Location(place)))?
        }
        Some(time) => Some(Advice::RetryAfter(duration(&time, Duration::ZERO..=DAY)?)),
    };
    Some(Refuse { status, advice })
}

/// Parses a number that consists of digits only.
fn number<T: FromStr>(text: &str) -> Option<T> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok())?
}

/// The part of a text that an error shows.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// Splits a text at the separators that have no backslash before them.
pub(super) fn split(text: &str, separator: char) -> Vec<&str> {
    let mut is_escaped = false;
    text.split(|c| {
        let is_plain = !std::mem::replace(&mut is_escaped, false);
        is_escaped = is_plain && c == '\\';
        is_plain && c == separator
    })
    .collect()
}

/// Removes the backslash before each escaped character.
fn unescape(text: &str) -> String {
    let mut chars = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => chars.next().unwrap_or(c),
            c => c,
        });
    }
    plain
}
