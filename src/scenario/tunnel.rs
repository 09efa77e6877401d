//! Scenarios of the proxy: the steps of a server that make sense there, for both ways.

use std::fmt;
use std::str::FromStr;

use super::parse::{UP, USAGES, split};
use super::{Bad, Scenario, ScenarioError, Step};

/// Ways in which a proxy misbehaves when asked to. By default it does not.
///
/// The steps are those of a [`Scenario`] that make sense without a server. A step is for the way to
/// the client. With `up.` before it, it is for the way to the upstream.
///
/// ```
/// use echobeat::TunnelScenario;
///
/// let scenario: TunnelScenario = "up.drop:10%,delay:200ms".parse().unwrap();
/// assert_eq!(scenario.to_string(), "delay:200ms,up.drop:10%");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TunnelScenario {
    /// Steps for the way to the client.
    pub(crate) down: Scenario,
    /// Steps for the way to the upstream.
    pub(crate) up: Scenario,
}

/// Names of the steps that the proxy has.
const NAMES: [&str; 14] = [
    "delay",
    "rate",
    "drop",
    "duplicate",
    "reorder",
    "fragment",
    "close",
    "fin",
    "rst",
    "stall",
    "bad",
    "refuse",
    "wait",
    "accept",
];

/// Place of a step in the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    BothWays,
    /// The answer to the upgrade, which goes to the client.
    Answer,
    Nowhere,
}

impl TunnelScenario {
    /// A sentence that lists all steps and the ways to write them.
    pub(crate) fn usage() -> String {
        let is_there = |name: &&(&str, &str)| NAMES.contains(&name.0);
        let steps: Vec<_> = USAGES.iter().filter(is_there).map(|it| it.1).collect();
        format!(
            "The steps of the proxy, with commas between them, are: {}. With up. before it, a step \
             is for the way to the upstream.",
            steps.join("; ")
        )
    }

    /// Whether it has no steps, so that the proxy behaves as usual.
    pub(crate) fn is_default(&self) -> bool {
        self.down.is_default() && self.up.is_default()
    }

    /// Whether there are steps for the frames of a tunnel, and not only for the answer to its upgrade.
    pub(crate) fn is_framed(&self) -> bool {
        let mut steps = self.down.steps().chain(self.up.steps());
        steps.any(|step| place(step) == Place::BothWays)
    }

    /// A scenario with the steps of `other`, and those of `self` whose names `other` does not have
    /// on the same way.
    ///
    /// # Errors
    /// When steps contradict each other.
    pub(crate) fn overridden_by(&self, other: Self) -> Result<Self, ScenarioError> {
        Ok(Self {
            down: self.down.overridden_by(other.down)?,
            up: self.up.overridden_by(other.up)?,
        })
    }

    fn check(self) -> Result<Self, ScenarioError> {
        for step in self.down.steps() {
            if place(step) == Place::Nowhere {
                return Err(ScenarioError::NotInProxy(step.name()));
            }
        }
        for step in self.up.steps() {
            match place(step) {
                Place::Nowhere => return Err(ScenarioError::NotInProxy(step.name())),
                Place::Answer => return Err(ScenarioError::NotUp(step.name())),
                // Every frame for an upstream is masked.
                Place::BothWays if matches!(step, Step::Bad(Bad::Masked, _)) => {
                    return Err(ScenarioError::NotUp("bad:masked"));
                }
                Place::BothWays => {}
            }
        }
        Ok(self)
    }
}

fn place(step: &Step) -> Place {
    match step {
        Step::Delay { .. }
        | Step::Rate(_)
        | Step::Drop(_)
        | Step::Duplicate(_)
        | Step::Reorder(_)
        | Step::Fragment(_)
        | Step::Close(..)
        | Step::Fin(_)
        | Step::Rst(_)
        | Step::Stall(_)
        | Step::Bad(..) => Place::BothWays,
        Step::Refuse(_) | Step::Wait(_) | Step::Accept(_) => Place::Answer,
        Step::Beat(_)
        | Step::Say(..)
        | Step::Reply(_)
        | Step::EchoOff
        | Step::Ping(_)
        | Step::Deaf(_)
        | Step::NoReply
        | Step::Burst(..)
        | Step::Subprotocol(_)
        | Step::Deflate(_)
        | Step::Greet(_)
        | Step::Who => Place::Nowhere,
    }
}

