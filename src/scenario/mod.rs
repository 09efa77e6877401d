//! Faults on demand: what a server is asked to do in place of what a good one does, as plain data.
//!
//! A scenario is a list of steps with commas between them, such as `delay:200ms,close:4001:bye@3msg`:
//! in the parameter `do` of a request's query, or in `--do`. A step is a name, for most a value
//! behind a colon, and for some the time, behind an `@`, at which it is done: a duration after the
//! upgrade, or a number of messages received. Behind any step there may be the connections that it is
//! for, as `@2x` or `@20%`. In a text, `\,` stands for a comma, `\\` for a backslash, `\@` for an at
//! sign that would begin one of these, and `\=` in a message that is replied to.
//!
//! | room | purpose |
//! |---|---|
//! | [`parse`] | from text |
//! | [`display`] | to text |
//! | [`help`] | what each step does |
//! | [`turns`] | the connections of a URL for which a step is done |

mod display;
mod help;
mod occurrences;
mod parse;

use std::time::Duration;

use form_urlencoded::parse as parameters;

use crate::ws::subprotocol::Subprotocol;
pub(crate) use occurrences::Occurrences;

/// The parameter of a query that has steps. Every other is an application's own.
const PARAMETER: &str = "do";

/// Most steps of a scenario.
const MAX_STEPS: usize = 64;

/// What a server does in place of what a good one does. The default is the good one.
///
/// ```
/// use echobeat::Scenario;
///
/// let scenario: Scenario = "delay:200ms,close:4001:bye@3msg".parse().unwrap();
/// assert_eq!(scenario.to_string(), "delay:200ms,close:4001:bye@3msg");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scenario {
    /// In the order in which they were written.
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
    /// The first so many connections.
    First(u32),
    /// This percentage of connections, at random. Steps of the same share are done together.
    Percent(u8),
}

/// Key by which connections are counted as the first, the second, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// The URL, because it contains the step.
    Url,
    /// The path, whatever the query, because the server was told to do the step.
    Path,
}

/// One thing that is done otherwise.
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
    /// Echoes that come later: by the least time, by the most, or by any in between.
    Delay { least: Duration, most: Duration },
    /// So many bytes written a second, at most.
    Rate(u64),
    /// Messages in fragments of so many bytes.
    Fragment(usize),
    /// A Ping at this interval.
    Ping(Duration),
    /// A Close of our own.
    Close(Closing, When),
    /// The end of TCP without a Close.
    Fin(When),
    /// A reset of TCP.
    Rst(When),
    /// Nothing is read.
    Deaf(When),
    /// Nothing is read or written.
    Stall(When),
    /// No answer to the peer's Close.
    NoReply,
    /// Messages that nobody asked for.
    Burst(Burst, When),
    /// A frame that no server may send.
    Bad(Bad, When),
    /// An answer that refuses the upgrade.
    Refuse(Refuse),
    /// The answer to the upgrade later by so much.
    Wait(Duration),
    /// Another `Sec-WebSocket-Accept` than the one that belongs to the key.
    Accept(Accept),
    /// This subprotocol or none, whatever was offered.
    Subprotocol(Option<Subprotocol>),
    /// A text message in the write that accepts the upgrade.
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

/// When a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// At once.
    Start,
    /// So long after the upgrade.
    After(Duration),
    /// Once so many messages were received, and their echoes sent.
    Messages(u64),
}

/// What a Close says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Closing {
    /// Nothing.
    Bare,
    /// A code, be it legal or not, and a reason of up to [`MAX_REASON`] bytes.
    Code(u16, String),
}

/// Bytes of a reason that fit into a Close (RFC 6455, section 5.5).
pub(crate) const MAX_REASON: usize = 123;

/// So many binary messages of a size, each with its number from 0 in its first 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Burst {
    pub(crate) messages: u64,
    /// Bytes of payload of each, 8 or more.
    pub(crate) size: u64,
}

/// How a frame is broken.
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
    /// A continuation of nothing.
    Continuation,
    /// A Ping of 126 bytes.
    Ping126,
    /// A length of 2^63.
    Length,
}

