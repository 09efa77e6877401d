//! Faults on demand: what a server is asked to do in place of what a good one does, as plain data.
//!
//! A scenario is a list of steps with commas between them, such as `delay:200ms,close:4001:bye@3msg`:
//! in the parameter `do` of a request's query, or in `--do`. A step is a name, for most a value
//! behind a colon, and for some the time, behind an `@`, at which it is done: a duration after the
//! upgrade, or a number of messages received. In a text, `\,` stands for a comma, `\\` for a
//! backslash, and where a step may have a time, `\@` for an at sign.
//!
//! | room | purpose |
//! |---|---|
//! | [`parse`] | from text |
//! | [`display`] | to text |
//! | [`help`] | what each step does |

mod display;
mod help;
mod parse;

use std::time::Duration;

use form_urlencoded::parse as parameters;

use crate::config::Subprotocol;

/// The parameter of a query that has steps. Every other is an application's own.
const PARAMETER: &str = "do";

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
    /// In the order in which they were written. No two have the same name.
    steps: Vec<Step>,
}

/// One thing that is done otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Another interval of the heart beat, or none.
    Beat(Option<Duration>),
    /// Another text of the heart beat.
    Say(String),
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
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether the session is to tell what the server saw of the request.
    pub(crate) fn has_portrait(&self) -> bool {
        self.steps.contains(&Step::Who)
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
        let is_kept = |step: &&Step| other.steps.iter().all(|new| new.name() != step.name());
        let mut steps: Vec<_> = self.steps.iter().filter(is_kept).cloned().collect();
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
            None => Ok(self.clone()),
        }
    }

    /// A scenario of these steps.
    ///
    /// # Errors
    /// When two have the same name, or contradict each other.
    fn of(steps: Vec<Step>) -> Result<Self, ScenarioError> {
        for (n, step) in steps.iter().enumerate() {
            for earlier in &steps[..n] {
                if earlier.name() == step.name() {
                    return Err(ScenarioError::Repeated(step.name()));
                }
                if let Some(why) = contradiction(earlier, step) {
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
fn contradiction(one: &Step, other: &Step) -> Option<&'static str> {
    let either = |matches: fn(&Step, &Step) -> bool| matches(one, other) || matches(other, one);
    if either(|step, _| matches!(step, Step::Refuse(_))) {
        return Some("where the upgrade is refused, nothing else happens");
    }
    if either(|a, b| matches!((a, b), (Step::EchoOff, Step::Delay { .. }))) {
        return Some("there are no echoes to delay");
    }
    if either(|a, b| matches!((a, b), (Step::Beat(None), Step::Say(_)))) {
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
    #[error("The time of {0:?} is wrong: write @5s, up to 1 day, or @3msg.")]
    When(String),
    /// A time at a step that has none.
    #[error("The step {0} takes no @: it holds from the start.")]
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
    /// More text than a scenario may have.
    #[error("The steps are more than 8 KiB.")]
    TooLong,
}

#[cfg(test)]
mod tests;
