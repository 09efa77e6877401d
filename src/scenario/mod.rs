//! Faults on demand: the steps by which a server misbehaves when asked to, as plain data.
//!
//! A scenario is a list of steps with commas between them, such as
//! `delay:200ms,close:4001:bye@3msg`. It is given in the parameter `do` of a request's query, or in
//! `--do`. A step is a name. Most take a value, after a colon. Some take the time at which they are
//! done, after an `@`: a duration after the upgrade, or a number of messages received. Any step may
//! end with the connections that it is for, as `@2x` or `@20%`. In a text, `\,` stands for a comma,
//! `\\` for a backslash, and `\@` for an at sign that would begin a time or a share. In the message
//! of a `reply`, `\=` stands for an equals sign.
//!
//! | room | purpose |
//! |---|---|
//! | [`parse`] | scenarios from text |
//! | [`display`] | scenarios as text |
//! | [`help`] | the meaning of each step |
//! | [`occurrences`] | the choice of the connections of a URL for which a step is done |
//! | [`fate`] | messages that are dropped, duplicated or reordered |
//! | [`tunnel`] | scenarios of the proxy, with steps for both ways |

mod display;
mod fate;
mod help;
mod occurrences;
mod parse;
mod tunnel;

use std::time::Duration;

use form_urlencoded::parse as parameters;

use crate::ws::subprotocol::Subprotocol;
pub(crate) use fate::{Fate, Fates, REORDERED_WITHIN};
pub(crate) use occurrences::Occurrences;
pub use tunnel::TunnelScenario;

/// The parameter of a query that contains steps. All others belong to the application.
const PARAMETER: &str = "do";

/// Maximum number of steps in a scenario.
const MAX_STEPS: usize = 64;

/// Ways in which a server misbehaves when asked to. By default it does not.
///
/// ```
/// use echobeat::Scenario;
///
/// let scenario: Scenario = "delay:200ms,close:4001:bye@3msg".parse().unwrap();
/// assert_eq!(scenario.to_string(), "delay:200ms,close:4001:bye@3msg");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scenario {
    /// Steps in the order in which they were written.
    steps: Vec<Planned>,
}

/// A step, and the connections that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Planned {
    step: Step,
    share: Share,
    scope: Scope,
}

/// The connections that a step is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    All,
    /// The first connections, up to this number.
    First(u32),
    /// This percentage of connections, at random. Steps with the same percentage are done in the
    /// same connections.
    Percent(u8),
}

/// Key by which connections are counted as the first, the second, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// The URL: it contains the step.
    Url,
    /// The path, whatever the query: the step is from `--do`.
    Path,
}

/// One thing that is done differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Another interval of the heart beat, or none.
    Beat(Option<Duration>),
    /// Another text of the heart beat, or a text message at a time of its own.
    Say(String, When),
    /// A text message that is answered with another in place of its echo.
    Reply(Reply),
    /// No echoes.
    EchoOff,
    /// Echoes that come later, by a random time from `least` to `most`.
    Delay { least: Duration, most: Duration },
    /// At most this many bytes written a second.
    Rate(u64),
    /// This percentage of messages is dropped.
    Drop(u8),
    /// This percentage of messages comes twice.
    Duplicate(u8),
    /// This percentage of messages comes after the next one.
    Reorder(u8),
    /// Messages in fragments of this many bytes.
    Fragment(usize),
    /// A Ping at this interval.
    Ping(Duration),
    /// A Close of our own.
    Close(Closing, When),
    /// The end of TCP without a Close.
    Fin(When),
    /// A reset of TCP.
    Rst(When),
    /// No more reading.
    Deaf(When),
    /// No more reading or writing.
    Stall(When),
    /// No answer to the peer's Close.
    NoReply,
    /// Messages that nobody asked for.
    Burst(Burst, When),
    /// A frame that no server may send.
    Bad(Bad, When),
    /// An answer that refuses the upgrade.
    Refuse(Refuse),
    /// An answer to the upgrade that comes later by this much.
    Wait(Duration),
    /// A `Sec-WebSocket-Accept` that is wrong or missing, or an extension that was not offered.
    Accept(Accept),
    /// This subprotocol or none, whatever was offered.
    Subprotocol(Option<Subprotocol>),
    /// Another answer to the offer of permessage-deflate.
    Deflate(Deflate),
    /// A text message in the same write as the acceptance of the upgrade.
    Greet(String),
    /// A text message about the request, before all others.
    Who,
}