impl FromStr for TunnelScenario {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        let (mut down, mut up) = (Vec::new(), Vec::new());
        for step in split(text, ',') {
            match step.trim_start().strip_prefix(UP) {
                Some(step) if step.starts_with(UP) => {
                    return Err(ScenarioError::Unknown(UP.repeat(2)));
                }
                Some(step) => up.push(step),
                None => down.push(step),
            }
        }
        let scenario = Self {
            down: down.join(",").parse()?,
            up: up.join(",").parse()?,
        };
        scenario.check()
    }
}

impl fmt::Display for TunnelScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.down.fmt(f)?;
        for (n, planned) in self.up.steps.iter().enumerate() {
            let is_first = n == 0 && self.down.is_default();
            let comma = if is_first { "" } else { "," };
            write!(f, "{comma}{UP}{}{}", planned.step, planned.share)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_for_the_way_that_they_name() {
        for (text, shown) in [
            ("", ""),
            ("delay:200ms", "delay:200ms"),
            ("up.rst@3msg@2x", "up.rst@3msg@2x"),
            (" up.drop:10% , rate:1KiB,", "rate:1KiB,up.drop:10%"),
            ("fin@5s,up.fin@5s", "fin@5s,up.fin@5s"),
            (r"close:4001:a\,up.b", r"close:4001:a\,up.b"),
            (
                "up.bad:utf8@1msg,duplicate,reorder:5%",
                "duplicate,reorder:5%,up.bad:utf8@1msg",
            ),
        ] {
            let scenario: TunnelScenario = text.parse().unwrap();
            assert_eq!(scenario.to_string(), shown);
            assert_eq!(shown.parse(), Ok(scenario));
        }
    }

    #[test]
    fn steps_that_make_no_sense_in_a_proxy_are_named() {
        for (text, sentence) in [
            (
                "beat:1s",
                "The proxy has no step beat: it is for the server.",
            ),
            ("up.who", "The proxy has no step who: it is for the server."),
            (
                "up.wait:1s",
                "The step wait is for the client alone: write it without up.",
            ),
            (
                "up.bad:masked",
                "The step bad:masked is for the client alone: write it without up.",
            ),
            ("up.up.rst", "There is no step \"up.up.\"."),
            ("up.nothing", "There is no step \"nothing\"."),
            (
                "up.rst,up.fin",
                "The steps rst and fin contradict each other: both end the session at the same \
                 time.",
            ),
        ] {
            let error = text.parse::<TunnelScenario>().unwrap_err();
            assert_eq!(error.to_string(), sentence);
        }
        let error = "up.rst".parse::<Scenario>().unwrap_err();
        let sentence = "The step \"up.rst\" is for echobeat proxy: there is no upstream here.";
        assert_eq!(error.to_string(), sentence);
    }

    #[test]
    fn the_steps_that_are_listed_are_those_that_there_are() {
        for (name, usage) in USAGES {
            let usage = usage.strip_suffix(", from 1% to 100%").unwrap_or(usage);
            let step = usage.split([',', ' ']).next().unwrap();
            let step = step.replace("STATUS", "503").replace("CODE", "4000");
            let step = step.replace("TEXT=ANSWER", "a=b").replace("NAME", "a");
            let is_there = step.parse::<TunnelScenario>().is_ok();
            assert_eq!(is_there, NAMES.contains(&name), "{step}");
        }
    }

    #[test]
    fn a_url_overrides_the_steps_of_the_same_name_and_way() {
        let own: TunnelScenario = "rst@1s,up.rst@2s".parse().unwrap();
        let both = own.overridden_by("up.rst@3s".parse().unwrap()).unwrap();
        assert_eq!(both.to_string(), "rst@1s,up.rst@3s");
    }
}