/// How an upgrade is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refuse {
    /// From 300 to 599.
    pub(crate) status: u16,
    pub(crate) advice: Option<Advice>,
}

/// Where to go instead, or when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Advice {
    /// A `Location`, for a status that redirects: visible ASCII.
    Location(String),
    /// A `Retry-After`, for others.
    RetryAfter(Duration),
}

/// What becomes of `Sec-WebSocket-Accept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accept {
    /// It is of another key.
    Wrong,
    /// It is left out.
    Absent,
}

impl Scenario {
    pub(crate) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().map(|planned| &planned.step)
    }

    /// Whether the session is to tell what the server saw of the request.
    pub(crate) fn has_request_info(&self) -> bool {
        self.steps().any(|step| *step == Step::Who)
    }

    /// Whether nothing is asked for that is not ordinary.
    pub(crate) fn is_default(&self) -> bool {
        self.steps.is_empty()
    }

    /// These steps, but for those that `other` has too, and then those of `other`.
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

    /// This scenario as a request sees it: with the steps of its query.
    ///
    /// # Errors
    /// When the query asks for what there is not, or for what contradicts this scenario.
    pub(crate) fn for_query(&self, query: Option<&str>) -> Result<Self, ScenarioError> {
        match asked_for(query) {
            Some(text) => self.overridden_by(text.parse()?),
            None => self.overridden_by(Self::default()),
        }
    }

    /// Whether it depends on how many connections there have been.
    fn counts(&self, scope: Scope) -> bool {
        let is_counted =
            |planned: &Planned| matches!(planned.share, Share::First(_)) && planned.scope == scope;
        self.steps.iter().any(is_counted)
    }

    /// The steps that are done in one connection.
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

/// The steps that a query asks for. They may be spread over several parameters, as if commas were
/// between those.
pub(crate) fn asked_for(query: Option<&str>) -> Option<String> {
    let lists: Vec<_> = parameters(query?.as_bytes())
        .filter(|(name, _)| name == PARAMETER)
        .map(|(_, steps)| steps)
        .collect();
    (!lists.is_empty()).then(|| lists.join(","))
}

/// Why two steps cannot both be done, if they cannot.
fn contradiction(one: &Step, other: &Step, has_replies: bool) -> Option<&'static str> {
    let either = |matches: fn(&Step, &Step) -> bool| matches(one, other) || matches(other, one);
    if either(|step, _| matches!(step, Step::Refuse(_))) {
        return Some("where the upgrade is refused, nothing else happens");
    }
    let are_at_odds = either(|a, b| matches!((a, b), (Step::EchoOff, Step::Delay { .. })));
    if are_at_odds && !has_replies {
        return Some("there are no echoes to delay");
    }
    if either(|a, b| matches!((a, b), (Step::Beat(None), Step::Say(_, When::Start)))) {
        return Some("there is no heart beat to say it");
    }
    match (one.ends_at(), other.ends_at()) {
        (Some(a), Some(b)) if a == b => Some("both end the session at the same time"),
        _ => None,
    }
}

/// Why a text is no scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The name of no step.
    #[error("There is no step {0:?}.")]
    Unknown(String),
    /// A value that is missing, ill-written, out of bounds, or too much.
    #[error("The step {step:?} is wrong: write {usage}.")]
    Value {
        /// As it was written.
        step: String,
        /// How it is written.
        usage: &'static str,
    },
    /// A time that is none.
    #[error(
        "What is behind the @ of {0:?} is wrong: write @5s, up to 1 day, or @3msg, and @2x or @20%."
    )]
    When(String),
    /// A time at a step that has none.
    #[error(
        "The step {0} takes no time: it holds from the start. In a text, write \\@ for an at sign."
    )]
    NoWhen(&'static str),
    /// A step that is there already.
    #[error("The step {0} is there twice.")]
    Repeated(&'static str),
    /// Two steps that cannot both be done.
    #[error("The steps {one} and {other} contradict each other: {why}.")]
    Contradiction {
        /// The name of one.
        one: &'static str,
        /// The name of the other.
        other: &'static str,
        /// What is the matter with them.
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