/// An answer to text messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The message that is answered.
    pub(crate) message: String,
    pub(crate) answer: String,
}

/// The time at which a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// At the start of the session.
    Start,
    /// This long after the upgrade.
    After(Duration),
    /// Once this many messages were received, and their echoes sent.
    Messages(u64),
}

/// Payload of a Close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Closing {
    /// Nothing.
    Bare,
    /// A code, legal or not, and a reason of up to [`MAX_REASON`] bytes.
    Code(u16, String),
}

/// Maximum bytes of the reason in a Close (RFC 6455, section 5.5).
pub(crate) const MAX_REASON: usize = 123;

/// Binary messages of one size. Each has its number, counted from 0, in its first 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Burst {
    pub(crate) messages: u64,
    /// Bytes of payload of each message, 8 or more.
    pub(crate) size: u64,
}

/// Kinds of broken frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bad {
    /// Text that is not UTF-8.
    Utf8,
    /// A reserved bit is set.
    Rsv,
    /// A reserved opcode.
    Opcode,
    /// A mask, which only clients may use.
    Masked,
    /// A continuation frame without a message to continue.
    Continuation,
    /// A Ping of 126 bytes.
    Ping126,
    /// A length of 2^63.
    Length,
    /// The first reserved bit at a control frame.
    Rsv1,
    /// A compressed message that is garbage.
    Deflate,
    /// One whose block says that it is the last, which is legal.
    Bfinal,
    /// One that refers to the message before it, whatever was agreed.
    Desync,
    /// One that refers to what was never sent.
    Window,
    /// One that is many times larger when it is decompressed, with this many bytes.
    Bomb(u64),
}

/// Answer that refuses an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refuse {
    /// Status from 300 to 599.
    pub(crate) status: u16,
    pub(crate) advice: Option<Advice>,
}

/// Header that says where to go instead, or when to come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Advice {
    /// A `Location` in visible ASCII, for a status that redirects.
    Location(String),
    /// A `Retry-After`, for other statuses.
    RetryAfter(Duration),
}

/// Answers to the offer of permessage-deflate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deflate {
    /// It is declined.
    Off,
    /// Messages are compressed with the help of earlier ones.
    Takeover,
    /// Both windows have at most this many bits.
    Window(u8),
}

/// Faults of the answer that accepts an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accept {
    /// `Sec-WebSocket-Accept` belongs to another key.
    Wrong,
    /// It is left out.
    Absent,
    /// There is an extension that was not offered.
    Unasked,
}

impl Scenario {
    pub(crate) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().map(|planned| &planned.step)
    }

    /// Whether the session sends the client what the server saw of the request.
    pub(crate) fn has_request_info(&self) -> bool {
        self.steps().any(|step| *step == Step::Who)
    }

    /// Checks that it can be done in a session that has begun.
    ///
    /// # Errors
    /// When a step is about the handshake, or depends on other connections.
    pub(crate) fn check_for_session(&self) -> Result<(), ScenarioError> {
        for Planned { step, share, .. } in &self.steps {
            match step {
                Step::Refuse(_)
                | Step::Wait(_)
                | Step::Accept(_)
                | Step::Subprotocol(_)
                | Step::Deflate(_)
                | Step::Greet(_)
                | Step::Who => return Err(ScenarioError::Late(step.name())),
                _ if *share != Share::All => return Err(ScenarioError::Shared(step.name())),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether it has no steps, so that the server behaves as usual.
    pub(crate) fn is_default(&self) -> bool {
        self.steps.is_empty()
    }

    /// A scenario with the steps of `other`, and those of `self` whose names `other` does not have.
    ///
    /// # Errors
    /// When steps contradict each other.
    fn overridden_by(&self, other: Self) -> Result<Self, ScenarioError> {
        let is_kept = |kept: &&Planned| other.steps().all(|new| new.name() != kept.step.name());
        let kept = self.steps.iter().filter(is_kept).cloned();
        let mut steps: Vec<_> = kept
            .map(|planned| Planned {
                scope: Scope::Path,
                ..planned
            })
            .collect();
        steps.extend(other.steps);
        Self::of(steps)
    }

    /// This scenario, overridden by the steps in a request's query.
    ///
    /// # Errors
    /// When the query has steps that are wrong, or that contradict this scenario.
    pub(crate) fn for_query(&self, query: Option<&str>) -> Result<Self, ScenarioError> {
        match asked_for(query) {
            Some(text) => self.overridden_by(text.parse()?),
            None => self.overridden_by(Self::default()),
        }
    }

    /// Whether a step of this scope depends on the number of earlier connections.
    fn counts(&self, scope: Scope) -> bool {
        let is_counted =
            |planned: &Planned| matches!(planned.share, Share::First(_)) && planned.scope == scope;
        self.steps.iter().any(is_counted)
    }

    /// The steps of a connection after so many others with its path, and with its URL. `roll` is
    /// from 0 to 99 at random.
    fn after(&self, of_path: u32, of_url: u32, roll: u8) -> Self {
        self.filtered(|share, scope| match (share, scope) {
            (Share::All, _) => true,
            (Share::First(connections), Scope::Path) => of_path < connections,
            (Share::First(connections), Scope::Url) => of_url < connections,
            (Share::Percent(percent), _) => roll < percent,
        })
    }

    /// The steps of one connection: those that `is_done` selects, and only the first of those that
    /// exclude each other.
    fn filtered(&self, is_done: impl Fn(Share, Scope) -> bool) -> Self {
        let mut steps: Vec<Planned> = Vec::with_capacity(self.steps.len());
        for planned in &self.steps {
            let is_first = steps
                .iter()
                .all(|earlier| !earlier.step.is_same(&planned.step));
            if is_first && is_done(planned.share, planned.scope) {
                steps.push(planned.clone());
            }
        }
        Self { steps }
    }

    /// A scenario of these steps.
    ///
    /// # Errors
    /// When two have the same name, or contradict each other, or there are too many.
    fn of(steps: Vec<Planned>) -> Result<Self, ScenarioError> {
        if steps.len() > MAX_STEPS {
            return Err(ScenarioError::TooMany);
        }
        let is_reply = |planned: &Planned| matches!(planned.step, Step::Reply(_));
        let has_replies = steps.iter().any(is_reply);
        for (n, Planned { step, share, .. }) in steps.iter().enumerate() {
            let certain = steps[..n]
                .iter()
                .filter(|earlier| earlier.share == Share::All);
            for Planned { step: earlier, .. } in certain {
                if earlier.is_same(step) {
                    return Err(ScenarioError::Repeated(step.name()));
                }
                if *share == Share::All
                    && let Some(why) = contradiction(earlier, step, has_replies)
                {
                    let (one, other) = (earlier.name(), step.name());
                    return Err(ScenarioError::Contradiction { one, other, why });
                }
            }
        }
        Ok(Self { steps })
    }
}

/// The steps that a query asks for. Several parameters count as one, with commas between their
/// values.
pub(crate) fn asked_for(query: Option<&str>) -> Option<String> {
    let lists: Vec<_> = parameters(query?.as_bytes())
        .filter(|(name, _)| name == PARAMETER)
        .map(|(_, steps)| steps)
        .collect();
    (!lists.is_empty()).then(|| lists.join(","))
}

/// Finds the reason why two steps cannot both be done, if there is one.
fn contradiction(one: &Step, other: &Step, has_replies: bool) -> Option<&'static str> {
    let either = |matches: fn(&Step, &Step) -> bool| matches(one, other) || matches(other, one);
    if either(|step, _| matches!(step, Step::Refuse(_))) {
        return Some("where the upgrade is refused, nothing else happens");
    }
    let are_at_odds = either(|a, b| matches!((a, b), (Step::EchoOff, Step::Delay { .. })));
    if are_at_odds && !has_replies {
        return Some("there are no echoes to delay");
    }
    let are_at_odds = either(|a, b| {
        let is_fate = matches!(b, Step::Drop(_) | Step::Duplicate(_) | Step::Reorder(_));
        *a == Step::EchoOff && is_fate
    });
    if are_at_odds && !has_replies {
        return Some("there are no echoes that it could be for");
    }
    let are_at_odds = either(|a, b| {
        matches!(
            (a, b),
            (
                Step::Deflate(Deflate::Off),
                Step::Deflate(Deflate::Takeover | Deflate::Window(_))
            )
        )
    });
    if are_at_odds {
        return Some("deflate:off leaves no compression to set up");
    }
    if either(|a, b| matches!((a, b), (Step::Beat(None), Step::Say(_, When::Start)))) {
        return Some("there is no heart beat to say it");
    }
    match (one.ends_at(), other.ends_at()) {
        (Some(a), Some(b)) if a == b => Some("both end the session at the same time"),
        _ => None,
    }
}

/// Error of a text that is no scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// A name that no step has.
    #[error("There is no step {0:?}.")]
    Unknown(String),
    /// A value that is missing, malformed, out of bounds, or not expected.
    #[error("The step {step:?} is wrong: write {usage}.")]
    Value {
        /// The step as it was written.
        step: String,
        /// The right way to write it.
        usage: &'static str,
    },
    /// A malformed time or share.
    #[error(
        "What is behind the @ of {0:?} is wrong: write at most one time, as @5s up to @1day or @3msg, and at most one share, as @2x up to @1000000x or @20% up to @100%."
    )]
    When(String),
    /// A step for the way to an upstream, which a server has none of.
    #[error("The step {0:?} is for echobeat proxy: there is no upstream here.")]
    NoUpstream(String),
    /// A step that only the server has.
    #[error("The proxy has no step {0}: it is for the server.")]
    NotInProxy(&'static str),
    /// A step that the proxy has only on the way to the client.
    #[error("The step {0} is for the client alone: write it without up.")]
    NotUp(&'static str),
    /// A step about the handshake, for a session that has begun.
    #[error("The step {0} is about the handshake, and the session has begun.")]
    Late(&'static str),
    /// A share of connections, for one of them.
    #[error("The step {0} is limited to some connections (@2x, @20%), and this is one connection.")]
    Shared(&'static str),
    /// A time at a step that has none.
    #[error(
        "The step {0} takes no time: it holds from the start. In a text, write \\@ for an at sign."
    )]
    NoWhen(&'static str),
    /// A step that is there twice.
    #[error("The step {0} is there twice.")]
    Repeated(&'static str),
    /// Two steps that cannot both be done.
    #[error("The steps {one} and {other} contradict each other: {why}.")]
    Contradiction {
        /// The name of one step.
        one: &'static str,
        /// The name of the other step.
        other: &'static str,
        /// The reason why they cannot both be done.
        why: &'static str,
    },
    /// More steps than a scenario may have.
    #[error("There are more than 64 steps.")]
    TooMany,
    /// More text than a scenario may have.
    #[error("The steps are more than 8 KiB.")]
    TooLong,
}

#[cfg(test)]
mod tests;
